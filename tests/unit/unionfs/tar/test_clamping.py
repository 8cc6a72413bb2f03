"""Late times in archives are replaced, and nothing else."""

from __future__ import annotations

import io
import stat
import tarfile

from unionfs.model import Attributes
from unionfs.tar.clamping import clamped_archive
from unionfs.tar.writer import TarEntry, archive

NEWEST = 1_600_000_000
BEFORE, AFTER = NEWEST * 10**9 - 1, NEWEST * 10**9 + 1


def member(path: bytes, mtime_ns: int, data: bytes = b"", **more):
    mode = more.pop("mode", stat.S_IFREG | 0o640)
    attributes = Attributes(1, mode, 1, 1000, 1000, 0, len(data), 0, 0, mtime_ns, 0)
    return TarEntry(path, attributes, **more), [data] if data else []


def written(*members) -> bytes:
    return b"".join(archive(members))


def clamped(data: bytes) -> bytes:
    return b"".join(clamped_archive(io.BytesIO(data), NEWEST))


def test_an_archive_without_late_times_stays_as_it_is():
    long = b"d/" * 90 + b"long"
    data = written(
        member(b"", 0, mode=stat.S_IFDIR | 0o755),
        member(b"a", BEFORE, b"x" * 513, xattrs={b"user.a": b"b=c"}),
        member(b"b", NEWEST * 10**9, b"y" * 512),
        member(long, -5, b"z"),
        member(b"l", 0, mode=stat.S_IFLNK | 0o777, target=b"t" * 150),
    )
    assert clamped(data) == data


def test_late_times_become_the_newest_that_may_be():
    late = written(
        member(b"d", AFTER, mode=stat.S_IFDIR | 0o755),
        member(b"fraction", AFTER, b"x" * 700),
        member(b"whole", AFTER + 10**9 - 1, b"y"),
        member(b"attributes", AFTER, xattrs={b"user.a": b"b"}),
        member(b"n" * 150, AFTER, b"z"),
        member(b"after", 1 << 63, b"w"),
        member(b"early", BEFORE),
    )
    seconds = NEWEST * 10**9
    assert clamped(late) == written(
        member(b"d", seconds, mode=stat.S_IFDIR | 0o755),
        member(b"fraction", seconds, b"x" * 700),
        member(b"whole", seconds, b"y"),
        member(b"attributes", seconds, xattrs={b"user.a": b"b"}),
        member(b"n" * 150, seconds, b"z"),
        member(b"after", seconds, b"w"),
        member(b"early", BEFORE),
    )


def test_data_that_looks_like_a_header_is_left_alone():
    inner = written(member(b"inner", AFTER, b"x"))
    found = clamped(written(member(b"outer", AFTER, inner)))
    with tarfile.open(fileobj=io.BytesIO(found)) as opened:
        assert opened.getmember("outer").mtime == NEWEST
        assert opened.extractfile("outer").read() == inner
