"""The fast path for names: see fast_data.py."""

from __future__ import annotations

from struct import Struct

from unionfs.filesystem import Entry, Names, Nodes
from unionfs.model import Caller, NodeId
from unionfs.session import wire
from unionfs.session.copies import Copies
from unionfs.session.decoding import ProtocolError
from unionfs.session.replies import DIRECTORY_BLOCK_SIZE, FILE_BLOCK_SIZE, Valid
from unionfs.session.wire import Opcode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from unionfs.light_types import Protocol
    from unionfs.session.fast_data import Answer

    class _FileSystem(Nodes, Names, Protocol): ...


_new = tuple.__new__
_NUL = b"\0"
_HEADER = wire.IN_HEADER.size
_SECOND = 1_000_000_000
_S_IFMT, _S_IFDIR = 0o170000, 0o040000
_OWNERS = wire.OWNERS
_OWNERS_AT = wire.OWNERS_AT
_CREATE = wire.CREATE_IN
_CREATE_NAME = _HEADER + wire.CREATE_IN.size
_MKDIR = wire.MKDIR_IN
_MKDIR_NAME = _HEADER + wire.MKDIR_IN.size
_RENAME = wire.RENAME_IN
_RENAME_NAME = _HEADER + wire.RENAME_IN.size
_FORGET = wire.FORGET_IN
_FORGET_ONE = wire.FORGET_ONE
_KEEP_CACHE = int(wire.FOPEN_KEEP_CACHE)

_OUT = wire.OUT_HEADER
_ENTRY_REPLY = Struct("=IiQ" + wire.ENTRY_OUT.format[1:])
_CREATE_REPLY = Struct("=IiQ" + wire.ENTRY_OUT.format[1:] + wire.OPEN_OUT.format[1:])

_NOT_ONE_NAME = "the message does not hold one name and its end"
_NOT_TWO_NAMES = "the message does not hold two names and their ends"


