"""`pull`, `push`, `login`, `logout`, `search-tags` and `copy`: between this machine and registries."""

from __future__ import annotations

import sys
from typing import Any

from rootless.cli.context import Settings, engine_of
from rootless.cli.formats import print_document
from rootless.cli.grammar import Parsed
from rootless.cli.progress import progress_on
from rootless.errors import UsageError
from rootless.images.transfer.progress import Silence
from rootless.registry.authorization import Credentials
from rootless.registry.remote import RemoteOptions, parse_credentials


def pull(parsed: Parsed, settings: Settings) -> int:
    """Fetch an image and say what came of it."""
    values: Any = parsed.values
    progress = Silence() if values["quiet"] else progress_on(sys.stdout)
    pulled = engine_of(settings).pull(
        parsed.arguments[0],
        options=remote_options(values),
        platform=values["platform"],
        all_tags=values["all_tags"],
        progress=progress,
    )
    for image in pulled:
        if not values["quiet"]:
            print(f"Digest: {image.digest}")
            print(image.status)
        print(image.reference)
    return 0


def push(parsed: Parsed, settings: Settings) -> int:
    """Send an image and say what came of it."""
    values: Any = parsed.values
    progress = Silence() if values["quiet"] else progress_on(sys.stdout)
    pushed = engine_of(settings).push(
        parsed.arguments[0],
        options=remote_options(values),
        all_tags=values["all_tags"],
        progress=progress,
    )
    if values["quiet"]:
        for image in pushed:
            print(image.reference)
    return 0


def login(parsed: Parsed, settings: Settings) -> int:
    """Ask for name and password where they are not given, prove them, and keep them."""
    values: Any = parsed.values
    host = parsed.arguments[0] if parsed.arguments else None
    options = _options(values)
    engine = engine_of(settings)
    account = _asked_account(values, host)
    kept = engine.login(host, account, options)
    if kept.helper is None:
        print(
            f"WARNING! Your password is stored unencrypted in {kept.path}.\n"
            "A credential helper (credsStore in that file) keeps it safer.",
            file=sys.stderr,
        )
    print("Login Succeeded")
    return 0


def _asked_account(values: Any, host: str | None) -> Credentials:  # noqa: ANN401
    username, password = values["username"], values["password"]
    if values["password_stdin"]:
        if password is not None:
            raise UsageError("--password and --password-stdin are mutually exclusive")
        if not username:
            raise UsageError("the --password-stdin option requires --username")
        password = sys.stdin.read().removesuffix("\n").removesuffix("\r")
    elif password is not None:
        print(
            "WARNING! Using --password via the CLI is insecure. Use --password-stdin.",
            file=sys.stderr,
        )
    if not (username and password):
        if not sys.stdin.isatty():
            raise UsageError(
                "cannot perform an interactive login from a non TTY device",
                hint="use --username and --password-stdin",
            )
        import getpass

        username = username or input(f"Username for {host or 'docker.io'}: ").strip()
        password = password or getpass.getpass("Password: ")
    if not username or not password:
        raise UsageError("username and password may not be empty")
    return Credentials(username, password)


def logout(parsed: Parsed, settings: Settings) -> int:
    """Forget an account."""
    host = parsed.arguments[0] if parsed.arguments else None
    shown = host or "docker.io"
    forgotten = engine_of(settings).logout(host, _options(parsed.values))
    print(f"Removing login credentials for {shown}" if forgotten else f"Not logged in to {shown}")
    return 0


def search_tags(parsed: Parsed, settings: Settings) -> int:
    """Print the tags of a repository, one a line."""
    values: Any = parsed.values
    tags = engine_of(settings).registry_tags(parsed.arguments[0], remote_options(values))
    if values["limit"] is not None:
        tags = tags[: max(0, values["limit"])]
    found = {"Name": parsed.arguments[0], "Tags": list(tags)}
    print_document(values["format"], found, lambda: "\n".join(tags))
    return 0


def copy(parsed: Parsed, settings: Settings) -> int:
    """Copy an image and print its digest."""
    from rootless.images.transfer.copy import CopyOptions, MultiArch
    from rootless.oci.platform import parse_platform

    values: Any = parsed.values
    ends = [
        remote_options(
            {
                "tls_verify": values[f"{end}_tls_verify"],
                "creds": values[f"{end}_creds"],
                "authfile": values["authfile"],
            }
        )
        for end in ("src", "dest")
    ]
    platform = None if values["platform"] is None else parse_platform(values["platform"])
    progress = Silence() if values["quiet"] else progress_on(sys.stderr)
    source, destination = parsed.arguments
    wanted = values["multi_arch"] or ("all" if values["all"] else "system")
    if values["multi_arch"] and values["all"]:
        raise UsageError("--all and --multi-arch exclude each other")
    known = {each.value: each for each in MultiArch}
    if wanted not in known:
        raise UsageError(f"--multi-arch {wanted!r} is not known", hint=f"one of {', '.join(known)}")
    if known[wanted] is not MultiArch.SYSTEM and platform is not None:
        raise UsageError("--platform chooses one image: it does not go with all of them")
    options = CopyOptions(ends[0], ends[1], platform, progress, known[wanted])
    digest = engine_of(settings).copy(source, destination, options)
    print(digest)
    return 0


def _options(values: Any) -> RemoteOptions:  # noqa: ANN401
    """For commands that are about an account themselves."""
    return remote_options({"tls_verify": None, "creds": None, **values})


def remote_options(values: Any) -> RemoteOptions:  # noqa: ANN401 - the values of a command line
    """What the options about registries say; the third value of --tls-verify is any but a bool.
    Raises UsageError for --creds."""
    verify = values["tls_verify"]
    return RemoteOptions(
        tls_verify=verify if isinstance(verify, bool) else None,
        authfile=values["authfile"],
        credentials=None if values["creds"] is None else parse_credentials(values["creds"]),
    )
