"""`pull`, `push`, `login`, `logout`, `search-tags` and `copy`: images and accounts at registries."""

from __future__ import annotations

import sys

from rootless.cli.context import Settings, engine_of
from rootless.cli.flags.images import image_name
from rootless.cli.formats import print_document
from rootless.cli.grammar import Command, Flag, Parsed, Text, Toggle
from rootless.cli.shared_options import (
    AUTHFILE,
    DISABLE_CONTENT_TRUST,
    LIMIT,
    LONG_FORMAT,
    PLATFORM,
    QUIET_PROGRESS,
    REGISTRY_OPTIONS,
    TLS_VERIFY,
    platform_of,
    registry_options_of,
    remote_options,
)
from rootless.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TextIO

    from rootless.images.transfer.copy import MultiArch
    from rootless.images.transfer.progress import Progress
    from rootless.registry.authorization import Credentials

_PULL_ALL_TAGS = Flag(("all-tags", "a"), "Download all tagged images in the repository")
_PUSH_ALL_TAGS = Flag(("all-tags", "a"), "Push all tags of an image to the repository")
_USERNAME = Text(("username", "u"), "Username", "NAME")
_PASSWORD = Text(
    ("password", "p"), "Password (visible to other users; prefer --password-stdin)", "TEXT"
)
_PASSWORD_STDIN = Flag(("password-stdin",), "Take the password from stdin")
_ALL = Flag(("all", "a"), "Copy all images of an index, for every platform (--multi-arch all)")
_WHAT = ("system", "all", "index-only")
_MULTI_ARCH = Text(
    ("multi-arch",),
    "Images of an index to copy: system (default), all or index-only",
    "WHAT",
    choices=_WHAT,
)
_SRC_CREDS = Text(("src-creds",), "Like --creds, for the source registry", "USER:PASSWORD")
_DEST_CREDS = Text(("dest-creds",), "Like --creds, for the destination registry", "USER:PASSWORD")
_SRC_TLS_VERIFY = Toggle(("src-tls-verify",), "Like --tls-verify, for the source registry")
_DEST_TLS_VERIFY = Toggle(("dest-tls-verify",), "Like --tls-verify, for the destination registry")


def pull(parsed: Parsed, settings: Settings) -> int:
    """Pull an image and print the result as docker does."""
    progress = _progress(parsed, sys.stdout)
    pulled = engine_of(settings).pull(
        image_name(parsed.arguments[0]),
        options=registry_options_of(parsed),
        platform=platform_of(parsed),
        all_tags=parsed[_PULL_ALL_TAGS],
        progress=progress,
    )
    for image in pulled:
        if not parsed[QUIET_PROGRESS]:
            print(f"Digest: {image.digest}")
            print(image.status)
        print(image.reference)
    return 0


def push(parsed: Parsed, settings: Settings) -> int:
    """Push an image and print the result as docker does."""
    progress = _progress(parsed, sys.stdout)
    pushed = engine_of(settings).push(
        image_name(parsed.arguments[0]),
        options=registry_options_of(parsed),
        all_tags=parsed[_PUSH_ALL_TAGS],
        progress=progress,
    )
    if parsed[QUIET_PROGRESS]:
        for image in pushed:
            print(image.reference)
    return 0


def login(parsed: Parsed, settings: Settings) -> int:
    """Ask for name and password where they are not given, prove them, and keep them."""
    host = parsed.arguments[0] if parsed.arguments else None
    options = remote_options(tls_verify=parsed[TLS_VERIFY], authfile=parsed[AUTHFILE])
    engine = engine_of(settings)
    account = _asked_account(parsed, host)
    kept = engine.login(host, account, options)
    if kept.helper is None:
        print(
            f"WARNING! Your password is stored unencrypted in {kept.path}.\n"
            "A credential helper (credsStore in that file) keeps it safer.",
            file=sys.stderr,
        )
    print("Login Succeeded")
    return 0


def _asked_account(parsed: Parsed, host: str | None) -> Credentials:
    from rootless.registry.authorization import Credentials

    username, password = parsed[_USERNAME], parsed[_PASSWORD]
    if parsed[_PASSWORD_STDIN]:
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
    forgotten = engine_of(settings).logout(host, remote_options(authfile=parsed[AUTHFILE]))
    print(f"Removing login credentials for {shown}" if forgotten else f"Not logged in to {shown}")
    return 0


