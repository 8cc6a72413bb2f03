"""Decoding of the rarer requests: bytes in, one value per request out. Pure, no I/O.

The rule for this file: whatever the bytes, the outcome is a request or a ProtocolError, nothing
else. The frequent requests are decoded where they are answered (fast_data.py, fast_names.py).

A message is `fuse_in_header`, a fixed part, then names, each ended by a NUL, or a value.
"""

from __future__ import annotations

from struct import Struct

from unionfs.session import wire
from unionfs.session.requests import (
    CopyFileRange,
    Create,
    Empty,
    Fallocate,
    Flush,
    Fsync,
    Header,
    Init,
    Link,
    Listxattr,
    Lseek,
    Mknod,
    Name,
    Read,
    Rename,
    Request,
    Setxattr,
    Statx,
)
from unionfs.session.wire import Opcode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


class ProtocolError(Exception):
    """The message is not one the kernel could have sent under what was negotiated."""


def decode_header(message: bytes | memoryview) -> Header:
    """The header of a message of at least 40 bytes."""
    length, opcode, unique, nodeid, uid, gid, pid, extensions, _ = wire.IN_HEADER.unpack_from(
        message
    )
    return Header(length, opcode, unique, nodeid, uid, gid, pid, extensions)


def decode(opcode: int, body: bytes, *, setxattr_ext: bool = False) -> Request:
    """The request of a body without extensions. `setxattr_ext`: SETXATTR has the layout that was
    agreed on by SETXATTR_EXT."""
    if opcode == Opcode.SETXATTR:
        return _setxattr(body, extended=setxattr_ext)
    decoder = _DECODERS.get(opcode)
    if decoder is None:
        raise ProtocolError(f"operation {opcode} is unknown")
    return decoder(body)


# ---- the parts of a body -------------------------------------------------------------------------


def _unpack(layout: Struct, body: bytes, position: int = 0) -> tuple[int, ...]:
    if len(body) < position + layout.size:
        raise ProtocolError(f"a body of {len(body)} bytes ends within its fixed part")
    return layout.unpack_from(body, position)


def _exactly(layout: Struct, body: bytes) -> tuple[int, ...]:
    if len(body) != layout.size:
        raise ProtocolError(f"a body of {len(body)} bytes should have {layout.size}")
    return layout.unpack(body)


def _name(body: bytes, position: int) -> bytes:
    """One name to the end of the body."""
    if len(body) < position + 2 or body.find(b"\0", position) != len(body) - 1:
        raise ProtocolError("a name is empty or does not end the message")
    return body[position:-1]


def _two_names(body: bytes, position: int) -> tuple[bytes, bytes]:
    end = body.find(b"\0", position)
    if end <= position:
        raise ProtocolError("a name is empty or does not end")
    return body[position:end], _name(body, end + 1)


# ---- one decoder per layout ----------------------------------------------------------------------


def _empty(body: bytes) -> Empty:
    if body:
        raise ProtocolError(f"a body of {len(body)} bytes should be empty")
    return Empty()


def _lone_name(body: bytes) -> Name:
    return Name(_name(body, 0))


def _mknod(body: bytes) -> Mknod:
    mode, rdev, umask, _ = _unpack(wire.MKNOD_IN, body)
    return Mknod(mode, rdev, umask, _name(body, wire.MKNOD_IN.size))


def _rename2(body: bytes) -> Rename:
    new_parent, flags, _ = _unpack(wire.RENAME2_IN, body)
    return Rename(new_parent, flags, *_two_names(body, wire.RENAME2_IN.size))


def _link(body: bytes) -> Link:
    (nodeid,) = _unpack(wire.LINK_IN, body)
    return Link(nodeid, _name(body, wire.LINK_IN.size))


def _create(body: bytes) -> Create:
    flags, mode, umask, open_flags = _unpack(wire.CREATE_IN, body)
    return Create(flags, mode, umask, open_flags, _name(body, wire.CREATE_IN.size))


