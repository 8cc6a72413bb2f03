"""rootless-unionfs: fuse-overlayfs's command line for a union mount.

    rootless-unionfs [-f] [-d] [-o OPTIONS] MOUNTPOINT
    rootless-unionfs SOURCE MOUNTPOINT -o OPTIONS        as mount(8) calls its helpers
    rootless-unionfs finish MOUNT                        complete what was copied up lazily
    rootless-unionfs finish UPPER --work DIR --lower LAYER ...
    rootless-unionfs stats MOUNT [--json]                what the server of a mount has counted
    rootless-unionfs bench [ARGUMENT ...]                measure beside fuse-overlayfs and the kernel

Without -f it returns once the mount answers, with the server in the background. Parsed by hand: a
parser from the library would take longer to import than the mount takes to make.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from signal import SIGHUP, SIGINT, SIGTERM, signal
from typing import TYPE_CHECKING, NamedTuple, NoReturn

from unionfs.commands.mount import mount, of_options, unmount, wait_until_answering
from unionfs.options import OptionError, Options, parse
from unionfs.session.options import ServeOptions

if TYPE_CHECKING:
    from types import FrameType

    from unionfs.filesystem import FileSystem

VERSION = "0.1.0"
_PROGRAM = "rootless-unionfs"
_DESCRIPTORS = 4096
_HELP = f"""\
usage: {_PROGRAM} [-f] [-d] [--session auto|device|pyfuse3] [-o OPTIONS] MOUNTPOINT
       {_PROGRAM} finish MOUNT              complete what was copied up lazily
       {_PROGRAM} finish UPPER --work DIR --lower LAYER ...
       {_PROGRAM} stats MOUNT [--json]      what the server of a mount has counted
       {_PROGRAM} bench [--help]            measure it beside its peers

Mounts a union of directories: lowerdir=A:B (topmost first), upperdir=U, workdir=W.

    -o OPTIONS       mount options, separated by commas; may be repeated
    -f               stay in the foreground
    -d, --debug      tell every error on stderr; implies -f
    --session NAME   how to speak to the kernel: device is ours, pyfuse3 is libfuse's (default: auto)
    -V, --version    print the version
    -h, --help       print this

Options: lowerdir, upperdir, workdir, squash_to_root, squash_to_uid, squash_to_gid, volatile,
fsync, noxattrs, xattr_permissions, ownership=data|real, writeback, nospin (sleep at once when no
request is waiting), timeout, redirect_dir, lazy=off|SIZE (from which files are copied up lazily),
static_nlink, uidmapping, gidmapping, ro, nosuid, nodev, noexec, noatime, allow_other,
default_permissions, fsname, subtype.

