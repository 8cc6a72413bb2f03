"""Locks that hold on one machine only."""

import os

import pytest

from rootless.durable import acquire_lock
from rootless.machine_locks import is_of_this_machine_only, options_of

MOUNTS = """\
29 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw,discard
70 29 0:41 / /home rw,relatime shared:9 - nfs 10.0.0.1:/home rw,vers=3,nolock,proto=tcp,local_lock=all,addr=10.0.0.1
71 29 0:42 / /work rw - nfs4 10.0.0.1:/work rw,vers=4.2,local_lock=none,addr=10.0.0.1
"""


@pytest.mark.parametrize(
    ("device", "option"), [((254, 0), "discard"), ((0, 41), "nolock"), ((0, 42), "local_lock=none")]
)
def test_options_are_those_of_the_file_system(device, option):
    assert option in options_of(os.makedev(*device), MOUNTS.splitlines(keepends=True))


def test_file_system_that_is_not_listed_has_no_options():
    assert options_of(os.makedev(0, 40), MOUNTS.splitlines(keepends=True)) == []


def test_lock_of_a_local_disk_is_seen_by_all_who_have_it(tmp_path):
    lock = acquire_lock(tmp_path / "lock")
    assert not is_of_this_machine_only(lock)
    lock.release()