def _read(body: bytes) -> Read:
    fh, offset, size, read_flags, lock_owner, flags, _ = _exactly(wire.READ_IN, body)
    return Read(fh, offset, size, read_flags, lock_owner, flags)


def _fsync(body: bytes) -> Fsync:
    fh, flags, _ = _exactly(wire.FSYNC_IN, body)
    return Fsync(fh, flags)


def _flush(body: bytes) -> Flush:
    fh, _, _, lock_owner = _exactly(wire.FLUSH_IN, body)
    return Flush(fh, lock_owner)


def _setxattr(body: bytes, *, extended: bool) -> Setxattr:
    if extended:
        size, flags, acl_flags, _ = _unpack(wire.SETXATTR_IN, body)
        start = wire.SETXATTR_IN.size
    else:
        size, flags = _unpack(wire.SETXATTR_IN_COMPAT, body)
        acl_flags = 0
        start = wire.SETXATTR_IN_COMPAT.size
    end = body.find(b"\0", start)
    if end <= start:
        raise ProtocolError("the name of an attribute is empty or does not end")
    value = body[end + 1 :]
    if len(value) != size:
        raise ProtocolError(f"an attribute of {size} bytes comes with {len(value)}")
    return Setxattr(flags, acl_flags, body[start:end], value)


def _listxattr(body: bytes) -> Listxattr:
    size, _ = _exactly(wire.GETXATTR_IN, body)
    return Listxattr(size)


def decode_init(body: bytes) -> Init:
    """Before 7.36 the message ends at the first flag word; a newer kernel may send more than
    this decodes."""
    if len(body) < wire.INIT_IN.size:
        major, minor, max_readahead, flags = _unpack(wire.INIT_IN_COMPAT, body)
        return Init(major, minor, max_readahead, flags)
    major, minor, max_readahead, flags, flags2 = _unpack(wire.INIT_IN, body)
    if flags & wire.InitFlag.INIT_EXT:
        flags |= flags2 << 32
    return Init(major, minor, max_readahead, flags)


def decode_interrupt(body: bytes) -> int:
    """The unique number of the request that is interrupted."""
    return _exactly(wire.INTERRUPT_IN, body)[0]


def _fallocate(body: bytes) -> Fallocate:
    fh, offset, length, mode, _ = _exactly(wire.FALLOCATE_IN, body)
    return Fallocate(fh, offset, length, mode)


def _lseek(body: bytes) -> Lseek:
    fh, offset, whence, _ = _exactly(wire.LSEEK_IN, body)
    return Lseek(fh, offset, whence)


def _copy_file_range(body: bytes) -> CopyFileRange:
    return CopyFileRange(*_exactly(wire.COPY_FILE_RANGE_IN, body))


def _syncfs(body: bytes) -> Empty:
    _exactly(wire.SYNCFS_IN, body)
    return Empty()


def _statx(body: bytes) -> Statx:
    getattr_flags, _, fh, flags, mask = _exactly(wire.STATX_IN, body)
    return Statx(getattr_flags, fh, flags, mask)


_DECODERS: dict[int, Callable[[bytes], Request]] = {
    Opcode.READLINK: _empty,
    Opcode.MKNOD: _mknod,
    Opcode.LINK: _link,
    Opcode.STATFS: _empty,
    Opcode.FSYNC: _fsync,
    Opcode.FLUSH: _flush,
    Opcode.LISTXATTR: _listxattr,
    Opcode.REMOVEXATTR: _lone_name,
    Opcode.READDIR: _read,
    Opcode.FSYNCDIR: _fsync,
    Opcode.DESTROY: _empty,
    Opcode.FALLOCATE: _fallocate,
    Opcode.RENAME2: _rename2,
    Opcode.LSEEK: _lseek,
    Opcode.COPY_FILE_RANGE: _copy_file_range,
    Opcode.SYNCFS: _syncfs,
    Opcode.TMPFILE: _create,
    Opcode.STATX: _statx,
    Opcode.COPY_FILE_RANGE_64: _copy_file_range,
}
