"""rootless-unionfs: the command line of fuse-overlayfs for a union mount, and commands about mounts.

    rootless-unionfs [-f] [-d] [-o OPTIONS] MOUNTPOINT
    rootless-unionfs SOURCE MOUNTPOINT -o OPTIONS        as mount(8) calls its helpers
    rootless-unionfs COMMAND ...                         one of COMMANDS

Without -f it returns once the mount answers, with the server in the background.
"""

from __future__ import annotations

import os
import sys

from unionfs.light_imports import install

install("unionfs")

from unionfs.commands.arguments import (  # noqa: E402
    PROGRAM,
    Invocation,
    UsageError,
    parse_arguments,
)
from unionfs.options import OptionError  # noqa: E402

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


def main() -> int:
    """The exit status: 0 mounted (or served to the end, or done), 1 failed."""
    try:
        return _run(sys.argv[1:])
    except (OptionError, UsageError) as error:
        return _fail(str(error))
    except OSError as error:
        where = f"{error.filename!s}: " if error.filename is not None else ""
        if isinstance(error.filename, bytes):
            where = f"{os.fsdecode(error.filename)}: "
        return _fail(f"{where}{error.strerror or error}")


def _run(arguments: Sequence[str]) -> int:
    command = COMMANDS.get(arguments[0]) if arguments else None
    if command is not None:
        return command(arguments[1:])
    asked = parse_arguments(arguments)
    if isinstance(asked, str):
        print(asked)
        return 0
    if asked.options.remount:
        return _remount(asked)
    from unionfs.commands.serve import mount_and_serve

    mount_and_serve(asked)
    return 0


def _remount(asked: Invocation) -> int:
    from unionfs.commands.remount import remount

    note = remount(asked.mountpoint, asked.options)
    if note:
        print(f"{PROGRAM}: {note}", file=sys.stderr)
    return 0


def _finish(arguments: Sequence[str]) -> int:
    from unionfs.commands.finish import finish

    print(f"{finish(arguments)} bytes copied")
    return 0


def _stats(arguments: Sequence[str]) -> int:
    from unionfs.commands.stats import stats

    print(stats(arguments))
    return 0


def _top(arguments: Sequence[str]) -> int:
    from unionfs.commands.top import top

    return top(arguments)


def _completion(arguments: Sequence[str]) -> int:
    from unionfs.commands.completion import completion

    print(completion(arguments), end="")
    return 0


def _bench(arguments: Sequence[str]) -> int:
    from unionfs.commands.bench import bench

    bench(arguments)


COMMANDS = {
    "finish": _finish,
    "stats": _stats,
    "top": _top,
    "bench": _bench,
    "completion": _completion,
}
"""A mount point of such a name is given as ./NAME."""


def _fail(reason: str) -> int:
    print(f"{PROGRAM}: {reason}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
