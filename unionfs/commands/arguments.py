"""The command line of a mount, as a value. Pure.

Parsed by hand: a parser of the standard library takes longer to import than a mount takes to make.
"""

from __future__ import annotations

from unionfs import __version__
from unionfs.light_types import NamedTuple
from unionfs.options import Options, parse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

PROGRAM = "rootless-unionfs"
HELP = f"""\
usage: {PROGRAM} [-f] [-d] [--session auto|device|pyfuse3] [-o OPTIONS] MOUNTPOINT
       {PROGRAM} finish MOUNT              copy the data that lazy copy-ups left in lower layers
       {PROGRAM} finish UPPER --work DIR --lower LAYER ...
       {PROGRAM} stats MOUNT [--json|--histogram]  print the counters of the server of a mount
       {PROGRAM} top MOUNT [-i SECONDS]    watch the operations of a mount
       {PROGRAM} bench [--help]            measure the union beside its peers
       {PROGRAM} bench compare A B         compare the results of two runs
       {PROGRAM} completion bash|zsh|fish  print the completion script of a shell

Mount a union of directories: lowerdir=A:B (topmost first), upperdir=U, workdir=W.

    -o OPTIONS       mount options, separated by commas; may be repeated
    -f               stay in the foreground
    -d, --debug      print every error to stderr; implies -f
    --session NAME   FUSE implementation: device (built in) or pyfuse3 (libfuse); auto is device
    -V, --version    print the version
    -h, --help       print this help

Options:
    lowerdir=A:B                 lower directories, topmost first
    upperdir=U, workdir=W        directory for changes, and an empty one on its file system
    ro, nosuid, nodev, noexec, noatime, allow_other, allow_root, default_permissions
    fsname=NAME, subtype=NAME    names in the mount table
    ownership=real|data          keep owners and modes on files or in extended attributes
                                 (default: real)
    xattr_permissions=0|1|2      ownership=data by fuse-overlayfs's name
    lazy=off|SIZE                copy up only what is written of files of at least SIZE; the rest
                                 follows in the background and at unmount. Default: off, so that
                                 other programs that read the upper find complete files at any
                                 time; 1M with ownership=data
    size=SIZE, inodes=NUMBER     what upperdir may hold: ENOSPC beyond. df shows it
    bps=SIZE, iops=NUMBER        bytes, and requests, per second of reads and writes together
    redirect_dir=on|off          rename directories of lowers by an extended attribute that
                                 fuse-overlayfs does not follow, or let mv copy them (default: off)
    uidmapping=, gidmapping=     ID:MAPPED:LENGTH[:...]
    squash_to_root, squash_to_uid=UID, squash_to_gid=GID
                                 show all files with one owner
    volatile, fsync=0|1          do not sync copies
    noxattrs, acl, noacl         extended attributes, POSIX ACLs
    writeback=0|1, timeout=SECONDS, static_nlink, xino=on|off|auto, context=LABEL
    nospin                       sleep at once when no request is waiting
    remount                      change ro, nosuid, nodev, noexec and noatime of a mount

Options of other mount programs that have no effect here are reported and ignored.
Unmount with umount, or with fusermount3 -u if an ordinary user made the mount."""

_ANSWERS = {
    "-h": HELP,
    "--help": HELP,
    "-V": f"{PROGRAM}: version {__version__}",
    "--version": f"{PROGRAM}: version {__version__}",
}
_FLAGS = {
    "-d": ["debug"],
    "--debug": ["debug"],
    "-r": ["ro"],
    "-w": ["rw"],
    "-s": [],  # one thread (libfuse), or sloppy (mount(8))
    "-n": [],  # no /etc/mtab
    "-v": [],
}
"""Flags without a value, and the mount options that each stands for."""

_WITH_A_VALUE = ("-t", "-N")
"""mount(8) passes the type, and a namespace it has already entered."""


class UsageError(Exception):
    """The command line is malformed. The text is one line for the user."""


class Invocation(NamedTuple):
    """A mount that the command line asks for."""

    mountpoint: str
    options: Options
    foreground: bool


def parse_arguments(arguments: Sequence[str]) -> Invocation | str:
    """The command line as a value, or the text to print instead of mounting.

    Raises UsageError, OptionError.
    """
    foreground = False
    texts: list[str] = []
    unknown: list[str] = []
    positional: list[str] = []
    rest = iter(arguments)
    for argument in rest:
        if argument in _ANSWERS:
            return _ANSWERS[argument]
        if argument == "--":
            positional.extend(rest)
        elif not argument.startswith("-") or argument == "-":
            positional.append(argument)
        elif argument == "-f":
            foreground = True
        elif argument in _FLAGS:
            texts.extend(_FLAGS[argument])
        elif argument in _WITH_A_VALUE:
            next(rest, None)
        elif argument.startswith("-o") or argument.partition("=")[0] == "--session":
            texts.append(_option_text(argument, rest))
        else:
            unknown.append(argument)
    options = parse(",".join(texts))
    options = options._replace(unknown=(*unknown, *options.unknown))
    if not positional:
        raise UsageError("the mount point is missing")
    if len(positional) > 2:
        raise UsageError(f"unexpected argument {positional[2]!r}")
    if len(positional) == 2 and options.fsname is None:
        options = options._replace(fsname=positional[0])
    return Invocation(positional[-1], options, foreground or options.debug)


def _option_text(argument: str, rest: Iterator[str]) -> str:
    """For `-o VALUE` or `-oVALUE`: the value. For `--session NAME` or `--session=NAME`:
    session=NAME."""
    name = "--session" if argument.startswith("--") else "-o"
    prefix = "session=" if argument.startswith("--") else ""
    value = argument[len(name) :]
    value = value[1:] if prefix else value
    value = value or next(rest, "")
    if not value:
        raise UsageError(f"argument {name!r} needs a value")
    return prefix + value
