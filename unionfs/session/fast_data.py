"""The fast path for data, attributes and listings: the most frequent requests, decoded and answered in one function
each. fast_names.py has those for names.

A method makes no value for the request and none for the reply, which halves the cost of a request.
The tests hold each reply against a plain decoder and encoder (tests/support/fuse_reference.py).
"""

from __future__ import annotations

from errno import EDQUOT, EIO, ENODATA, ENOSPC, ENOTTY, EOPNOTSUPP, EPERM, ERANGE
from os import strerror
from stat import S_ISREG
from struct import Struct

from unionfs.filesystem import Files, Listings, Nodes, Xattrs
from unionfs.model import ROOT_NODES, Attributes, NodeId, SetAttributes, without_set_id
from unionfs.session import replies, wire
from unionfs.session.copies import BIG, Copies
from unionfs.session.counters import CONTROLS, FREEZE, Counters
from unionfs.session.decoding import ProtocolError
from unionfs.session.replies import DIRECTORY_BLOCK_SIZE, DOT_COOKIES, FILE_BLOCK_SIZE, Valid
from unionfs.session.slow_reads import SlowReads
from unionfs.session.splicing import MAX_SPLICE, MIN_SPLICE, Splicer
from unionfs.session.wire import Opcode, SetattrValid
from unionfs.syscalls.memory import zeros
from unionfs.xattr_names import ACCESS_ACL, ACLS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeAlias

    from unionfs.light_types import Protocol
    from unionfs.session.lost_writes import Lost

    class _FileSystem(Nodes, Files, Listings, Xattrs, Protocol): ...


Answer: TypeAlias = "Callable[[int, NodeId, int], bytes | memoryview]"
"""From the unique number, the node and the length of the message in the buffer to a whole reply; an
empty one if none is to be sent, or one has been or will be sent by other means. Raises ProtocolError,
MustWait, and OSError for the errno to reply."""

Control: TypeAlias = "Callable[[int, bytes, int], bytes | None]"
"""Reading an attribute that the session itself has (counters.CONTROLS): from the unique number, the
name and the size asked for to a whole reply, empty as above; None if the caller may not have it."""

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
_GETATTR = wire.GETATTR_IN
_OF_OPEN_FILE = wire.GETATTR_FH
_GETATTR_SIZE = _HEADER + wire.GETATTR_IN.size
_SETATTR_SIZE = _HEADER + wire.SETATTR_IN.size
_KILL_SUIDGID = int(wire.WRITE_KILL_SUIDGID)
_CACHED = int(wire.WRITE_CACHE)
_SETATTR = Struct("=IIQQQqqqIIIIIIII")
"""SETATTR_IN with signed seconds: the kernel sends a time64_t, negative before 1970."""
_GETXATTR = wire.GETXATTR_IN
_IOCTL = wire.IOCTL_IN

_ATTR_REPLY = Struct("=IiQ" + wire.ATTR_OUT.format[1:])
_WRITE_REPLY = Struct("=IiQ" + wire.WRITE_OUT.format[1:])

_MODE = int(SetattrValid.MODE)
_UID = int(SetattrValid.UID)
_GID = int(SetattrValid.GID)
_SIZE = int(SetattrValid.SIZE)
_MTIME = int(SetattrValid.MTIME)
_ATIME = int(SetattrValid.ATIME)
_CTIME = int(SetattrValid.CTIME)
_MORE_THAN_TIMES = int(
    SetattrValid.MODE
    | SetattrValid.UID
    | SetattrValid.GID
    | SetattrValid.SIZE
    | SetattrValid.KILL_SUIDGID
)
# chown(2) drops these rights for every caller; under HANDLE_KILLPRIV_V2 that is left to the server
# (fuse_setattr).
_KILLS_PRIVILEGES = int(SetattrValid.KILL_SUIDGID | SetattrValid.UID | SetattrValid.GID)
_CHANGES_SOMETHING = _MODE | _UID | _GID | _SIZE | _ATIME | _MTIME
"""A request with none of these is what the kernel makes of chown(2) with -1 for owner and group: it
drops the rights all the same, and does not say so."""


