"""POSIX access control lists: acl(5), and the binary form of the attributes system.posix_acl_access and
system.posix_acl_default (include/uapi/linux/posix_acl_xattr.h). Pure.

The permissions of owner, mask and others are both in the mode and in an access ACL. Here the mode counts:
they are put into an ACL when it is shown (`with_mode`), so that chmod(2) has nothing to rewrite.
"""

from __future__ import annotations

from struct import Struct

from unionfs.light_types import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

USER_OBJ, USER, GROUP_OBJ, GROUP, MASK, OTHER = 0x01, 0x02, 0x04, 0x08, 0x10, 0x20
_TAGS = (USER_OBJ, USER, GROUP_OBJ, GROUP, MASK, OTHER)
_MINIMAL = 3
"""Entries of an ACL that says no more than a mode."""

_VERSION = Struct("<I")
_ENTRY = Struct("<HHI")
_VERSION_2 = 2


class AclEntry(NamedTuple):
    """`number` is the id of a USER or GROUP entry."""

    tag: int
    permissions: int
    number: int


Acl = tuple[AclEntry, ...]


def parse(value: bytes) -> Acl | None:
    """The entries of an attribute's value; None if it is malformed."""
    size = len(value) - _VERSION.size
    if size < 0 or size % _ENTRY.size or _VERSION.unpack_from(value) != (_VERSION_2,):
        return None
    acl = tuple(AclEntry(*fields) for fields in _ENTRY.iter_unpack(value[_VERSION.size :]))
    tags = [entry.tag for entry in acl]
    if any(tag not in _TAGS for tag in tags) or any(entry.permissions & ~7 for entry in acl):
        return None
    if any(tags.count(tag) != 1 for tag in (USER_OBJ, GROUP_OBJ, OTHER)) or tags.count(MASK) > 1:
        return None
    return acl


def encode(acl: Acl) -> bytes:
    return _VERSION.pack(_VERSION_2) + b"".join(_ENTRY.pack(*entry) for entry in acl)


def is_minimal(acl: Acl) -> bool:
    """Whether a mode says all that the ACL says (posix_acl_equiv_mode, fs/posix_acl.c)."""
    return len(acl) == _MINIMAL


def mode_of(acl: Acl, mode: int) -> int:
    """`mode` with the permissions of an access ACL: those of the group are the mask's, if it has
    one."""
    bits = {entry.tag: entry.permissions for entry in acl}
    group = bits.get(MASK, bits[GROUP_OBJ])
    return mode & ~0o777 | bits[USER_OBJ] << 6 | group << 3 | bits[OTHER]


def with_mode(acl: Acl, mode: int) -> Acl:
    """An access ACL after a change of the mode (__posix_acl_chmod_masq)."""
    return _masked(acl, lambda _, bits: bits, mode)


def inherited(default: Acl, mode: int) -> Acl:
    """The access ACL of an object that is made with `mode` in a directory with this default ACL
    (posix_acl_create_masq). Its mode is `mode_of` it."""
    return _masked(default, lambda known, bits: known & bits, mode)


def _masked(acl: Acl, combine: Callable[[int, int], int], mode: int) -> Acl:
    has_mask = any(entry.tag == MASK for entry in acl)
    shifts = {USER_OBJ: 6, MASK if has_mask else GROUP_OBJ: 3, OTHER: 0}
    return tuple(
        AclEntry(tag, combine(bits, mode >> shifts[tag] & 7), number)
        if tag in shifts
        else AclEntry(tag, bits, number)
        for tag, bits, number in acl
    )


def with_ids(acl: Acl, uid: Callable[[int], int | None], gid: Callable[[int], int | None]) -> Acl:
    """The ACL with other ids; without the entries whose id becomes None."""
    entries = []
    for entry in acl:
        number: int | None = entry.number
        if entry.tag == USER:
            number = uid(entry.number)
        elif entry.tag == GROUP:
            number = gid(entry.number)
        if number is not None:
            entries.append(AclEntry(entry.tag, entry.permissions, number))
    return tuple(entries)
