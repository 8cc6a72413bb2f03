"""Data of files on a mounted union where a request says less than the system call did: offsets
below zero, the caller's rights, direct beside buffered I/O."""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import platform
import stat
import struct
import threading
from pathlib import Path

import pytest

from unionfs.syscalls.files import FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE, fallocate

pytestmark = [pytest.mark.needs("userns", "fuse"), pytest.mark.usefixtures("device_only")]

_AIO = {"x86_64": (206, 209, 208), "aarch64": (0, 2, 4)}
"""Numbers of io_setup(2), io_submit(2) and io_getevents(2)."""
_SIZE = 640 << 10
MODES = (0o6755, 0o6644, 0o4711, 0o2755, 0o2745, 0o6777, 0o755)
OUTSIDE_MODES = (0o6755, 0o4711, 0o2755, 0o6777, 0o755)
"""For a caller in another user namespace than the mount: whether it is in the file's group is not
known to the server."""


@pytest.fixture
def populate():
    def fill(lower: Path) -> None:
        (lower / "below").write_bytes(b"from below")

    return fill


@pytest.mark.parametrize("name", ["below", "new"])
@pytest.mark.parametrize("whence", [os.SEEK_DATA, os.SEEK_HOLE])
def test_seek_to_before_the_beginning_is_enxio(union, name, whence):
    with (union.path / name).open("a+b") as file:
        file.write(b"x")
        file.flush()
        for offset in (-1, -(1 << 63)):
            with pytest.raises(OSError, match="No such device") as raised:
                os.lseek(file.fileno(), offset, whence)
            assert raised.value.errno == errno.ENXIO


def _change_data(path: Path, other: Path, how: str) -> None:
    with path.open("r+b") as file:
        if how == "allocate":
            fallocate(file.fileno(), 0, 0, 4096)
        elif how == "punch":
            fallocate(file.fileno(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 1)
        elif how == "write":
            os.pwrite(file.fileno(), b"y", 0)
        elif how == "truncate":
            os.ftruncate(file.fileno(), 2)
        else:
            with other.open("rb") as source:
                os.copy_file_range(source.fileno(), file.fileno(), 4, 0, 0)


@pytest.mark.parametrize("as_root", [True, False], ids=["root", "outside"])
@pytest.mark.parametrize("how", ["allocate", "punch", "write", "truncate", "copy"])
def test_set_id_bits_go_as_on_the_file_system_below(union, tmp_path, how, as_root):
    plain = tmp_path / "plain"
    plain.mkdir()
    mountpoint = union.mounted.mountpoint if as_root else union.path

    def modes() -> list[list[int]]:
        found = []
        for root in (mountpoint, plain):
            path, other = root / "file", root / "other"
            other.write_bytes(b"other")
            found.append([])
            for mode in MODES if as_root else OUTSIDE_MODES:
                path.write_bytes(b"content")
                path.chmod(mode)
                _change_data(path, other, how)
                found[-1].append(stat.S_IMODE(path.stat().st_mode))
        return found

    ours, theirs = union.mounted.inside(modes) if as_root else modes()
    if how == "truncate" and theirs[0] & stat.S_ISUID:
        pytest.skip("the file system below leaves set-id bits at truncate(2), as NFS does")
    assert ours == theirs


@pytest.mark.skipif(
    platform.machine() not in _AIO, reason="numbers of the calls are not known here"
)
def test_buffered_reads_see_completed_asynchronous_direct_writes(union):
    setup, submit, get_events = _AIO[platform.machine()]
    libc = ctypes.CDLL(None, use_errno=True)
    path = union.path / "file"
    path.write_bytes(bytes(_SIZE))
    os.sync()
    direct = os.open(path, os.O_RDWR | os.O_DIRECT)
    buffered = os.open(path, os.O_RDONLY)
    ended = threading.Event()

    def read_on() -> None:
        while not ended.is_set():
            os.pread(buffered, _SIZE, 0)

    reader = threading.Thread(target=read_on)
    reader.start()
    try:
        context = ctypes.c_ulong(0)
        assert libc.syscall(setup, 4, ctypes.byref(context)) == 0
        memory = mmap.mmap(-1, _SIZE)
        address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
        stale = 0
        for number in range(100):
            memory[:] = bytes([number + 1]) * _SIZE
            # struct iocb (linux/aio_abi.h): IOCB_CMD_PWRITE.
            block = ctypes.create_string_buffer(
                struct.pack("<QIIHhIQQqQII", 0, 0, 0, 1, 0, direct, address, _SIZE, 0, 0, 0, 0)
            )
            blocks = (ctypes.c_void_p * 1)(ctypes.addressof(block))
            assert libc.syscall(submit, context, 1, blocks) == 1
            event = ctypes.create_string_buffer(32)
            assert libc.syscall(get_events, context, 1, 1, event, None) == 1
            stale += os.pread(buffered, _SIZE, 0) != memory[:]
        assert stale == 0
    finally:
        ended.set()
        reader.join()
        os.close(direct)
        os.close(buffered)
