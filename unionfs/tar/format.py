"""The tar format as a push parser: bytes in, members out. Pure, no I/O.

Dialects: version 7, ustar, pax (extended and global headers), old and new GNU (long names, base-256
numbers, sparse files), star. Sources: POSIX.1-2017 pax(1) "ustar Interchange Format" and "pax
Interchange Format"; tar.h and "Storing Sparse Files" of the GNU tar manual; libarchive tar(5).

The parser is a generator that yields the number of bytes it needs next (positive) or skips
(negative), so file data is counted and never read. Memory is bounded for every archive: extended
headers, long names and sparse maps have the limits below. A malformed archive raises TarError with
the position of the header concerned.

Where readers differ, this one follows Go's archive/tar, with which every published layer has been
read: links, devices, directories and fifos have no data, with any size in the header; one zero block
followed by a header is an error; an archive may end without zero blocks, where a header could follow
or in the padding before. One difference: global pax headers apply (POSIX).
"""

from __future__ import annotations

import stat
from collections.abc import Generator
from typing import NamedTuple, TypeAlias

from unionfs.tar.fields import (
    MAX_SIZE,
    Records,
    check_sum,
    clamp_time,
    decimal,
    device_number,
    name_and_times,
    number,
    parse_extents,
    parse_records,
    parse_xattrs,
    record_value,
    time_ns,
)

BLOCK = 512
MAX_HEADER = 1 << 20
"""Bytes of one extended header, of one long name and of one sparse map. The limits of GNU tar and Go
are similar."""
MAX_PATH = 1 << 16
MAX_ID = (1 << 32) - 1
_ZERO = bytes(BLOCK)

Step: TypeAlias = Generator[int, bytes, None]


class TarError(ValueError):
    """The archive is malformed. `position` is the byte at which the member concerned starts."""

    def __init__(self, message: str, position: int) -> None:
        super().__init__(f"{message} (at byte {position} of the archive)")
        self.position = position


class Member(NamedTuple):
    """One object of an archive.

    `path` and `target` are as stored. A hard link has `hard_link` set and `target` names the other
    member. Times are nanoseconds, None where the archive has none. `sparse` (see `tar.records`) is
    None for a file without holes.
    """

    position: int
    path: bytes
    hard_link: bool
    mode: int
    uid: int
    gid: int
    rdev: int
    size: int
    mtime_ns: int
    atime_ns: int | None
    ctime_ns: int | None
    offset: int
    target: bytes | None
    sparse: bytes | None
    xattrs: bytes | None


_TYPES = {
    b"\0": stat.S_IFREG,
    b"0": stat.S_IFREG,
    b"7": stat.S_IFREG,
    b"S": stat.S_IFREG,
    b"1": 0,
    b"2": stat.S_IFLNK,
    b"3": stat.S_IFCHR,
    b"4": stat.S_IFBLK,
    b"5": stat.S_IFDIR,
    b"D": stat.S_IFDIR,
    b"6": stat.S_IFIFO,
}