def search_tags(parsed: Parsed, settings: Settings) -> int:
    """Print the tags of a repository, one a line."""
    tags = engine_of(settings).registry_tags(parsed.arguments[0], registry_options_of(parsed))
    limit = parsed[LIMIT]
    if limit is not None:
        tags = tags[: max(0, limit)]
    found = {"Name": parsed.arguments[0], "Tags": list(tags)}
    print_document(parsed[LONG_FORMAT], found, lambda: "\n".join(tags))
    return 0


def copy(parsed: Parsed, settings: Settings) -> int:
    """Copy an image and print its digest."""
    from rootless.images.transfer.copy import CopyOptions, MultiArch

    wanted = _multi_arch(parsed)
    platform = platform_of(parsed)
    if wanted is not MultiArch.SYSTEM and platform is not None:
        raise UsageError(
            "--platform chooses one image: it cannot be used with --all or --multi-arch"
        )
    authfile = parsed[AUTHFILE]
    options = CopyOptions(
        remote_options(
            tls_verify=parsed[_SRC_TLS_VERIFY], creds=parsed[_SRC_CREDS], authfile=authfile
        ),
        remote_options(
            tls_verify=parsed[_DEST_TLS_VERIFY], creds=parsed[_DEST_CREDS], authfile=authfile
        ),
        platform,
        _progress(parsed, sys.stderr),
        wanted,
    )
    source, destination = parsed.arguments
    print(engine_of(settings).copy(source, destination, options))
    return 0


def _multi_arch(parsed: Parsed) -> MultiArch:
    from rootless.images.transfer.copy import MultiArch

    text = parsed[_MULTI_ARCH]
    if text and parsed[_ALL]:
        raise UsageError("conflicting options: --all and --multi-arch")
    try:
        return MultiArch(text or ("all" if parsed[_ALL] else "system"))
    except ValueError:
        raise UsageError(
            f"--multi-arch {text!r} is not supported", hint=f"use one of {', '.join(_WHAT)}"
        ) from None


def _progress(parsed: Parsed, stream: TextIO) -> Progress:
    from rootless.cli.progress import progress_on
    from rootless.images.transfer.progress import Silence

    return Silence() if parsed[QUIET_PROGRESS] else progress_on(stream)


PULL = Command(
    "pull",
    "Download an image from a registry",
    "NAME[:TAG|@DIGEST]",
    (_PULL_ALL_TAGS, DISABLE_CONTENT_TRUST, QUIET_PROGRESS, PLATFORM, *REGISTRY_OPTIONS),
    pull,
    least=1,
    most=1,
    operand="image",
)
PUSH = Command(
    "push",
    "Upload an image to a registry",
    "NAME[:TAG]",
    (_PUSH_ALL_TAGS, DISABLE_CONTENT_TRUST, QUIET_PROGRESS, *REGISTRY_OPTIONS),
    push,
    least=1,
    most=1,
    operand="image",
)
LOGIN = Command(
    "login",
    "Authenticate to a registry",
    "[SERVER]",
    (_USERNAME, _PASSWORD, _PASSWORD_STDIN, TLS_VERIFY, AUTHFILE),
    login,
    most=1,
    description="""Authenticate to a registry, Docker Hub if none is given, and store the
credentials in ~/.docker/config.json, in the file of --authfile or REGISTRY_AUTH_FILE, or with the
credential helper that this file names.""",
)
LOGOUT = Command(
    "logout",
    "Log out from a registry",
    "[SERVER]",
    (AUTHFILE,),
    logout,
    most=1,
)
SEARCH_TAGS = Command(
    "search-tags",
    "List the tags of a repository at its registry",
    "REPOSITORY",
    (LIMIT, LONG_FORMAT, *REGISTRY_OPTIONS),
    search_tags,
    least=1,
    most=1,
)
COPY = Command(
    "copy",
    "Copy an image from one location to another",
    "SOURCE DESTINATION",
    (
        _ALL,
        _MULTI_ARCH,
        QUIET_PROGRESS,
        PLATFORM,
        _SRC_CREDS,
        _DEST_CREDS,
        _SRC_TLS_VERIFY,
        _DEST_TLS_VERIFY,
        AUTHFILE,
    ),
    copy,
    least=2,
    most=2,
    description="""Copy an image between docker://NAME, local:NAME, oci:PATH[:NAME],
oci-archive:PATH[:NAME], docker-archive:PATH[:NAME] and dir:PATH. Of an index for several platforms
the image for this machine, or for --platform, is copied, unless --all is given.""",
)