class FastNames:
    """As `FastData`. `table` is by opcode."""

    def __init__(
        self, filesystem: _FileSystem, valid: Valid, buffer: memoryview, copies: Copies
    ) -> None:
        self._buffer = buffer
        self._require_copied = copies.require_copied
        self._seconds, self._nsec = valid
        self._fs_lookup = filesystem.lookup
        self._fs_forget = filesystem.forget
        self._fs_create = filesystem.create
        self._fs_mkdir = filesystem.mkdir
        self._fs_symlink = filesystem.symlink
        self._fs_unlink = filesystem.unlink
        self._fs_rmdir = filesystem.rmdir
        self._fs_rename = filesystem.rename
        self._fs_known = filesystem.known
        self.table: dict[int, Answer] = {
            Opcode.LOOKUP: self.lookup,
            Opcode.FORGET: self.forget,
            Opcode.BATCH_FORGET: self.batch_forget,
            Opcode.CREATE: self.create,
            Opcode.MKDIR: self.mkdir,
            Opcode.SYMLINK: self.symlink,
            Opcode.UNLINK: self.unlink,
            Opcode.RMDIR: self.rmdir,
            Opcode.RENAME: self.rename,
        }

    def lookup(self, unique: int, nodeid: NodeId, length: int) -> bytes:
        name, end, more = bytes(self._buffer[_HEADER:length]).partition(_NUL)
        if not name or more or not end:
            raise ProtocolError(_NOT_ONE_NAME)
        entry = self._fs_lookup(nodeid, name)
        seconds, nsec = self._seconds, self._nsec
        if entry is None:
            # Node 0: the name does not exist, and the kernel may remember that. It forgets an
            # ENOENT at once (fuse_lookup).
            return _ENTRY_REPLY.pack(
                144, 0, unique, 0, 0, seconds, 0, nsec, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
                0, 0, 0,
            )  # fmt: skip
        return self._entry(unique, entry)

    def _entry(self, unique: int, entry: Entry) -> bytes:
        ino, mode, nlink, uid, gid, rdev, size, blocks, atime, mtime, ctime = entry.attributes
        seconds, nsec = self._seconds, self._nsec
        return _ENTRY_REPLY.pack(
            144, 0, unique, entry.nodeid, 0, seconds, seconds, nsec, nsec,
            ino, size, blocks, atime // _SECOND, mtime // _SECOND, ctime // _SECOND,
            atime % _SECOND, mtime % _SECOND, ctime % _SECOND, mode, nlink, uid, gid,
            rdev & 0xFFFFFFFF,
            DIRECTORY_BLOCK_SIZE if mode & _S_IFMT == _S_IFDIR else FILE_BLOCK_SIZE, 0,
        )  # fmt: skip

    def forget(self, _unique: int, nodeid: NodeId, length: int) -> bytes:
        if length != _HEADER + 8:
            raise ProtocolError("FORGET has another length")
        (lookups,) = _FORGET.unpack_from(self._buffer, _HEADER)
        self._fs_forget(nodeid, lookups)
        return b""

    def batch_forget(self, _unique: int, _nodeid: NodeId, length: int) -> bytes:
        if length < _HEADER + 8:
            raise ProtocolError("BATCH_FORGET has another length")
        (count, _) = wire.BATCH_FORGET_IN.unpack_from(self._buffer, _HEADER)
        if length != _HEADER + 8 + 16 * count:
            raise ProtocolError(f"{count} nodes to forget do not fill the message")
        forget = self._fs_forget
        for nodeid, lookups in _FORGET_ONE.iter_unpack(self._buffer[_HEADER + 8 : length]):
            forget(nodeid, lookups)
        return b""

    def create(self, unique: int, nodeid: NodeId, length: int) -> bytes:
        buffer = self._buffer
        name, end, more = bytes(buffer[_CREATE_NAME:length]).partition(_NUL)
        if not name or more or not end:
            raise ProtocolError(_NOT_ONE_NAME)
        flags, mode, umask, _ = _CREATE.unpack_from(buffer, _HEADER)
        uid, gid, pid = _OWNERS.unpack_from(buffer, _OWNERS_AT)
        caller = _new(Caller, (uid, gid, pid, umask))
        entry = self._fs_create(nodeid, name, mode, flags, caller)
        ino, mode, nlink, uid, gid, rdev, size, blocks, atime, mtime, ctime = entry.attributes
        seconds, nsec = self._seconds, self._nsec
        return _CREATE_REPLY.pack(
            160, 0, unique, entry.nodeid, 0, seconds, seconds, nsec, nsec,
            ino, size, blocks, atime // _SECOND, mtime // _SECOND, ctime // _SECOND,
            atime % _SECOND, mtime % _SECOND, ctime % _SECOND, mode, nlink, uid, gid,
            rdev & 0xFFFFFFFF, FILE_BLOCK_SIZE, 0, 0, _KEEP_CACHE, 0,
        )  # fmt: skip

    def mkdir(self, unique: int, nodeid: NodeId, length: int) -> bytes:
        buffer = self._buffer
        name, end, more = bytes(buffer[_MKDIR_NAME:length]).partition(_NUL)
        if not name or more or not end:
            raise ProtocolError(_NOT_ONE_NAME)
        mode, umask = _MKDIR.unpack_from(buffer, _HEADER)
        caller = _new(Caller, (*_OWNERS.unpack_from(buffer, _OWNERS_AT), umask))
        return self._entry(unique, self._fs_mkdir(nodeid, name, mode, caller))

    def symlink(self, unique: int, nodeid: NodeId, length: int) -> bytes:
        buffer = self._buffer
        name, _, rest = bytes(buffer[_HEADER:length]).partition(_NUL)
        target, end, more = rest.partition(_NUL)
        if not name or not target or more or not end:
            raise ProtocolError(_NOT_TWO_NAMES)
        caller = _new(Caller, (*_OWNERS.unpack_from(buffer, _OWNERS_AT), 0))
        return self._entry(unique, self._fs_symlink(nodeid, name, target, caller))

    def unlink(self, unique: int, nodeid: NodeId, length: int) -> bytes:
        name, end, more = bytes(self._buffer[_HEADER:length]).partition(_NUL)
        if not name or more or not end:
            raise ProtocolError(_NOT_ONE_NAME)
        self._fs_unlink(nodeid, name)
        return _OUT.pack(16, 0, unique)

    def rmdir(self, unique: int, nodeid: NodeId, length: int) -> bytes:
        name, end, more = bytes(self._buffer[_HEADER:length]).partition(_NUL)
        if not name or more or not end:
            raise ProtocolError(_NOT_ONE_NAME)
        self._fs_rmdir(nodeid, name)
        return _OUT.pack(16, 0, unique)

    def rename(self, unique: int, nodeid: NodeId, length: int) -> bytes:
        buffer = self._buffer
        old, _, rest = bytes(buffer[_RENAME_NAME:length]).partition(_NUL)
        new, end, more = rest.partition(_NUL)
        if not old or not new or more or not end:
            raise ProtocolError(_NOT_TWO_NAMES)
        moved = self._fs_known(nodeid, old)
        if moved:
            self._require_copied(moved)
        (parent,) = _RENAME.unpack_from(buffer, _HEADER)
        self._fs_rename(nodeid, old, parent, new, 0)
        return _OUT.pack(16, 0, unique)
