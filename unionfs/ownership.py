"""The owner of a file: on disk, as the container sees it, and the grammar of the attribute that keeps the difference.

`user.containers.override_stat` is containers/storage's: `UID:GID:0MODE[:TYPE]`, mode in octal,
type one of `file`, `dir`, `symlink`, `pipe`, `socket`, `block-MAJOR-MINOR`, `char-MAJOR-MINOR`
(its pkg/idtools/idtools.go).
"""

from __future__ import annotations

import os
import stat

from unionfs.light_types import Enum, NamedTuple


class Ownership(Enum):
    """Where a directory layer keeps owner, mode and device number."""

    REAL = "real"
    """As on disk."""
    DATA = "data"
    """Beside a file that belongs to the serving user, in an extended attribute, where it differs
    from the bare file."""


class Owner(NamedTuple):
    """The value of an override. `mode` includes the type of file."""

    uid: int
    gid: int
    mode: int
    rdev: int = 0


_TYPES = {
    b"file": stat.S_IFREG,
    b"dir": stat.S_IFDIR,
    b"symlink": stat.S_IFLNK,
    b"pipe": stat.S_IFIFO,
    b"socket": stat.S_IFSOCK,
}
_NAMES = {mode: name for name, mode in _TYPES.items()}


def parse_override(value: bytes, disk_mode: int) -> Owner | None:
    """Read an override of a file whose own mode is `disk_mode`; None if it does not follow the
    grammar."""
    fields = value.split(b":")
    if len(fields) not in (3, 4):
        return None
    try:
        uid, gid, mode = int(fields[0]), int(fields[1]), int(fields[2], 8)
        kind, rdev = stat.S_IFMT(disk_mode), 0
        if len(fields) == 4 and fields[3].startswith((b"block-", b"char-")):
            name, major, minor = fields[3].split(b"-")
            kind = stat.S_IFBLK if name == b"block" else stat.S_IFCHR
            rdev = os.makedev(int(major), int(minor))
        elif len(fields) == 4:
            kind = _TYPES[fields[3]]
    except (ValueError, KeyError, OverflowError):
        return None
    if uid < 0 or gid < 0:
        return None
    return Owner(uid, gid, kind | stat.S_IMODE(mode), rdev)


def format_override(owner: Owner, disk_mode: int) -> bytes:
    """The override that makes a file with `disk_mode` appear as `owner`."""
    text = b"%d:%d:0%o" % (owner.uid, owner.gid, stat.S_IMODE(owner.mode))
    kind = stat.S_IFMT(owner.mode)
    if kind == stat.S_IFMT(disk_mode):
        return text
    if kind in (stat.S_IFBLK, stat.S_IFCHR):
        name = b"block" if kind == stat.S_IFBLK else b"char"
        return text + b":%s-%d-%d" % (name, os.major(owner.rdev), os.minor(owner.rdev))
    return text + b":" + _NAMES[kind]


def plain_mode(mode: int) -> int:
    """The permission bits that a file of this mode gets on disk under `DATA`: its owner can
    always use it, and no set-user-id bit of an image ever exists on the host."""
    return (mode & 0o777) | (0o700 if stat.S_ISDIR(mode) else 0o600)


IdShift = tuple[int, int, int]
"""(first, shown, count): `count` ids of a layer, from `first` on, are shown as those from `shown`."""


class IdView(NamedTuple):
    """The ids that exist inside: any other is shown as `squash_uid`, `squash_gid`. Ranges are (first, count).

    The kernel refuses writes to an inode whose owner the mount's user namespace does not map, so
    nothing unmapped is ever shown; the true owner stays in the layer.
    """

    uids: tuple[tuple[int, int], ...]
    gids: tuple[tuple[int, int], ...]
    squash_uid: int
    squash_gid: int
    uid_shifts: tuple[IdShift, ...] = ()
    gid_shifts: tuple[IdShift, ...] = ()
    """Before all that: how ids in the layers become those shown, and back. Empty: as they are."""

    @property
    def has_one_id(self) -> bool:
        return len(self.uids) == 1 and self.uids[0][1] == 1

    def uid(self, uid: int) -> int:
        return _shown(uid, self.uids, self.squash_uid, self.uid_shifts)

    def gid(self, gid: int) -> int:
        return _shown(gid, self.gids, self.squash_gid, self.gid_shifts)

    def visible_uid(self, uid: int) -> int | None:
        """`uid` as it is inside; None if it does not exist there."""
        return _visible(uid, self.uids, self.uid_shifts)

    def visible_gid(self, gid: int) -> int | None:
        return _visible(gid, self.gids, self.gid_shifts)

    def stored_uid(self, uid: int) -> int:
        """The id that a layer stores for an id inside."""
        return _stored(uid, self.uid_shifts)

    def stored_gid(self, gid: int) -> int:
        return _stored(gid, self.gid_shifts)


def _shown(
    number: int, existing: tuple[tuple[int, int], ...], squash: int, shifts: tuple[IdShift, ...]
) -> int:
    visible = _visible(number, existing, shifts)
    return squash if visible is None else visible


def _visible(
    number: int, existing: tuple[tuple[int, int], ...], shifts: tuple[IdShift, ...]
) -> int | None:
    if shifts:
        found = [shown + number - at for at, shown, n in shifts if at <= number < at + n]
        if not found:
            return None
        number = found[0]
    return number if any(at <= number < at + n for at, n in existing) else None


def _stored(number: int, shifts: tuple[IdShift, ...]) -> int:
    for at, shown, count in shifts:
        if shown <= number < shown + count:
            return at + number - shown
    return number
