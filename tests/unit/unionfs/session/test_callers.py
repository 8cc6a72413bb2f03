"""Who may do what a file's owner may, as proc(5) tells of a process."""

import os

from unionfs.session.callers import is_owner, may_be_owner


def test_a_process_owns_what_its_user_owns():
    assert is_owner(os.getpid())
    assert may_be_owner(os.getpid(), os.geteuid())


def test_a_process_without_capabilities_does_not_own_what_others_own():
    assert not may_be_owner(os.getpid(), os.geteuid() + 1)


def test_nothing_is_known_of_a_process_that_cannot_be_seen():
    assert not is_owner(0)
    assert may_be_owner(0, os.geteuid())
