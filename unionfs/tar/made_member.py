"""The index entry of a member that this program writes, without parsing the header again."""

from __future__ import annotations

import stat

from unionfs.tar.format import Member
from unionfs.tar.records import encode_xattrs
from unionfs.tar.writer import member_path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from unionfs.tar.writer import TarEntry


def made_member(entry: TarEntry, position: int, offset: int) -> Member:
    """The member that `TarParser` gives for a header of `encode_member`. `position` is where that begins, `offset`
    where the data does.
    """
    known = entry.attributes
    kind = stat.S_IFMT(known.mode)
    is_link = entry.hard_link is not None
    target = entry.hard_link if is_link else entry.target if kind == stat.S_IFLNK else None
    if is_link:
        size = 0
    elif kind == stat.S_IFLNK:
        size = len(entry.target)
    else:
        size = known.size if kind == stat.S_IFREG else 0
    return Member(
        position,
        member_path(entry),
        is_link,
        stat.S_IMODE(known.mode) | (0 if is_link else kind),
        known.uid,
        known.gid,
        known.rdev if kind in {stat.S_IFCHR, stat.S_IFBLK} and not is_link else 0,
        size,
        known.mtime_ns,
        None,
        None,
        offset,
        target,
        None,
        encode_xattrs(entry.xattrs) if entry.xattrs else None,
    )
