"""-v, --mount, --tmpfs and --device; `volume` and `mount` have the grammar of the first two."""

from __future__ import annotations

import posixpath

from rootless.cli.flags.mount_paths import target_of
from rootless.cli.flags.sizes import parse_size
from rootless.csv_fields import split_fields
from rootless.errors import UsageError
from rootless.spec.options import Device, Tmpfs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rootless.spec.options import UserMount

_TMPFS_FLAGS = frozenset(
    [
        "ro",
        "rw",
        "exec",
        "noexec",
        "suid",
        "nosuid",
        "dev",
        "nodev",
        "sync",
        "async",
        "atime",
        "noatime",
        "diratime",
        "nodiratime",
        "relatime",
        "norelatime",
        "strictatime",
        "nostrictatime",
        "mand",
        "nomand",
        "dirsync",
        "remount",
        "defaults",
    ]
)
_TMPFS_KEYS = frozenset({"size", "mode", "uid", "gid", "nr_inodes", "nr_blocks", "mpol", "huge"})


def parse_mounts(
    volumes: Sequence[str], mounts: Sequence[str], tmpfs: Sequence[str], getcwd: Callable[[], str]
) -> tuple[UserMount, ...]:
    """The mounts of all three flags; relative sources are resolved from what `getcwd` returns. As in docker, -v and
    --tmpfs that are given twice with the same text are one. Raises UsageError.
    """
    result: list[UserMount] = []
    if volumes:
        from rootless.cli.flags.volume import parse_volume

        result += [parse_volume(text, getcwd) for text in dict.fromkeys(volumes)]
    if mounts:
        from rootless.cli.flags.mount import parse_mount

        result += [parse_mount(text, getcwd) for text in mounts]
    result += [parse_tmpfs(text) for text in dict.fromkeys(tmpfs)]
    return tuple(result)


def parse_tmpfs(text: str) -> Tmpfs:
    """PATH[:OPTIONS]. Raises UsageError."""
    path, _, rest = text.partition(":")
    target = target_of(path, text)
    options = tuple(filter(None, _fields(rest, "--tmpfs")))
    for option in options:
        key, separator, value = option.partition("=")
        if (not separator and option not in _TMPFS_FLAGS) or (separator and key not in _TMPFS_KEYS):
            raise UsageError(f"invalid tmpfs option {option!r} in {text!r}")
        if key == "size" and not value.endswith("%"):
            parse_size(value, "--tmpfs size")
    return Tmpfs(target, options)


def parse_device(text: str) -> Device:
    """HOST[:CONTAINER[:rwm]]. Raises UsageError."""
    parts = text.split(":")
    source, target, access = parts[0], parts[0], "rwm"
    if len(parts) > 3 or not all(parts):
        raise UsageError(f"bad format for path: {text}")
    if len(parts) == 2:
        if _is_access(parts[1]):
            access = parts[1]
        else:
            target = parts[1]
    elif len(parts) == 3:
        target, access = parts[1], parts[2]
        if not _is_access(access):
            raise UsageError(f"bad mode specified: {access}")
    if not source.startswith("/") or not target.startswith("/"):
        raise UsageError(f"{text!r} is not an absolute path")
    return Device(posixpath.normpath(source), posixpath.normpath(target), access)


def _is_access(text: str) -> bool:
    return bool(text) and set(text) <= set("rwm") and len(set(text)) == len(text)


def _fields(text: str, flag: str) -> list[str]:
    try:
        return split_fields(text)
    except ValueError as error:
        raise UsageError(f"invalid argument {text!r} for {flag}: {error}") from None
