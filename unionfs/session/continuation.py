"""Continues the connection of a killed server.

The kernel keeps the requests that were read and not answered, and gives them again when it is asked to
(FUSE_NOTIFY_RESEND, Linux 6.9), with a mark in their numbers. One that reads, or writes at an offset, is simply carried out
again. One that changes names must not be: the file that it makes may be there already. At most
one of those was under way, since one thread carries them out; its number, and whether it was
finished, lie in memory that outlives the server.

The VFS holds the directory locked for as long as such a request takes (i_rwsem). So what a resent request
finds done has been done by itself.
"""

from __future__ import annotations

import errno
import mmap
import os
from struct import Struct

from unionfs.filesystem import Entry, Names, Nodes
from unionfs.model import NodeId
from unionfs.session import replies, wire
from unionfs.session.copies import MustWait
from unionfs.session.negotiation import Agreement
from unionfs.session.wire import NotifyCode, Opcode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from unionfs.light_types import Protocol
    from unionfs.session.fast_data import Answer

    class _FileSystem(Nodes, Names, Protocol): ...


_HEADER = Struct("=IIQII")
"""Servers so far, minor version (0 before INIT), flags, maximal readahead, and whether the kernel sends requests again."""
_SERVERS = Struct("=I")
_CELL = Struct("=QQB")
"""The number of a request, an inode number, and how far it is; that is written last."""
_CELLS_AT, _CELL_SIZE, _CELLS = 64, 32, 64
"""The first is of the request under way, the others are of those that a killed server left."""
_NONE, _BEGUN, _DONE = 0, 1, 2
_RESENT = 1 << 63
"""In the number of a request that is sent again (FUSE_UNIQUE_RESEND)."""

_HEADER_SIZE = wire.IN_HEADER.size
_NUL = b"\0"
_CREATE_NAME = _HEADER_SIZE + wire.CREATE_IN.size
_EXCHANGE = 2
_XATTR_CREATE = 1

_MAKING = {
    Opcode.CREATE: _CREATE_NAME,
    Opcode.MKDIR: _HEADER_SIZE + wire.MKDIR_IN.size,
    Opcode.MKNOD: _HEADER_SIZE + wire.MKNOD_IN.size,
    Opcode.SYMLINK: _HEADER_SIZE,
    Opcode.LINK: _HEADER_SIZE + wire.LINK_IN.size,
}
"""Where the name lies that a request makes; it makes it in the node of its header."""
_REMOVING = (Opcode.UNLINK, Opcode.RMDIR, Opcode.RENAME, Opcode.RENAME2, Opcode.REMOVEXATTR)
_CHANGING = (*_MAKING, *_REMOVING, Opcode.SETXATTR)


def can_continue(fd: int) -> bool:
    """Whether another server can go on with the connection whose memory this is."""
    header = os.pread(fd, _HEADER.size, 0)
    return len(header) == _HEADER.size and bool(_HEADER.unpack(header)[4])


