"""Locks where the file system has none."""

from __future__ import annotations

import errno
import fcntl
import os

import pytest

from rootless.durable import acquire_lock
from unionfs.directory import DirectoryUpper
from unionfs.ownership import Ownership


@pytest.fixture(params=[errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP], ids=errno.errorcode.get)
def disk(request, tmp_path, monkeypatch):
    """A directory whose files cannot be locked."""
    place = tmp_path / "disk"
    place.mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    flock = fcntl.flock

    def refused(fd: int, operation: int) -> None:
        if os.readlink(f"/proc/self/fd/{fd}").startswith(str(place)):
            raise OSError(request.param, os.strerror(request.param))
        flock(fd, operation)

    monkeypatch.setattr(fcntl, "flock", refused)
    return place


def test_lock_holds_between_processes_of_this_node(disk):
    path = disk / "lock"
    held = acquire_lock(path)
    assert acquire_lock(path, wait=False) is None
    assert acquire_lock(disk / "another", wait=False) is not None
    held.release()
    shared = acquire_lock(path, shared=True)
    assert acquire_lock(path, shared=True, wait=False) is not None
    assert acquire_lock(path, wait=False) is None
    shared.release()


def test_work_directory_is_one_mounts(disk):
    places = (bytes(disk / "upper"), bytes(disk / "work"))
    upper = DirectoryUpper(*places, ownership=Ownership.DATA)
    with pytest.raises(OSError, match="in use by another mount"):
        DirectoryUpper(*places, ownership=Ownership.DATA)
    upper.close()
    DirectoryUpper(*places, ownership=Ownership.DATA).close()


def test_directory_of_locks_that_others_can_write_is_refused(disk, tmp_path):
    locks = tmp_path / f"rootless-locks-{os.getuid()}"
    locks.mkdir()
    locks.chmod(0o777)
    with pytest.raises(PermissionError, match="XDG_RUNTIME_DIR"):
        acquire_lock(disk / "lock")
