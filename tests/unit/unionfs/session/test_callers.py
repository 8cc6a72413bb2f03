"""Rights of a calling process, as proc(5) shows it."""

import os

from unionfs.session.callers import is_owner, may_be_owner, set_id_to_drop


def test_a_process_owns_what_its_user_owns():
    assert is_owner(os.getpid())
    assert may_be_owner(os.getpid(), os.geteuid())


def test_a_process_without_capabilities_does_not_own_what_others_own():
    assert not may_be_owner(os.getpid(), os.geteuid() + 1)


def test_nothing_is_known_of_a_process_that_cannot_be_seen():
    assert not is_owner(0)
    assert may_be_owner(0, os.geteuid())


def test_data_changed_by_an_ordinary_process_loses_the_set_id_bits_of_its_file():
    mine, pid = os.getegid(), os.getpid()
    assert set_id_to_drop(pid, 0o6755, mine) == 0o6000
    assert set_id_to_drop(pid, 0o4755, mine) == 0o4000
    assert set_id_to_drop(pid, 0o755, mine) == 0
    # Without group execute set-group-id means nothing to exec(2), and stays for a member.
    assert set_id_to_drop(pid, 0o2745, mine) == 0
    assert set_id_to_drop(pid, 0o2745, max(mine, *os.getgroups(), 1) + 1) == 0o2000
    assert set_id_to_drop(0, 0o6745, mine) == 0o6000