class Continuation:
    """The memory of one connection: the first page of `fd`, a memfd that stays the caller's."""

    def __init__(self, fd: int) -> None:
        if os.fstat(fd).st_size < mmap.PAGESIZE:
            os.ftruncate(fd, mmap.PAGESIZE)
        self._memory = mmap.mmap(fd, mmap.PAGESIZE)
        servers, minor, flags, readahead, _ = _HEADER.unpack_from(self._memory)
        self.is_first = servers == 0
        self.agreement = Agreement(minor, flags, readahead) if minor else None
        """What a killed server has agreed on with the kernel."""
        _SERVERS.pack_into(self._memory, 0, servers + 1)
        self._left = self._take_over()

    def _take_over(self) -> dict[int, tuple[int, int, int]]:
        """The requests that killed servers left: by number, the place of the cell, the inode number and
        how far it is. That of the last server moves to a place of its own."""
        left, free = {}, []
        for index in range(1, _CELLS):
            number, ino, progress = self._cell(index)
            if progress == _NONE:
                free.append(index)
            else:
                left[number] = (index, ino, progress)
        number, ino, progress = self._cell(0)
        if progress != _NONE and free:
            self._set_cell(free[0], number, ino, progress)
            left[number] = (free[0], ino, progress)
        self._set_cell(0, 0, 0, _NONE)
        return left

    def note_agreement(self, agreement: Agreement, *, resends: bool) -> None:
        """Before INIT is answered. `resends`: whether the kernel can send requests again."""
        _HEADER.pack_into(
            self._memory,
            0,
            _SERVERS.unpack_from(self._memory)[0],
            agreement.minor,
            agreement.flags,
            agreement.max_readahead,
            resends,
        )

    def resume(self, device: int) -> None:
        """Have the kernel send again what was read and not answered."""
        os.write(device, replies.notify(NotifyCode.RESEND))

    def wrap(
        self, table: dict[int, Answer], filesystem: _FileSystem, buffer: memoryview
    ) -> dict[int, Answer]:
        """The methods of requests that change names, each of which is noted while it is carried out."""
        names = _Names(filesystem, buffer)
        return {
            opcode: self._noted(opcode, table[opcode], names)
            for opcode in _CHANGING
            if opcode in table
        }

    def _noted(self, opcode: int, method: Answer, names: _Names) -> Answer:
        memory, pack = self._memory, _CELL.pack_into
        exchanges = opcode == Opcode.RENAME2

        def answer(unique: int, nodeid: NodeId, length: int) -> bytes | memoryview:
            if unique >= _RESENT and self._left:
                left = self._left.pop(unique ^ _RESENT, None)
                if left is not None:
                    index, ino, progress = left
                    try:
                        return names.again(opcode, method, (unique, nodeid, length), ino, progress)
                    finally:
                        self._set_cell(index, 0, 0, _NONE)
            ino = names.moved(nodeid, length) if exchanges else 0
            pack(memory, _CELLS_AT, unique & ~_RESENT, ino, _BEGUN)
            try:
                reply = method(unique, nodeid, length)
            except (OSError, MustWait):
                memory[_CELLS_AT + 16] = _NONE
                raise
            memory[_CELLS_AT + 16] = _DONE
            return reply

        return answer

    def _cell(self, index: int) -> tuple[int, int, int]:
        return _CELL.unpack_from(self._memory, _CELLS_AT + index * _CELL_SIZE)

    def _set_cell(self, index: int, number: int, ino: int, progress: int) -> None:
        at = _CELLS_AT + index * _CELL_SIZE
        self._memory[at + 16] = _NONE
        _CELL.pack_into(self._memory, at, number, ino, progress)

    def close(self) -> None:
        self._memory.close()


class _Names:
    """What requests for names mean, and whether they have been carried out."""

    def __init__(self, filesystem: _FileSystem, buffer: memoryview) -> None:
        self._fs = filesystem
        self._buffer = buffer

    def moved(self, nodeid: NodeId, length: int) -> int:
        """The inode number of what an exchange moves; 0 for any other rename."""
        _, flags, _ = wire.RENAME2_IN.unpack_from(self._buffer, _HEADER_SIZE)
        if not flags & _EXCHANGE:
            return 0
        name = self._name(_HEADER_SIZE + wire.RENAME2_IN.size, length)
        entry = self._fs.lookup(nodeid, name)
        if entry is None:
            return 0
        self._fs.forget(entry.nodeid, 1)
        return entry.attributes.ino

    def again(
        self,
        opcode: int,
        method: Answer,
        request: tuple[int, NodeId, int],
        ino: int,
        progress: int,
    ) -> bytes | memoryview:
        """Carry out a request that a killed server had begun, or finished."""
        unique, nodeid, length = request
        at = _MAKING.get(Opcode(opcode))
        if at is not None:
            entry = self._fs.lookup(nodeid, self._name(at, length))
            if entry is None:
                return method(unique, nodeid, length)
            return self._entry_reply(opcode, unique, entry)
        if progress == _DONE or (ino and self.moved(nodeid, length) not in (0, ino)):
            return replies.reply(unique)
        if opcode == Opcode.SETXATTR:
            self._allow_existing()
        try:
            return method(unique, nodeid, length)
        except OSError as failed:
            if opcode in _REMOVING and failed.errno in (errno.ENOENT, errno.ENODATA):
                return replies.reply(unique)
            raise

    def _entry_reply(self, opcode: int, unique: int, entry: Entry) -> bytes:
        """`lookup` has counted the reference that comes with the reply."""
        payload = replies.entry_out(entry.nodeid, entry.attributes)
        if opcode == Opcode.CREATE:
            payload = replies.create_out(payload, wire.FOPEN_KEEP_CACHE)
        return replies.reply(unique, payload)

    def _name(self, at: int, length: int) -> bytes:
        return bytes(self._buffer[at:length]).partition(_NUL)[0]

    def _allow_existing(self) -> None:
        """Take XATTR_CREATE off a SETXATTR: the attribute may have been set."""
        size, flags = wire.SETXATTR_IN_COMPAT.unpack_from(self._buffer, _HEADER_SIZE)
        wire.SETXATTR_IN_COMPAT.pack_into(self._buffer, _HEADER_SIZE, size, flags & ~_XATTR_CREATE)
