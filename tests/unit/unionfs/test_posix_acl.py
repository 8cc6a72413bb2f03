"""POSIX ACLs as values: the binary form, and the rules of fs/posix_acl.c."""

from hypothesis import given
from hypothesis import strategies as st

from unionfs import posix_acl
from unionfs.posix_acl import (
    GROUP,
    GROUP_OBJ,
    MASK,
    OTHER,
    USER,
    USER_OBJ,
    AclEntry,
    encode,
    parse,
)
from unionfs.xattr_names import ACCESS_ACL, with_acl_in_step

NO_ID = 0xFFFFFFFF


def acl(*entries):
    return tuple(AclEntry(tag, bits, *(number or (NO_ID,))) for tag, bits, *number in entries)


NAMED = acl((USER_OBJ, 7), (USER, 4, 1000), (GROUP_OBJ, 5), (GROUP, 6, 7), (MASK, 6), (OTHER, 1))
MINIMAL = acl((USER_OBJ, 6), (GROUP_OBJ, 4), (OTHER, 0))


def test_binary_form_is_the_kernels():
    value = bytes.fromhex("0200000001000600ffffffff04000400ffffffff20000000ffffffff")
    assert encode(MINIMAL) == value
    assert parse(value) == MINIMAL
    assert parse(encode(NAMED)) == NAMED


@given(st.binary(max_size=60))
def test_whatever_the_bytes_they_are_an_acl_or_none(value):
    found = parse(value)
    assert found is None or encode(found) == value


def test_group_permissions_of_the_mode_are_the_masks():
    assert posix_acl.mode_of(NAMED, 0o106444) == 0o106761
    assert posix_acl.mode_of(MINIMAL, 0o100777) == 0o100640
    assert posix_acl.is_minimal(MINIMAL)
    assert not posix_acl.is_minimal(NAMED)


def test_chmod_changes_owner_mask_and_others():
    changed = acl(
        (USER_OBJ, 6), (USER, 4, 1000), (GROUP_OBJ, 5), (GROUP, 6, 7), (MASK, 4), (OTHER, 2)
    )
    assert posix_acl.with_mode(NAMED, 0o642) == changed
    assert posix_acl.with_mode(MINIMAL, 0o751) == acl((USER_OBJ, 7), (GROUP_OBJ, 5), (OTHER, 1))


def test_what_is_inherited_is_limited_by_the_mode():
    made = posix_acl.inherited(NAMED, 0o640)
    assert made == acl(
        (USER_OBJ, 6), (USER, 4, 1000), (GROUP_OBJ, 5), (GROUP, 6, 7), (MASK, 4), (OTHER, 0)
    )
    assert posix_acl.mode_of(made, 0o100640) == 0o100640


def test_entries_of_ids_that_do_not_exist_are_left_out():
    found = posix_acl.with_ids(NAMED, lambda _: None, lambda number: number + 1)
    assert found == acl((USER_OBJ, 7), (GROUP_OBJ, 5), (GROUP, 6, 8), (MASK, 6), (OTHER, 1))


def test_attributes_are_in_step_with_the_mode():
    assert with_acl_in_step({b"user.x": b"y"}, 0o640) == {b"user.x": b"y"}
    assert with_acl_in_step({ACCESS_ACL: b"garbage"}, 0o640) == {ACCESS_ACL: b"garbage"}
    found = with_acl_in_step({ACCESS_ACL: encode(NAMED)}, 0o640)
    assert parse(found[ACCESS_ACL]) == posix_acl.with_mode(NAMED, 0o640)
