"""utimensat(2) on a mounted union does what it does on the file system below: every combination of a
given time, now and "leave it", with and without the kernel's write cache."""

from __future__ import annotations

import ctypes
import errno
import itertools
import os
import struct
import time
from pathlib import Path

import pytest

from unionfs.session.options import ServeOptions

pytestmark = pytest.mark.needs("userns", "fuse")

UTIME_NOW, UTIME_OMIT = (1 << 30) - 1, (1 << 30) - 2
AT_FDCWD, AT_SYMLINK_NOFOLLOW = -100, 0x100
BEFORE_NS = 10**18 + 5
"""What both times are set to first."""
GIVEN = {"atime": (1_000_000_001, 7), "mtime": (999_999_999, 999_999_999)}
TICK_NS = 20_000_000
"""The kernel stamps files with its coarse clock, which is behind by up to a tick (10 ms at 100 Hz)."""

_libc = ctypes.CDLL(None, use_errno=True)


@pytest.fixture(params=[True, False], ids=["writeback", "nowriteback"])
def serve_options(request: pytest.FixtureRequest) -> ServeOptions:
    return ServeOptions(writeback=request.param)


@pytest.fixture
def populate():
    def fill(lower: Path) -> None:
        (lower / "below").write_bytes(b"from below")
        (lower / "directory").mkdir()
        (lower / "link").symlink_to("nowhere")

    return fill


def utimensat(path: Path, times: bytes | None, flags: int = 0) -> None:
    if _libc.utimensat(AT_FDCWD, bytes(path), times, flags):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def times_of(path: Path, began_ns: int) -> tuple[object, object, bool]:
    """(atime, mtime, are they equal), where a time since `began_ns` is "now"."""
    known = os.lstat(path)
    shown = [
        "now" if began_ns - TICK_NS <= ns <= time.time_ns() else ns
        for ns in (known.st_atime_ns, known.st_mtime_ns)
    ]
    return (*shown, known.st_atime_ns == known.st_mtime_ns)


def outcome(path: Path, times: bytes | None, flags: int) -> object:
    os.utime(path, ns=(BEFORE_NS, BEFORE_NS), follow_symlinks=False)
    began = time.time_ns()
    try:
        utimensat(path, times, flags)
    except OSError as error:
        return errno.errorcode[error.errno or 0]
    return times_of(path, began)


def requests() -> list[tuple[str, bytes | None]]:
    kinds = {"now": (0, UTIME_NOW), "omit": (0, UTIME_OMIT)}
    pairs = itertools.product(({**kinds, "given": GIVEN["atime"]}), ({**kinds, "given": None}))
    made: list[tuple[str, bytes | None]] = [("null", None)]
    for atime, mtime in pairs:
        first = kinds.get(atime, GIVEN["atime"])
        second = kinds.get(mtime, GIVEN["mtime"])
        made.append((f"{atime}, {mtime}", struct.pack("=qqqq", *first, *second)))
    return made


@pytest.mark.parametrize("kind", ["new", "below", "directory", "link", "written"])
def test_every_combination_is_as_on_the_file_system_below(union, tmp_path, kind):
    plain = tmp_path / "plain"
    plain.mkdir()
    for root in (union.path, plain):
        if kind in ("new", "written"):
            (root / kind).write_bytes(b"x")
        elif root is plain and kind == "below":
            (root / kind).write_bytes(b"from below")
        elif root is plain and kind == "directory":
            (root / kind).mkdir()
        elif root is plain:
            (root / kind).symlink_to("nowhere")
    flags = AT_SYMLINK_NOFOLLOW if kind == "link" else 0
    for name, times in requests():
        if kind == "written":
            for root in (union.path, plain):
                with (root / kind).open("ab") as file:
                    file.write(b"more")
        assert outcome(union.path / kind, times, flags) == outcome(plain / kind, times, flags), name


def test_touch_sets_both_times_to_one(union):
    for name in ("a", "b", "c", "directory/d"):
        path = union.path / name
        path.touch()
        os.utime(path)
        known = path.stat()
        assert known.st_atime_ns == known.st_mtime_ns, name


def test_a_write_after_a_touch_is_not_earlier(union):
    path = union.path / "file"
    path.touch()
    for _ in range(20):
        os.utime(path)
        touched = path.stat().st_mtime_ns
        with path.open("r+b") as file:
            file.write(b"x")
        assert path.stat().st_mtime_ns >= touched