class FastData:
    """`buffer` is where messages are read to, `valid` for how long the kernel may keep attributes,
    `acls` whether there are POSIX ACLs.
    `table` is by opcode."""

    def __init__(
        self,
        filesystem: _FileSystem,
        valid: Valid,
        buffer: memoryview,
        copies: Copies,
        *,
        counters: Counters,
        splicer: Splicer,
        slow_reads: SlowReads,
        device: int,
        control: Control,
        acls: bool,
    ) -> None:
        self._splicer = splicer
        self._slow_reads = slow_reads
        self._device = device
        self._lost: Lost = {}
        self._counters = counters
        self._buffer = buffer
        self._require_copied = copies.require_copied
        self._control = control
        self._acls = acls
        self._seconds, self._nsec = valid
        # Generation, then how long name and attributes hold (fuse_entry_out).
        self._valid = Struct("=QQQII").pack(0, self._seconds, self._seconds, self._nsec, self._nsec)
        self._answer = zeros(_OUT_SIZE + _READ_ROOM)
        self._fs_getattr = filesystem.getattr
        self._fs_setattr = filesystem.setattr
        self._fs_read_into = filesystem.read_into
        self._fs_source = filesystem.source
        self._fs_write = filesystem.write
        self._fs_getxattr = filesystem.getxattr
        self._fs_readdirplus = filesystem.readdirplus
        self._fs_parent = filesystem.parent
        self._fs_lacks_capabilities = filesystem.lacks_capabilities
        self._fs_lacks_acl = filesystem.lacks_acl
        self.table: dict[int, Answer] = {
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

    def getattr(self, unique: int, nodeid: NodeId, length: int) -> bytes:
        if length != _GETATTR_SIZE:
            raise ProtocolError("GETATTR has another length")
        if self._lost and _GETATTR.unpack_from(self._buffer, _HEADER)[0] & _OF_OPEN_FILE:
            from unionfs.session.lost_writes import report

            report(self._lost, nodeid)
        return self._attributes(unique, self._fs_getattr(nodeid))

    def setattr(self, unique: int, nodeid: NodeId, length: int) -> bytes:
        """With ATIME_NOW and MTIME_NOW the kernel sends its own time of the request in the same
        fields (notify_change, iattr_to_fattr), which is the one that a local file system would
        store: both times are then equal, and no later than those of the writes that follow."""
        if length != _SETATTR_SIZE:
            raise ProtocolError("SETATTR has another length")
        (
            valid, _, _, size, _, atime, mtime, ctime, atime_nsec, mtime_nsec, ctime_nsec, mode, _,
            uid, gid, _,
        ) = _SETATTR.unpack_from(self._buffer, _HEADER)  # fmt: skip
        if not valid & ~_CTIME:
            self._require_owner_of_rights(nodeid, valid)
        # Of a file that is cut to little, only that little is copied.
        if not (valid & _SIZE and size < BIG):
            self._require_copied(nodeid, times_only=not valid & _MORE_THAN_TIMES)
        atime_ns = atime * _SECOND + atime_nsec if valid & _ATIME else None
        mtime_ns = mtime * _SECOND + mtime_nsec if valid & _MTIME else None
        ctime_ns = ctime * _SECOND + ctime_nsec if valid & _CTIME else None
        # Without the constructor, which costs as much as the change itself.
        if valid & _MORE_THAN_TIMES:
            changes = _new(SetAttributes, (
                mode & 0o7777 if valid & _MODE else None,
                uid if valid & _UID else None,
                gid if valid & _GID else None,
                size if valid & _SIZE else None,
                atime_ns, mtime_ns, ctime_ns,
                valid & _KILLS_PRIVILEGES != 0 or not valid & _CHANGES_SOMETHING,
            ))  # fmt: skip
        else:
            changes = _new(SetAttributes, (
                None, None, None, None, atime_ns, mtime_ns, ctime_ns,
                not valid & _CHANGES_SOMETHING,
            ))  # fmt: skip
        return self._attributes(unique, self._fs_setattr(nodeid, changes))

    def _require_owner_of_rights(self, nodeid: NodeId, valid: int) -> None:
        """chown(2) to the owner that there is: setattr_prepare (fs/attr.c) asks for the owner only
        where the mode is to change, and the kernel does not know that it is. Of a regular file whose
        times it does not keep (`nowriteback`) the same request follows a write, which needs no
        owner."""
        attributes = self._fs_getattr(nodeid)
        mode = attributes.mode
        if without_set_id(mode) == mode or (not valid and S_ISREG(mode)):
            return
        uid, _, pid = wire.OWNERS.unpack_from(self._buffer, wire.OWNERS_AT)
        if uid == wire.INVALID_ID:
            from unionfs.session.callers import may_be_owner

            may = may_be_owner(pid, attributes.uid)
        else:
            may = uid in (0, attributes.uid)
        if not may:
            raise PermissionError(EPERM, strerror(EPERM))

    def nothing(self, unique: int, _nodeid: NodeId, length: int) -> bytes:
        if length != _RELEASE_SIZE:
            raise ProtocolError("RELEASE has another length")
        return _OUT.pack(16, 0, unique)

    def ioctl(self, unique: int, _nodeid: NodeId, length: int) -> bytes:
        """isatty(3), which programs ask of every file that they open. Not ENOSYS: before Linux 5.16
        that reached callers who ask for file flags, and who took it for a failure."""
        if (
            length < _IOCTL_SIZE
            or length != _IOCTL_SIZE + _IOCTL.unpack_from(self._buffer, _HEADER)[4]
        ):
            raise ProtocolError("IOCTL has another length")
        self._counters.errors += 1
        return _OUT.pack(16, -ENOTTY, unique)

    def getxattr(self, unique: int, nodeid: NodeId, length: int) -> bytes:
        name, end, more = bytes(self._buffer[_HEADER + 8 : length]).partition(_NUL)
        if not name or more or not end:
            raise ProtocolError("the message does not hold one name and its end")
        if (name == _CAPABILITY and self._fs_lacks_capabilities(nodeid)) or (
            name == ACCESS_ACL and self._acls and self._fs_lacks_acl(nodeid)
        ):
            self._counters.errors += 1
            return _OUT.pack(16, -ENODATA, unique)
        size, _ = _GETXATTR.unpack_from(self._buffer, _HEADER)
        if nodeid in ROOT_NODES and (name in CONTROLS or name.startswith(FREEZE)):
            reply = self._control(unique, name, size)
            if reply is not None:
                return reply
        if not self._acls and name in ACLS:
            raise OSError(EOPNOTSUPP, strerror(EOPNOTSUPP))
        value = self._fs_getxattr(nodeid, name)
        if size == 0:
            return _WRITE_REPLY.pack(24, 0, unique, len(value), 0)
        if len(value) > size:
            raise OSError(ERANGE, strerror(ERANGE))
        return _OUT.pack(_OUT_SIZE + len(value), 0, unique) + value

    def readdirplus(self, unique: int, nodeid: NodeId, length: int) -> memoryview:
        """Packed where the reply is sent from, name after name."""
        if length != _READ_SIZE:
            raise ProtocolError("READDIRPLUS has another length")
        _, offset, size, _, _, _, _ = _READ.unpack_from(self._buffer, _HEADER)
        if size > _READ_ROOM:
            raise ProtocolError(f"READDIRPLUS asks for {size} bytes")
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
            entries = self._fs_readdirplus(
                nodeid, max(offset - DOT_COOKIES, 0), end - at, _DIRENTPLUS.size
            )
        except OSError:
            # The error comes again with the next request.
            if at == _OUT_SIZE:
                raise
            entries = ()
        pack, fixed, valid = _ENTRYPLUS.pack_into, _DIRENTPLUS.size, self._valid
        for cookie, name, number, attributes in entries:
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

    def read(self, unique: int, nodeid: NodeId, length: int) -> bytes | memoryview:
        """A large reply goes from file to device; a small one is read to behind its header, so that
        it is copied once."""
        if length != _READ_SIZE:
            raise ProtocolError("READ has another length")
        _, offset, size, _, _, _, _ = _READ.unpack_from(self._buffer, _HEADER)
        if size > _READ_ROOM:
            raise ProtocolError(f"READ asks for {size} bytes")
        slow = self._slow_reads
        if slow.are_expected and slow.take(unique, nodeid, offset, size):
            return b""
        counted = self._counters.bytes
        if MIN_SPLICE <= size <= MAX_SPLICE:
            found = self._fs_source(nodeid, offset, size)
            if found is not None and found[2] >= MIN_SPLICE:
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

    def _write_rest(self, nodeid: NodeId, offset: int, done: int, length: int) -> int:
        """Of pages of the kernel's cache: it takes them for written whatever number the reply has
        (fuse_writepage_end), so that they are lost unless the reply is an error."""
        first = done
        while _FIXED + done < length:
            written = self._fs_write(nodeid, offset + done, self._buffer[_FIXED + done : length])
            if not written:
                raise OSError(EIO, strerror(EIO))
            done += written
        self._counters.bytes[Opcode.WRITE] += done - first
        return done - first

    def write(self, unique: int, nodeid: NodeId, length: int) -> bytes:
        if length < _FIXED:
            raise ProtocolError("WRITE has another length")
        _, offset, size, write_flags, _, _, _ = _WRITE.unpack_from(self._buffer, _HEADER)
        if length != _FIXED + size:
            raise ProtocolError(f"WRITE of {size} bytes comes with {length - _FIXED}")
        self._require_copied(nodeid)
        try:
            written = self._fs_write(
                nodeid,
                offset,
                self._buffer[_FIXED:length],
                kill_privileges=write_flags & _KILL_SUIDGID != 0,
            )
            self._counters.bytes[Opcode.WRITE] += written
            if written < size and write_flags & _CACHED:
                written += self._write_rest(nodeid, offset, written, length)
        except OSError as failed:
            if write_flags & _CACHED:
                from unionfs.session.lost_writes import note

                note(self._lost, self._device, nodeid, failed)
                if failed.errno == EDQUOT:
                    # close(2) and msync(2) report any other error of a page of the cache as EIO (mapping_set_error).
                    raise OSError(ENOSPC, strerror(ENOSPC)) from failed
            raise
        return _WRITE_REPLY.pack(24, 0, unique, written, 0)
