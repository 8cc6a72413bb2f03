"""The requests that make up nearly all of the traffic, decoded and answered in one go: those for
data, attributes and listings. fast_names.py has those for names.

A second way to the same replies: decoding.py, handlers.py and replies.py are the reference, and
tests hold every reply made here against theirs. A hot path makes no value for the request and none
for the reply, which halves the cost of a request. Whatever is not plain (a wrong length, a name that
does not end, a file to be copied first) is left to the reference by returning None.
"""

from __future__ import annotations

from errno import ENODATA, ENOTTY
from struct import Struct

from unionfs.filesystem import FileSystem
from unionfs.model import Attributes, NodeId, SetAttributes
from unionfs.session import replies, wire
from unionfs.session.copies import BIG, MORE_THAN_TIMES
from unionfs.session.counters import CONTROLS, Counters
from unionfs.session.handlers import CHANGES_SOMETHING, DOT_COOKIES, KILLS_PRIVILEGES
from unionfs.session.replies import DIRECTORY_BLOCK_SIZE, FILE_BLOCK_SIZE
from unionfs.session.slow_reads import SlowReads
from unionfs.session.splicing import LEAST, MOST, Splicer
from unionfs.session.wire import Opcode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeAlias

HotPath: TypeAlias = "Callable[[int, NodeId, int], bytes | memoryview | None]"
"""From unique, node and length of the message in the buffer to a whole reply; None: ask the
reference. An empty one: nothing is to be sent, or has been sent."""

_new = tuple.__new__
_HEADER = wire.IN_HEADER.size
_FIXED = _HEADER + wire.WRITE_IN.size
_OUT = wire.OUT_HEADER
_OUT_SIZE = _OUT.size
_SECOND = 1_000_000_000
_S_IFMT = 0o170000
_S_IFDIR = 0o040000
_READ_ROOM = 1 << 20
_CAPABILITY = b"security.capability"
_NUL = b"\0"
_IOCTL_SIZE = _HEADER + wire.IOCTL_IN.size

_READ = wire.READ_IN
_WRITE = wire.WRITE_IN
_DIRENTPLUS = wire.DIRENTPLUS
_ENTRYPLUS = Struct("=Q32s" + wire.ATTR.format[1:-1] + "4xQQII")
"""fuse_direntplus, with what is the same in all of them in one piece: see `_valid`."""
_PADDING = [bytes(length) for length in range(8)]
_READ_SIZE = _HEADER + wire.READ_IN.size
_RELEASE_SIZE = _HEADER + wire.RELEASE_IN.size
_GETATTR_SIZE = _HEADER + wire.GETATTR_IN.size
_SETATTR_SIZE = _HEADER + wire.SETATTR_IN.size
_KILL_SUIDGID = int(wire.WRITE_KILL_SUIDGID)
_SETATTR = wire.SETATTR_IN
_GETXATTR = wire.GETXATTR_IN
_IOCTL = wire.IOCTL_IN

_ATTR_REPLY = Struct("=IiQ" + wire.ATTR_OUT.format[1:])
_WRITE_REPLY = Struct("=IiQ" + wire.WRITE_OUT.format[1:])

_MODE = int(wire.SetattrValid.MODE)
_UID = int(wire.SetattrValid.UID)
_GID = int(wire.SetattrValid.GID)
_SIZE = int(wire.SetattrValid.SIZE)
_MTIME = int(wire.SetattrValid.MTIME)
_ATIME = int(wire.SetattrValid.ATIME)
_TIMES = _ATIME | _MTIME
_CTIME = int(wire.SetattrValid.CTIME)


