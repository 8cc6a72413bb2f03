"""The command line of a mount, as a value. Pure.

Parsed by hand: a parser of the standard library takes longer to import than a mount takes to make.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from unionfs import __version__
from unionfs.options import Options, parse

PROGRAM = "rootless-unionfs"
HELP = f"""\
usage: {PROGRAM} [-f] [-d] [--session auto|device|pyfuse3] [-o OPTIONS] MOUNTPOINT
       {PROGRAM} finish MOUNT              copy the data that lazy copy-ups left in lower layers
       {PROGRAM} finish UPPER --work DIR --lower LAYER ...
       {PROGRAM} stats MOUNT [--json]      print the counters of the server of a mount
       {PROGRAM} bench [--help]            measure the union beside its peers

Mount a union of directories: lowerdir=A:B (topmost first), upperdir=U, workdir=W.

    -o OPTIONS       mount options, separated by commas; may be repeated
    -f               stay in the foreground
    -d, --debug      print every error to stderr; implies -f
    --session NAME   FUSE implementation: device (built in) or pyfuse3 (libfuse); auto is device
    -V, --version    print the version
    -h, --help       print this help

Options: lowerdir, upperdir, workdir, squash_to_root, squash_to_uid, squash_to_gid, volatile,
fsync, noxattrs, xattr_permissions, ownership=data|real, writeback, nospin (sleep at once when no
request is waiting), timeout, redirect_dir, lazy=off|SIZE (from which files are copied up lazily),
static_nlink, uidmapping, gidmapping, ro, nosuid, nodev, noexec, noatime, allow_other,
default_permissions, fsname, subtype.

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
        elif argument.startswith(("-o", "--session")):
            texts.append(_option_text(argument, rest))
        else:
            raise UsageError(f"unknown argument {argument!r}")
    options = parse(",".join(texts))
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
    if prefix and value and not value.startswith("="):
        raise UsageError(f"unknown argument {argument!r}")
    value = value[1:] if prefix else value
    value = value or next(rest, "")
    if not value:
        raise UsageError(f"argument {name!r} needs a value")
    return prefix + value