class TarParser:
    """Parses an archive that is fed in pieces. Not usable after a TarError."""

    def __init__(self) -> None:
        self._members: list[Member] = []
        self._consumed = 0
        self._machine = self._archive()
        self._want = next(self._machine)
        self._pending = b""
        self._at_boundary = True
        self._padding = 0
        self.position = 0
        """Bytes read so far, or the start of the header that is being parsed."""

    def feed(self, chunk: bytes | memoryview) -> list[Member]:
        """Parse the next bytes. Returns the members whose headers are now complete. Raises TarError."""
        self._members = []
        if self._pending:
            chunk = self._pending + bytes(chunk)
            self._pending = b""
        view = memoryview(chunk)
        send = self._machine.send
        at, end, want = 0, len(view), self._want
        base = self._consumed
        while at < end:
            if want < 0:
                step = min(-want, end - at)
                at += step
                want += step
                if want:
                    break
                self._consumed = base + at
                want = send(b"")
            elif end - at >= want:
                piece = bytes(view[at : at + want])
                at += want
                self._consumed = base + at
                want = send(piece)
            else:
                self._pending = bytes(view[at:])
                at = end - len(self._pending)
                break
        self._consumed = base + at
        self._want = want
        return self._members

    @property
    def promised(self) -> int:
        """The least that the archive is long, by the headers so far: bytes."""
        skipped = 0 if self._at_boundary else max(0, -self._want)
        return self._consumed + skipped

    def finish(self) -> int:
        """End of the archive. Returns its size in bytes; raises TarError if it is cut short."""
        in_padding = self._want < 0 and -self._want <= self._padding
        if self._pending or not (self._at_boundary or in_padding):
            raise TarError("archive is cut short", self.position)
        return self._consumed

    def _fail(self, what: str) -> TarError:
        return TarError(what, self.position)

    def _archive(self) -> Step:
        shared: Records = {}
        while True:
            self.position = self._consumed
            self._at_boundary = True
            block = yield BLOCK
            if block == _ZERO:
                if (yield BLOCK) != _ZERO:
                    raise self._fail("lone zero block in an archive")
                break
            self._at_boundary = False
            kind = self._kind(block)
            if kind == b"g":
                shared.update(self._records((yield from self._body(block))))
                continue
            if kind == b"V":
                yield from self._skip(self._field(block, 124, 136, "size"))
                continue
            yield from self._member(block, dict(shared))
        while True:
            yield -MAX_SIZE

    def _kind(self, block: bytes) -> bytes:
        try:
            sound = check_sum(block)
        except ValueError:
            sound = False
        if not sound:
            raise self._fail("header checksum does not match")
        return block[156:157]

    def _field(self, block: bytes, start: int, end: int, name: str) -> int:
        try:
            return number(block[start:end])
        except ValueError:
            raise self._fail(f"{name} in a header is not a number") from None

    def _skip(self, size: int) -> Step:
        if not 0 <= size <= MAX_SIZE - BLOCK:
            raise self._fail("size in a header is out of range")
        if size:
            self._padding = -size % BLOCK
            yield -(size + self._padding)

    def _body(self, block: bytes) -> Generator[int, bytes, bytes]:
        size = self._field(block, 124, 136, "size")
        if not 0 <= size <= MAX_HEADER:
            raise self._fail(f"extended header of {size} bytes is larger than {MAX_HEADER}")
        if not size:
            return b""
        return (yield size + -size % BLOCK)[:size]

    def _records(self, data: bytes) -> list[tuple[bytes, bytes]]:
        try:
            return parse_records(data)
        except ValueError:
            raise self._fail("malformed pax record") from None

    def _member(self, block: bytes, records: Records) -> Step:
        """Parse one member from its first header `block` on: extended headers, the header, the data."""
        long_name = long_link = None
        sparse_pairs: list[tuple[bytes, bytes]] = []
        total = 0
        kind = block[156:157]
        while kind in b"xXLK":
            data = yield from self._body(block)
            total += len(data)
            if total > MAX_HEADER:
                raise self._fail("too many extended headers before one member")
            if kind == b"L":
                long_name = data.partition(b"\0")[0]
            elif kind == b"K":
                long_link = data.partition(b"\0")[0]
            else:
                for key, value in self._records(data):
                    records[key] = value
                    if key in (b"GNU.sparse.offset", b"GNU.sparse.numbytes"):
                        sparse_pairs.append((key, value))
            block = yield BLOCK
            kind = self._kind(block)
            # So that empty extended headers are bounded, too.
            total += BLOCK
        member = self._header(block, kind, long_name, long_link, records)
        if not stat.S_ISREG(member.mode) or member.hard_link:
            self._members.append(member)
            if kind == b"D":
                # The data of a directory in an incremental dump of GNU tar: a list of names.
                yield from self._skip(self._field(block, 124, 136, "size"))
            return
        stored = member.size
        if kind == b"S":
            member = yield from self._old_sparse(block, member)
        elif any(key.startswith(b"GNU.sparse.") for key in records):
            member, stored = yield from self._pax_sparse(member, records, sparse_pairs)
        self._members.append(member)
        yield from self._skip(stored)

    def _header(
        self,
        block: bytes,
        kind: bytes,
        long_name: bytes | None,
        long_link: bytes | None,
        records: Records,
    ) -> Member:
        try:
            file_type = _TYPES[kind]
        except KeyError:
            raise self._fail(f"member of unknown type {kind!r}") from None
        path, atime, ctime = name_and_times(block)
        if long_name is not None:
            path = long_name
        target = long_link if long_link is not None else block[157:257].partition(b"\0")[0]
        try:
            values = (
                number(block[100:108]),
                number(block[108:116]),
                number(block[116:124]),
                number(block[124:136]),
                clamp_time(number(block[136:148]) * 1_000_000_000),
            )
            rdev = 0
            if kind in b"34" and block[257:262] == b"ustar":
                rdev = device_number(number(block[329:337]), number(block[337:345]))
        except ValueError:
            raise self._fail("numeric field of a header is not a number") from None
        mode, uid, gid, size, mtime = values
        xattrs = None
        if records:
            try:
                path = records.get(b"path", b"") or path
                target = records.get(b"linkpath", b"") or target
                uid = record_value(records, b"uid", decimal, uid)
                gid = record_value(records, b"gid", decimal, gid)
                size = record_value(records, b"size", decimal, size)
                mtime = record_value(records, b"mtime", time_ns, mtime)
                atime = record_value(records, b"atime", time_ns, atime)
                ctime = record_value(records, b"ctime", time_ns, ctime)
                xattrs = parse_xattrs(records)
            except ValueError:
                raise self._fail("malformed value in a pax record") from None
        if kind == b"\0" and path.endswith(b"/"):
            file_type = stat.S_IFDIR
        self._check(path, target, uid, gid, size)
        is_link = kind in b"12"
        if is_link and not target:
            raise self._fail("link without a target")
        return Member(
            self.position,
            path,
            kind == b"1",
            file_type | mode & 0o7777,
            uid,
            gid,
            rdev,
            size if file_type == stat.S_IFREG else len(target) if kind == b"2" else 0,
            mtime,
            atime,
            ctime,
            self._consumed,
            target if is_link else None,
            None,
            xattrs,
        )

    def _check(self, path: bytes, target: bytes, uid: int, gid: int, size: int) -> None:
        if not 0 <= uid <= MAX_ID or not 0 <= gid <= MAX_ID:
            raise self._fail("owner is out of range")
        if not 0 <= size <= MAX_SIZE - BLOCK:
            raise self._fail("size in a header is out of range")
        if b"\0" in path or b"\0" in target:
            raise self._fail("NUL byte in a name")
        if len(path) > MAX_PATH or len(target) > MAX_PATH:
            raise self._fail(f"name is longer than {MAX_PATH} bytes")

    def _old_sparse(self, block: bytes, member: Member) -> Generator[int, bytes, Member]:
        """GNU type S: four runs in the header, 21 in each further block."""
        numbers: list[int] = []
        real_size = self._field(block, 483, 495, "size of a sparse file")
        table, count, more = 386, 4, block[482]
        taken = 0
        while True:
            for start in range(table, table + 24 * count, 24):
                if not block[start + 12]:
                    break
                numbers.append(self._field(block, start, start + 12, "sparse map"))
                numbers.append(self._field(block, start + 12, start + 24, "sparse map"))
            if not more:
                break
            taken += BLOCK
            if taken > MAX_HEADER:
                raise self._fail("sparse map is too long")
            block = yield BLOCK
            table, count, more = 0, 21, block[504]
        return self._with_map(member, numbers, real_size, member.size)

    def _pax_sparse(
        self, member: Member, records: Records, pairs: list[tuple[bytes, bytes]]
    ) -> Generator[int, bytes, tuple[Member, int]]:
        """GNU sparse formats 0.0, 0.1 and 1.0. Returns the member and how much data follows."""
        stored = member.size
        try:
            real_size = decimal(records.get(b"GNU.sparse.realsize") or records[b"GNU.sparse.size"])
            if (
                records.get(b"GNU.sparse.major") == b"1"
                and records.get(b"GNU.sparse.minor") == b"0"
            ):
                numbers, taken = yield from self._data_map(stored)
                stored -= taken
            elif b"GNU.sparse.major" in records:
                raise ValueError("version")
            elif text := records.get(b"GNU.sparse.map"):
                numbers = [decimal(part) for part in text.split(b",")]
            else:
                if [key for key, _ in pairs] != [b"GNU.sparse.offset", b"GNU.sparse.numbytes"] * (
                    len(pairs) // 2
                ):
                    raise ValueError("order")
                numbers = [decimal(value) for _, value in pairs]
        except (ValueError, KeyError) as error:
            if isinstance(error, TarError):
                raise
            raise self._fail("malformed sparse map") from None
        member = member._replace(
            path=records.get(b"GNU.sparse.name") or member.path, offset=self._consumed
        )
        self._check(member.path, b"", 0, 0, 0)
        return self._with_map(member, numbers, real_size, stored), stored

    def _data_map(self, stored: int) -> Generator[int, bytes, tuple[list[int], int]]:
        """The map of sparse format 1.0: decimal lines at the head of the data, a count first,
        padded to a block."""
        text = b""
        wanted, lines = 1, 0
        while True:
            if len(text) + BLOCK > min(stored + -stored % BLOCK, MAX_HEADER):
                raise self._fail("sparse map does not fit its member")
            block = yield BLOCK
            text += block
            lines += block.count(b"\n")
            if wanted == 1 and lines:
                wanted = 1 + 2 * decimal(text.partition(b"\n")[0])
            if lines >= wanted:
                return [decimal(line) for line in text.split(b"\n", wanted)[1:wanted]], len(text)

    def _with_map(self, member: Member, numbers: list[int], size: int, stored: int) -> Member:
        try:
            if not 0 <= size <= MAX_SIZE:
                raise ValueError(size)
            sparse = parse_extents(numbers, size, stored)
        except ValueError:
            raise self._fail("sparse map contradicts its member") from None
        return member._replace(size=size, sparse=sparse, offset=self._consumed)
