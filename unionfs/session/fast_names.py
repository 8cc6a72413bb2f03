"""The frequent requests for names, decoded and answered in one go: see fast_data.py."""

from __future__ import annotations

from struct import Struct

from unionfs.filesystem import Entry, FileSystem
from unionfs.model import Caller, NodeId
from unionfs.session import wire
from unionfs.session.replies import DIRECTORY_BLOCK_SIZE, FILE_BLOCK_SIZE
from unionfs.session.wire import Opcode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from unionfs.session.fast_data import HotPath

_new = tuple.__new__
_NUL = b"\0"
_HEADER = wire.IN_HEADER.size
_SECOND = 1_000_000_000
_S_IFMT, _S_IFDIR = 0o170000, 0o040000
_OWNERS = Struct("=III")
_OWNERS_AT = 24
"""Where fuse_in_header has uid, gid and pid."""
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


class HotNames:
    """As `HotPaths`. `table` is by opcode."""

    def __init__(
        self,
        filesystem: FileSystem,
        timeout: float,
        buffer: memoryview,
        must_wait: Callable[..., bool],
    ) -> None:
        self._buffer = buffer
        self._must_wait = must_wait
        self._seconds = int(timeout)
        self._nsec = int((timeout - self._seconds) * _SECOND)
        self._fs_lookup = filesystem.lookup
        self._fs_forget = filesystem.forget
        self._fs_create = filesystem.create
        self._fs_mkdir = filesystem.mkdir
        self._fs_symlink = filesystem.symlink
        self._fs_unlink = filesystem.unlink
        self._fs_rmdir = filesystem.rmdir
        self._fs_rename = filesystem.rename
        self._fs_known = filesystem.known
        self.table: dict[int, HotPath] = {
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

    def lookup(self, unique: int, nodeid: NodeId, length: int) -> bytes | None:
        name, end, more = bytes(self._buffer[_HEADER:length]).partition(_NUL)
        if not name or more or not end:
            return None
        entry = self._fs_lookup(nodeid, name)
        seconds, nsec = self._seconds, self._nsec
        if entry is None:
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

    def forget(self, _unique: int, nodeid: NodeId, length: int) -> bytes | None:
        if length != _HEADER + 8:
            return None
        (lookups,) = _FORGET.unpack_from(self._buffer, _HEADER)
        self._fs_forget(nodeid, lookups)
        return b""

    def batch_forget(self, _unique: int, _nodeid: NodeId, length: int) -> bytes | None:
        if length < _HEADER + 8:
            return None
        (count, _) = wire.BATCH_FORGET_IN.unpack_from(self._buffer, _HEADER)
        if length != _HEADER + 8 + 16 * count:
            return None
        forget = self._fs_forget
        for nodeid, lookups in _FORGET_ONE.iter_unpack(self._buffer[_HEADER + 8 : length]):
            forget(nodeid, lookups)
        return b""

    def create(self, unique: int, nodeid: NodeId, length: int) -> bytes | None:
        buffer = self._buffer
        name, end, more = bytes(buffer[_CREATE_NAME:length]).partition(_NUL)
        if not name or more or not end:
            return None
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

    def mkdir(self, unique: int, nodeid: NodeId, length: int) -> bytes | None:
        buffer = self._buffer
        name, end, more = bytes(buffer[_MKDIR_NAME:length]).partition(_NUL)
        if not name or more or not end:
            return None
        mode, umask = _MKDIR.unpack_from(buffer, _HEADER)
        caller = _new(Caller, (*_OWNERS.unpack_from(buffer, _OWNERS_AT), umask))
        return self._entry(unique, self._fs_mkdir(nodeid, name, mode, caller))

    def symlink(self, unique: int, nodeid: NodeId, length: int) -> bytes | None:
        buffer = self._buffer
        name, _, rest = bytes(buffer[_HEADER:length]).partition(_NUL)
        target, end, more = rest.partition(_NUL)
        if not name or not target or more or not end:
            return None
        caller = _new(Caller, (*_OWNERS.unpack_from(buffer, _OWNERS_AT), 0))
        return self._entry(unique, self._fs_symlink(nodeid, name, target, caller))

    def unlink(self, unique: int, nodeid: NodeId, length: int) -> bytes | None:
        name, end, more = bytes(self._buffer[_HEADER:length]).partition(_NUL)
        if not name or more or not end:
            return None
        self._fs_unlink(nodeid, name)
        return _OUT.pack(16, 0, unique)

    def rmdir(self, unique: int, nodeid: NodeId, length: int) -> bytes | None:
        name, end, more = bytes(self._buffer[_HEADER:length]).partition(_NUL)
        if not name or more or not end:
            return None
        self._fs_rmdir(nodeid, name)
        return _OUT.pack(16, 0, unique)

    def rename(self, unique: int, nodeid: NodeId, length: int) -> bytes | None:
        buffer = self._buffer
        old, _, rest = bytes(buffer[_RENAME_NAME:length]).partition(_NUL)
        new, end, more = rest.partition(_NUL)
        if not old or not new or more or not end:
            return None
        moved = self._fs_known(nodeid, old)
        if moved and self._must_wait(moved):
            return None
        (parent,) = _RENAME.unpack_from(buffer, _HEADER)
        self._fs_rename(nodeid, old, parent, new, 0)
        return _OUT.pack(16, 0, unique)
