"""`run --join`, and the warning about a rank without it, which an MPI program would take for a world of its own."""

from __future__ import annotations

import os
import sys

from rootless.cli.run import options as rows
from rootless.errors import UsageError
from rootless.launcher import (
    has_pmix_server,
    launcher_descriptors,
    launcher_directories,
    launcher_variables,
    warning_of,
)
from rootless.network.options import HOST, NetworkOptions
from rootless.ranks.rank import Rank, launch_here
from rootless.runtime.idmap import UserNamespaceMode
from rootless.spec.options import Bind

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from rootless.cli.grammar import Option, Parsed
    from rootless.configuration.values import Configuration
    from rootless.containers.storage_paths import StoragePaths
    from rootless.ranks.recipe import Claim
    from rootless.spec.options import ContainerOptions

VARIABLE = "ROOTLESS_JOIN"
"""`auto`: what a launcher has started joins without --join."""

_NEVER = (
    rows.DETACH,
    rows.TTY,
    rows.RECORD,
    rows.INIT,
    rows.TRACE,
    rows.PREFETCH,
    rows.SNAPSHOT_EACH,
    rows.PRESERVE_FD,
)
_FIRST_DESCRIPTOR = 3


def joins(parsed: Parsed, environ: Mapping[str, str], configuration: Configuration | None) -> bool:
    """Whether the command line asks for a shared container, or the environment or rootless.toml does for what a launcher
    starts. Raises UsageError for what the site has locked.
    """
    configured = "" if configuration is None else configuration.join
    if parsed[rows.JOIN] or parsed[rows.JOIN_TAG] or parsed[rows.JOIN_COUNT] is not None:
        if configuration is not None and configured == "never":
            configuration.require_unlocked("join", "--join")
        return True
    mode = environ.get(VARIABLE) or configured
    if configuration is not None and mode != configured:
        configuration.require_unlocked("join", f"{VARIABLE}={mode}")
    return mode == "auto" and not parsed[rows.DETACH] and launch_here(environ) is not None


def warn(parsed: Parsed, environ: Mapping[str, str], *, joined: bool) -> None:
    """Tell once for a step if its ranks cannot find each other."""
    launch = launch_here(environ)
    if not joined and any(text.partition("=")[0].startswith("PMI") for text in parsed[rows.ENV]):
        return
    if text := warning_of(launch, environ, joins=joined):
        print(f"rootless: {text}", file=sys.stderr)


def rank_of(parsed: Parsed, environ: Mapping[str, str]) -> Rank:
    """This process as a rank. Raises UsageError."""
    for option in _NEVER:
        if parsed.values[option.long] not in {None, False, ()}:
            raise UsageError(f"conflicting options: --join and --{option.long}")
    launch, tag = launch_here(environ), parsed[rows.JOIN_TAG]
    if tag is None:
        if launch is None:
            raise UsageError(
                "--join: no launcher has started this process",
                hint="use srun, mpirun or flux run, or name the processes that belong together with --join-tag",
            )
        tag = f"{launch.launcher} {launch.tag}"
    count = parsed[rows.JOIN_COUNT]
    if count is None:
        count = 0 if launch is None else launch.local_size
    last = _FIRST_DESCRIPTOR + (parsed[rows.PRESERVE_FDS] or 0)
    given = (*range(_FIRST_DESCRIPTOR, last), *launcher_descriptors(environ))
    for descriptor in given:
        try:
            os.fstat(descriptor)
        except OSError:
            raise UsageError(f"--preserve-fds: descriptor {descriptor} is not open") from None
    return Rank(tag, count, launcher_variables(environ), given)


def shared_options(
    options: ContainerOptions, parsed: Parsed, environ: Mapping[str, str]
) -> ContainerOptions:
    """The options of the container that ranks share: the host's namespaces but for users and mounts, where no others
    are asked for, and the directories of the launcher. It is removed at its end. Under a PMIx server a rank keeps the
    caller's ids where no others are asked for: the server refuses a client that reports other ids than the launcher
    gave it (PMIx's psec/native).

    Raises UsageError for a PID namespace: a rank is the launcher's child.
    """
    if parsed[rows.PID] not in {None, "host"}:
        raise UsageError(
            "--join: the processes of the container are the launcher's: use --pid host"
        )
    namespaces = options.namespaces._replace(
        pid=False,
        ipc=options.namespaces.ipc and parsed[rows.IPC] is not None,
        uts=options.namespaces.uts and _is_given(parsed, rows.UTS, rows.HOSTNAME, rows.DOMAINNAME),
    )
    network = options.network
    if not network.name:
        network = NetworkOptions(HOST)
    userns = options.userns
    if has_pmix_server(environ) and not _is_given(parsed, rows.USERNS, rows.USER):
        userns = UserNamespaceMode(keep=True)
    mounted = {each.target for each in options.mounts}
    binds = [
        Bind(path, path)
        for path in launcher_directories(environ)
        if path not in mounted and os.path.isdir(path)
    ]
    return options._replace(
        remove=True,
        userns=userns,
        terminal=False,
        interactive=False,
        namespaces=namespaces,
        network=network,
        mounts=(*options.mounts, *binds),
    )


def _is_given(parsed: Parsed, *options: Option) -> bool:
    return any(parsed.values[option.long] is not None for option in options)


def begin_recipe(
    claim: Claim, options: ContainerOptions, rank: Rank, paths: StoragePaths, parsed: Parsed
) -> None:
    """Prepare to leave to other ranks with this command line what is found by it."""
    from rootless.ranks.rank import rank_command

    launch = launch_here(os.environ)
    if launch is not None and warning_of(launch._replace(rank=0), os.environ, joins=True):
        claim.release()  # rank 0 has to tell it
        return
    claim.begin(
        os.environ,
        [name for name, _ in options.variables],
        parsed[rows.PRESERVE_FDS] or 0,
        parsed[rows.ENV_FILE],
        rank_command(options, rank.tag, paths).state,
    )