Unmount with umount, or with fusermount3 -u what was mounted as an ordinary user."""


_ANSWERS = {
    "-h": _HELP,
    "--help": _HELP,
    "-V": f"{_PROGRAM}: version {VERSION}",
    "--version": f"{_PROGRAM}: version {VERSION}",
}
_MEANS = {
    "-d": ["debug"],
    "--debug": ["debug"],
    "-r": ["ro"],
    "-w": ["rw"],
    "-s": [],  # one thread (libfuse), or sloppy (mount(8))
    "-n": [],  # no /etc/mtab
    "-v": [],
}
_WITH_A_VALUE = ("-t", "-N")
"""mount(8) passes the type, and a namespace it has already entered."""


class UsageError(Exception):
    """The command line makes no sense. The text is one line for the user."""


class Invocation(NamedTuple):
    """What the command line asks for."""

    mountpoint: str
    options: Options
    foreground: bool


def parse_arguments(arguments: Sequence[str]) -> Invocation | str:
    """The command line as a value, or the text that is to be printed instead.

    Raises UsageError, OptionError.
    """
    foreground = False
    texts: list[str] = []
    places: list[str] = []
    rest = iter(arguments)
    for argument in rest:
        if argument in _ANSWERS:
            return _ANSWERS[argument]
        if argument == "--":
            places.extend(rest)
        elif not argument.startswith("-") or argument == "-":
            places.append(argument)
        elif argument == "-f":
            foreground = True
        elif argument in _MEANS:
            texts.extend(_MEANS[argument])
        elif argument in _WITH_A_VALUE:
            next(rest, None)
        elif argument.startswith(("-o", "--session")):
            texts.append(_option_text(argument, rest))
        else:
            raise UsageError(f"argument {argument!r} is unknown")
    options = parse(",".join(texts))
    if not places:
        raise UsageError("the mount point is missing")
    if len(places) > 2:
        raise UsageError(f"argument {places[2]!r} is one too many")
    if len(places) == 2 and options.fsname is None:
        options = options._replace(fsname=places[0])
    return Invocation(places[-1], options, foreground or options.debug)


def _option_text(argument: str, rest: Iterator[str]) -> str:
    """Of `-o VALUE` or `-oVALUE`: the value. Of `--session NAME` or `--session=NAME`: session=NAME."""
    name = "--session" if argument.startswith("--") else "-o"
    prefix = "session=" if argument.startswith("--") else ""
    value = argument[len(name) :]
    if prefix and value and not value.startswith("="):
        raise UsageError(f"argument {argument!r} is unknown")
    value = value[1:] if prefix else value
    value = value or next(rest, "")
    if not value:
        raise UsageError(f"argument {name!r} needs a value")
    return prefix + value


def main() -> int:
    """The exit status: 0 mounted (or served to the end), 1 not."""
    try:
        if sys.argv[1:2] == ["finish"] and len(sys.argv) > 2:
            from unionfs.commands.finish import finish

            print(f"{finish(sys.argv[2:])} bytes copied")
            return 0
        if sys.argv[1:2] == ["stats"] and len(sys.argv) > 2:
            return _tell_statistics(sys.argv[2:])
        if sys.argv[1:2] == ["bench"]:
            _measure(sys.argv[2:])
        asked = parse_arguments(sys.argv[1:])
        if isinstance(asked, str):
            print(asked)
            return 0
        return _run(asked)
    except (OptionError, UsageError) as error:
        return _fail(str(error))
    except OSError as error:
        where = f"{error.filename!s}: " if error.filename is not None else ""
        if isinstance(error.filename, bytes):
            where = f"{os.fsdecode(error.filename)}: "
        return _fail(f"{where}{error.strerror or error}")


def _measure(arguments: Sequence[str]) -> NoReturn:
    """Become `python -m benchmarks files`."""
    sources = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    if not os.path.isdir(os.path.join(sources, "benchmarks")):
        raise UsageError("the benchmarks come with the sources: run it from a checkout of them")
    path = os.pathsep.join(filter(None, (sources, os.environ.get("PYTHONPATH"))))
    program = [sys.executable, "-m", "benchmarks", "files", *arguments]
    os.execve(sys.executable, program, {**os.environ, "PYTHONPATH": path})


def _tell_statistics(arguments: Sequence[str]) -> int:
    from unionfs.commands import statistics

    try:
        print(statistics.command(arguments))
    except ValueError as error:
        raise UsageError(str(error)) from error
    return 0


def _run(asked: Invocation) -> int:
    import resource

    from unionfs.commands.stack import open_union

    # Every layer has a descriptor that stays open.
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < _DESCRIPTORS:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(_DESCRIPTORS, hard), hard))
    # The server leaves this directory, and unmounts when it is told to end.
    mountpoint = os.path.realpath(asked.mountpoint, strict=True)
    filesystem = open_union(asked.options)
    try:
        device = mount(mountpoint, of_options(asked.options, as_root=os.geteuid() == 0))
    except BaseException:
        filesystem.destroy()
        raise
    if asked.foreground:
        _serve(device, filesystem, asked.options, mountpoint)
        return 0
    server = os.fork()
    if server == 0:
        _serve_in_background(device, filesystem, asked.options, mountpoint)
    os.close(device)
    wait_until_answering(mountpoint)
    return 0


def _serve_in_background(
    device: int, filesystem: FileSystem, options: Options, mountpoint: str
) -> NoReturn:
    status = 1
    try:
        os.setsid()
        os.chdir("/")
        null = os.open(os.devnull, os.O_RDWR)
        for standard in (0, 1, 2):
            os.dup2(null, standard)
        os.close(null)
        _serve(device, filesystem, options, mountpoint)
        status = 0
    finally:
        os._exit(status)


def _serve(device: int, filesystem: FileSystem, options: Options, mountpoint: str) -> None:
    import gc

    def end(_signal: int, _frame: FrameType | None) -> None:
        """Detach the mount, and serve those who still use it. From a thread: umount2(2) writes
        dirty pages back, which takes a server. A second signal ends at once."""
        from threading import Thread

        for number in (SIGTERM, SIGINT, SIGHUP):
            signal(number, _leave)
        Thread(target=_detach, args=(mountpoint,), daemon=True).start()

    for number in (SIGTERM, SIGINT, SIGHUP):
        signal(number, end)
    # The kernel has applied the caller's; ours would cost a second call for each object made.
    os.umask(0)
    # Nodes are many and hold no cycles worth looking for; a full collection would stall every
    # caller.
    gc.freeze()
    gc.set_threshold(100_000, 50, 100)
    if options.session == "pyfuse3":
        from unionfs.session.pyfuse3_session import serve
    else:
        from unionfs.session.device import serve
    serve(device, filesystem, serve_options(options))


def serve_options(options: Options) -> ServeOptions:
    """The session's part of the options."""
    defaults = ServeOptions()
    return ServeOptions(
        writeback=defaults.writeback if options.writeback is None else options.writeback,
        allow_idmap=True,
        posix_acl=options.acl,
        fsync=options.fsync and not options.volatile,
        xattrs=options.xattrs,
        timeout=defaults.timeout if options.timeout is None else options.timeout,
        spin=options.spin,
        debug=options.debug,
    )


def _detach(mountpoint: str) -> None:
    try:
        unmount(mountpoint, lazy=True)
    except OSError as error:
        _fail(f"{mountpoint}: cannot unmount: {error.strerror}")


def _leave(_signal: int, _frame: FrameType | None) -> None:
    sys.exit(1)


def _fail(reason: str) -> int:
    print(f"{_PROGRAM}: {reason}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