class HotPaths:
    """`buffer` is where messages are read to. `must_wait` says whether a change to a file has to
    wait for a copy. `table` is by opcode."""

    def __init__(
        self,
        filesystem: FileSystem,
        timeout: float,
        buffer: memoryview,
        must_wait: Callable[..., bool],
        *,
        counters: Counters,
        splicer: Splicer,
        slow_reads: SlowReads,
    ) -> None:
        self._splicer = splicer
        self._slow_reads = slow_reads
        self._counters = counters
        self._buffer = buffer
        self._must_wait = must_wait
        self._seconds = int(timeout)
        self._nsec = int((timeout - self._seconds) * _SECOND)
        # Generation, then how long name and attributes hold (fuse_entry_out).
        self._valid = Struct("=QQQII").pack(0, self._seconds, self._seconds, self._nsec, self._nsec)
        self._answer = memoryview(bytearray(_OUT_SIZE + _READ_ROOM))
        self._fs_getattr = filesystem.getattr
        self._fs_setattr = filesystem.setattr
        self._fs_read_into = filesystem.read_into
        self._fs_source = filesystem.source
        self._fs_write = filesystem.write
        self._fs_getxattr = filesystem.getxattr
        self._fs_readdirplus = filesystem.readdirplus
        self._fs_parent = filesystem.parent
        self._fs_lacks_capabilities = filesystem.lacks_capabilities
        self.table: dict[int, HotPath] = {
            Opcode.GETATTR: self.getattr,
            Opcode.SETATTR: self.setattr,
            Opcode.READ: self.read,
            Opcode.WRITE: self.write,
            Opcode.RELEASE: self.nothing,
            Opcode.RELEASEDIR: self.nothing,
            Opcode.GETXATTR: self.getxattr,
            Opcode.READDIRPLUS: self.readdirplus,
            Opcode.IOCTL: self.ioctl,
        }

    def _attributes(self, unique: int, attributes: Attributes) -> bytes:
        ino, mode, nlink, uid, gid, rdev, size, blocks, atime, mtime, ctime = attributes
        return _ATTR_REPLY.pack(
            120, 0, unique, self._seconds, self._nsec, 0,
            ino, size, blocks, atime // _SECOND, mtime // _SECOND, ctime // _SECOND,
            atime % _SECOND, mtime % _SECOND, ctime % _SECOND, mode, nlink, uid, gid,
            rdev & 0xFFFFFFFF,
            DIRECTORY_BLOCK_SIZE if mode & _S_IFMT == _S_IFDIR else FILE_BLOCK_SIZE, 0,
        )  # fmt: skip

    def getattr(self, unique: int, nodeid: NodeId, length: int) -> bytes | None:
        if length != _GETATTR_SIZE:
            return None
        return self._attributes(unique, self._fs_getattr(nodeid))

    def setattr(self, unique: int, nodeid: NodeId, length: int) -> bytes | None:
        if length != _SETATTR_SIZE:
            return None
        (
            valid, _, _, size, _, atime, mtime, ctime, atime_nsec, mtime_nsec, ctime_nsec, mode, _,
            uid, gid, _,
        ) = _SETATTR.unpack_from(self._buffer, _HEADER)  # fmt: skip
        if not valid & CHANGES_SOMETHING:
            return None
        # Times from 2^63 on are those before 1970.
        if (atime | mtime | ctime) >> 63 or (
            not (valid & _SIZE and size < BIG)
            and self._must_wait(nodeid, not valid & MORE_THAN_TIMES)
        ):
            return None
        atime_ns = mtime_ns = None
        if valid & _TIMES:
            if valid & _ATIME:
                atime_ns = atime * _SECOND + atime_nsec
            if valid & _MTIME:
                mtime_ns = mtime * _SECOND + mtime_nsec
        ctime_ns = ctime * _SECOND + ctime_nsec if valid & _CTIME else None
        # Without the constructors, which cost as much as the change itself.
        if valid & MORE_THAN_TIMES:
            changes = _new(SetAttributes, (
                mode & 0o7777 if valid & _MODE else None,
                uid if valid & _UID else None,
                gid if valid & _GID else None,
                size if valid & _SIZE else None,
                atime_ns, mtime_ns, ctime_ns, valid & KILLS_PRIVILEGES != 0,
            ))  # fmt: skip
        else:
            changes = _new(
                SetAttributes, (None, None, None, None, atime_ns, mtime_ns, ctime_ns, False)
            )
        return self._attributes(unique, self._fs_setattr(nodeid, changes))

    def nothing(self, unique: int, _nodeid: NodeId, length: int) -> bytes | None:
        return _OUT.pack(16, 0, unique) if length == _RELEASE_SIZE else None

    def ioctl(self, unique: int, _nodeid: NodeId, length: int) -> bytes | None:
        """isatty(3), which programs ask of every file that they open."""
        if length != _IOCTL_SIZE or _IOCTL.unpack_from(self._buffer, _HEADER)[4]:
            return None
        self._counters.errors += 1
        return _OUT.pack(16, -ENOTTY, unique)

    def getxattr(self, unique: int, nodeid: NodeId, length: int) -> bytes | None:
        name, end, more = bytes(self._buffer[_HEADER + 8 : length]).partition(_NUL)
        if not name or more or not end or name in CONTROLS:
            return None
        if name == _CAPABILITY and self._fs_lacks_capabilities(nodeid):
            self._counters.errors += 1
            return _OUT.pack(16, -ENODATA, unique)
        size, _ = _GETXATTR.unpack_from(self._buffer, _HEADER)
        value = self._fs_getxattr(nodeid, name)
        if size == 0:
            return _WRITE_REPLY.pack(24, 0, unique, len(value), 0)
        if len(value) > size:
            return None
        return _OUT.pack(_OUT_SIZE + len(value), 0, unique) + value

    def readdirplus(self, unique: int, nodeid: NodeId, length: int) -> memoryview | None:
        """Packed where the reply is sent from, name after name."""
        if length != _READ_SIZE:
            return None
        _, offset, size, _, _, _, _ = _READ.unpack_from(self._buffer, _HEADER)
        if size > _READ_ROOM:
            return None
        answer, at, end = self._answer, _OUT_SIZE, _OUT_SIZE + size
        if offset < DOT_COOKIES:
            # The kernel counts them as not looked up: node 0 (fuse_direntplus_link).
            dots = [(2, b"..", self._fs_parent(nodeid))]
            if offset == 0:
                dots.insert(0, (1, b".", self._fs_getattr(nodeid)))
            for cookie, name, attributes in dots:
                entry = replies.direntplus(0, attributes, cookie, name)
                answer[at : at + len(entry)] = entry
                at += len(entry)
        try:
            told = self._fs_readdirplus(
                nodeid, max(offset - DOT_COOKIES, 0), end - at, _DIRENTPLUS.size
            )
        except OSError:
            # The error comes again with the next request.
            if at == _OUT_SIZE:
                raise
            told = ()
        pack, fixed, valid = _ENTRYPLUS.pack_into, _DIRENTPLUS.size, self._valid
        for cookie, name, number, attributes in told:
            ino, mode, nlink, uid, gid, rdev, size, blocks, atime, mtime, ctime = attributes
            length = len(name)
            pack(
                answer, at, number, valid, ino, size, blocks,
                atime // _SECOND, mtime // _SECOND, ctime // _SECOND,
                atime % _SECOND, mtime % _SECOND, ctime % _SECOND, mode, nlink, uid, gid,
                rdev & 0xFFFFFFFF,
                DIRECTORY_BLOCK_SIZE if mode & _S_IFMT == _S_IFDIR else FILE_BLOCK_SIZE,
                ino, cookie + DOT_COOKIES, length, mode >> 12 & 0xF,
            )  # fmt: skip
            at += fixed
            answer[at : at + length] = name
            at += length
            if length & 7:
                length = -length & 7
                answer[at : at + length] = _PADDING[length]
                at += length
        _OUT.pack_into(answer, 0, at, 0, unique)
        return answer[:at]

    def read(self, unique: int, nodeid: NodeId, length: int) -> bytes | memoryview | None:
        """What is large goes from file to device; what is not is read to behind the header of the
        reply, so that it is copied once."""
        if length != _READ_SIZE:
            return None
        _, offset, size, _, _, _, _ = _READ.unpack_from(self._buffer, _HEADER)
        if size > _READ_ROOM:
            return None
        slow = self._slow_reads
        if slow.are_expected and slow.take(unique, nodeid, offset, size):
            return b""
        counted = self._counters.bytes
        if LEAST <= size <= MOST:
            found = self._fs_source(nodeid, offset, size)
            if found is not None and found[2] >= LEAST:
                file, position, available = found
                header = _OUT.pack(_OUT_SIZE + available, 0, unique)
                if self._splicer.reply(header, file, position, available):
                    counted[Opcode.READ] += available
                    return b""
        answer = self._answer
        read = self._fs_read_into(nodeid, offset, answer[_OUT_SIZE : _OUT_SIZE + size])
        counted[Opcode.READ] += read
        _OUT.pack_into(answer, 0, _OUT_SIZE + read, 0, unique)
        return answer[: _OUT_SIZE + read]

    def write(self, unique: int, nodeid: NodeId, length: int) -> bytes | None:
        if length < _FIXED:
            return None
        _, offset, size, write_flags, _, _, _ = _WRITE.unpack_from(self._buffer, _HEADER)
        if length != _FIXED + size or self._must_wait(nodeid):
            return None
        written = self._fs_write(
            nodeid,
            offset,
            self._buffer[_FIXED:length],
            kill_privileges=write_flags & _KILL_SUIDGID != 0,
        )
        self._counters.bytes[Opcode.WRITE] += written
        return _WRITE_REPLY.pack(24, 0, unique, written, 0)
