"""Attributes of attached mounts without mount_setattr(2), which Linux has from 5.12 on: by mount(2) with
MS_REMOUNT | MS_BIND, for one mount after the other.

That call sets all attributes of a mount at once, so each keeps those that it has: to clear one that is
locked is refused (mount_namespaces(7)).
"""

from __future__ import annotations

import os

from rootless.syscalls import mount_flags, mounts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_MS_OF = {
    mount_flags.MOUNT_ATTR_RDONLY: mount_flags.MS_RDONLY,
    mount_flags.MOUNT_ATTR_NOSUID: mount_flags.MS_NOSUID,
    mount_flags.MOUNT_ATTR_NODEV: mount_flags.MS_NODEV,
    mount_flags.MOUNT_ATTR_NOEXEC: mount_flags.MS_NOEXEC,
    mount_flags.MOUNT_ATTR_NOSYMFOLLOW: mount_flags.MS_NOSYMFOLLOW,
    mount_flags.MOUNT_ATTR_NODIRATIME: mount_flags.MS_NODIRATIME,
    mount_flags.MOUNT_ATTR_NOATIME: mount_flags.MS_NOATIME,
    mount_flags.MOUNT_ATTR_STRICTATIME: mount_flags.MS_STRICTATIME,
}
_KEPT = (
    (os.ST_RDONLY, mount_flags.MS_RDONLY),
    (os.ST_NOSUID, mount_flags.MS_NOSUID),
    (os.ST_NODEV, mount_flags.MS_NODEV),
    (os.ST_NOEXEC, mount_flags.MS_NOEXEC),
)
_KEPT_ACCESS_TIMES = (
    (os.ST_NOATIME, mount_flags.MS_NOATIME),
    (os.ST_NODIRATIME, mount_flags.MS_NODIRATIME),
)

_ESCAPED = (
    (rb"\040", b" "),
    (rb"\011", b"\t"),
    (rb"\012", b"\n"),
    (rb"\043", b"#"),
    (rb"\134", b"\\"),
)
"""What show_mountinfo in the kernel escapes; the backslash itself is replaced last."""


def set_attributes(path: str, attributes: int) -> None:
    """Add MOUNT_ATTR_* bits to those of the mount whose root `path` is."""
    present = os.statvfs(path).f_flag
    flags = sum(flag for bit, flag in _MS_OF.items() if attributes & bit)
    flags |= sum(flag for bit, flag in _KEPT if present & bit)
    # Without any flag of access times the mount keeps its own (path_mount in the kernel).
    if attributes & (mount_flags.MOUNT_ATTR__ATIME | mount_flags.MOUNT_ATTR_NODIRATIME):
        if attributes & mount_flags.MOUNT_ATTR__ATIME:
            present &= ~os.ST_NOATIME
        flags |= sum(flag for bit, flag in _KEPT_ACCESS_TIMES if present & bit)
    mounts.mount(None, path, None, flags | mount_flags.MS_REMOUNT | mount_flags.MS_BIND)


def set_propagation(path: str, propagation: int) -> None:
    """An MS_* flag for the mount whose root `path` is, and for those below it."""
    mounts.mount(None, path, None, propagation | mount_flags.MS_REC)


def below(descriptor: int) -> Iterator[str]:
    """The places of the mounts below the mount that a descriptor is of, but of those that others cover."""
    children: dict[int, list[tuple[int, str]]] = {}
    with open("/proc/self/mountinfo", "rb") as file:
        for line in file:
            # Number, parent, device, root, place (proc(5)).
            number, parent, _, _, escaped = line.split(maxsplit=5)[:5]
            for name, byte in _ESCAPED:
                escaped = escaped.replace(name, byte)
            children.setdefault(int(parent), []).append((int(number), os.fsdecode(escaped)))
    parents = [_number_of(descriptor)]
    while parents:
        for mount, path in children.get(parents.pop(), ()):
            parents.append(mount)
            try:
                place = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
            except OSError:
                continue  # a mount above covers its directory
            try:
                if _number_of(place) == mount:
                    yield f"/proc/self/fd/{place}"
            finally:
                os.close(place)


def _number_of(descriptor: int) -> int:
    """The number in mountinfo of the mount that an open file is of."""
    with open(f"/proc/self/fdinfo/{descriptor}", "rb") as file:
        for line in file:
            if line.startswith(b"mnt_id:"):
                return int(line.split()[1])
    raise OSError(0, "/proc/self/fdinfo has no mnt_id")
