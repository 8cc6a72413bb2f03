"""Decoding what the kernel asks: bytes in, one value per request out. Pure, no I/O.

The rule for this file: whatever the bytes, the outcome is a request or a ProtocolError, nothing
else.

A message is `fuse_in_header`, a fixed part, then names (each ended by a NUL) or data, then
extensions if the header counts any. WRITE and NOTIFY_REPLY are cut so that their data is never
copied: see `decode`.
"""

from __future__ import annotations

import sys
from struct import Struct

from unionfs.session import wire
from unionfs.session.requests import (
    Access,
    BatchForget,
    Bmap,
    CopyFileRange,
    Create,
    Empty,
    Extensions,
    Fallocate,
    Flush,
    Forget,
    Fsync,
    Getattr,
    Getxattr,
    Header,
    Init,
    Interrupt,
    Ioctl,
    Link,
    Listxattr,
    Lock,
    Lseek,
    Mkdir,
    Mknod,
    Name,
    NotifyReply,
    Open,
    Poll,
    Read,
    Release,
    RemoveMapping,
    Rename,
    Request,
    Setattr,
    SetupMapping,
    Setxattr,
    Statx,
    Symlink,
    Write,
)
from unionfs.session.wire import Opcode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

FIXED_PART = wire.WRITE_IN.size
"""Bytes of body that go with the header in the first read buffer, so that WRITE's data begins at
the second."""


class ProtocolError(Exception):
    """The message is not one the kernel could have sent under what was negotiated."""


def decode_header(buffer: bytes | bytearray | memoryview, received: int) -> Header:
    """The header of a message of `received` bytes whose first 40 are in `buffer`."""
    if received < wire.IN_HEADER.size:
        raise ProtocolError(f"a message of {received} bytes is shorter than its header")
    length, opcode, unique, nodeid, uid, gid, pid, extensions, _ = wire.IN_HEADER.unpack_from(
        buffer
    )
    if length != received:
        raise ProtocolError(f"a message of {received} bytes says it has {length}")
    return Header(length, opcode, unique, nodeid, uid, gid, pid, extensions)


def decode(
    header: Header, fixed: bytes, rest: memoryview, *, setxattr_ext: bool = False
) -> Request:
    """The request that follows `header`: `fixed` holds the first FIXED_PART bytes of the body,
    `rest` what is beyond."""
    if header.extensions:
        fixed, rest = _without_extensions(header, fixed, rest)
    opcode = header.opcode
    if opcode == Opcode.WRITE:
        return _write(fixed, rest)
    if opcode == Opcode.NOTIFY_REPLY:
        return _notify_reply(fixed, rest)
    body = fixed + bytes(rest) if rest else fixed
    if opcode == Opcode.SETXATTR:
        return _setxattr(body, extended=setxattr_ext)
    decoder = _DECODERS.get(opcode)
    if decoder is None:
        raise ProtocolError(f"operation {opcode} is unknown")
    return decoder(body)


def decode_extensions(header: Header, body: bytes) -> Extensions:
    """The extensions at the end of a whole body (fuse_ext_header and what it counts)."""
    size = header.extensions * 8
    if size > len(body):
        raise ProtocolError("extensions are longer than the message")
    data = body[len(body) - size :] if size else b""
    groups: tuple[int, ...] = ()
    contexts: tuple[bytes, ...] = ()
    position = 0
    while position < len(data):
        length, kind = _unpack(wire.EXT_HEADER, data, position)
        if length < wire.EXT_HEADER.size or length % 8 or position + length > len(data):
            raise ProtocolError(f"an extension of {length} bytes does not fit")
        content = data[position + wire.EXT_HEADER.size : position + length]
        if kind < wire.EXT_GROUPS:
            contexts = _security_contexts(content, kind)
        elif kind == wire.EXT_GROUPS:
            groups = _supplementary_groups(content)
        else:
            raise ProtocolError(f"extension {kind} is unknown")
        position += length
    return Extensions(groups, contexts)


def _supplementary_groups(content: bytes) -> tuple[int, ...]:
    """struct fuse_supp_groups: a count, then that many ids, padded to 8 bytes."""
    if len(content) < 4:
        raise ProtocolError("the supplementary groups have no count")
    count = int.from_bytes(content[:4], sys.byteorder)
    if 4 + 4 * count > len(content):
        raise ProtocolError(f"{count} supplementary groups do not fit")
    return Struct(f"={count}I").unpack_from(content, 4)


def _security_contexts(content: bytes, count: int) -> tuple[bytes, ...]:
    """struct fuse_secctx with its name and value, `count` times, each padded to 8 bytes."""
    found = []
    position = 0
    for _ in range(count):
        size, _padding = _unpack(wire.EXT_HEADER, content, position)
        position += wire.EXT_HEADER.size
        end = content.find(b"\0", position)
        if end < 0 or end + 1 + size > len(content):
            raise ProtocolError("a security context does not fit")
        found.append(content[end + 1 : end + 1 + size])
        position = (end + 1 + size + 7) & ~7
    return tuple(found)


def _without_extensions(header: Header, fixed: bytes, rest: memoryview) -> tuple[bytes, memoryview]:
    size = header.extensions * 8
    if size > len(fixed) + len(rest):
        raise ProtocolError("extensions are longer than the message")
    if size <= len(rest):
        return fixed, rest[: len(rest) - size]
    return fixed[: len(fixed) + len(rest) - size], rest[:0]


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


def _forget(body: bytes) -> Forget:
    return Forget(*_exactly(wire.FORGET_IN, body))


def _batch_forget(body: bytes) -> BatchForget:
    count, _ = _unpack(wire.BATCH_FORGET_IN, body)
    pairs = body[wire.BATCH_FORGET_IN.size :]
    if len(pairs) != count * wire.FORGET_ONE.size:
        raise ProtocolError(f"{count} nodes to forget do not fill {len(pairs)} bytes")
    return BatchForget(tuple(wire.FORGET_ONE.iter_unpack(pairs)))


def _getattr(body: bytes) -> Getattr:
    flags, _, fh = _exactly(wire.GETATTR_IN, body)
    return Getattr(flags, fh)


def _setattr(body: bytes) -> Setattr:
    (
        valid, _, fh, size, lock_owner, atime, mtime, ctime, atime_nsec, mtime_nsec, ctime_nsec,
        mode, _, uid, gid, _,
    ) = _exactly(wire.SETATTR_IN, body)  # fmt: skip
    return Setattr(
        valid,
        fh,
        size,
        lock_owner,
        _nanoseconds(atime, atime_nsec),
        _nanoseconds(mtime, mtime_nsec),
        _nanoseconds(ctime, ctime_nsec),
        mode,
        uid,
        gid,
    )


def _nanoseconds(seconds: int, nanoseconds: int) -> int:
    # The seconds are a time64_t put into a u64: before 1970 they wrap.
    if seconds >= 1 << 63:
        seconds -= 1 << 64
    return seconds * 1_000_000_000 + nanoseconds


def _symlink(body: bytes) -> Symlink:
    return Symlink(*_two_names(body, 0))


def _mknod(body: bytes) -> Mknod:
    mode, rdev, umask, _ = _unpack(wire.MKNOD_IN, body)
    return Mknod(mode, rdev, umask, _name(body, wire.MKNOD_IN.size))


def _mkdir(body: bytes) -> Mkdir:
    mode, umask = _unpack(wire.MKDIR_IN, body)
    return Mkdir(mode, umask, _name(body, wire.MKDIR_IN.size))


def _rename(body: bytes) -> Rename:
    (new_parent,) = _unpack(wire.RENAME_IN, body)
    return Rename(new_parent, 0, *_two_names(body, wire.RENAME_IN.size))


def _rename2(body: bytes) -> Rename:
    new_parent, flags, _ = _unpack(wire.RENAME2_IN, body)
    return Rename(new_parent, flags, *_two_names(body, wire.RENAME2_IN.size))


def _link(body: bytes) -> Link:
    (nodeid,) = _unpack(wire.LINK_IN, body)
    return Link(nodeid, _name(body, wire.LINK_IN.size))


def _open(body: bytes) -> Open:
    return Open(*_exactly(wire.OPEN_IN, body))


def _create(body: bytes) -> Create:
    flags, mode, umask, open_flags = _unpack(wire.CREATE_IN, body)
    return Create(flags, mode, umask, open_flags, _name(body, wire.CREATE_IN.size))


def _read(body: bytes) -> Read:
    fh, offset, size, read_flags, lock_owner, flags, _ = _exactly(wire.READ_IN, body)
    return Read(fh, offset, size, read_flags, lock_owner, flags)


def _write(fixed: bytes, rest: memoryview) -> Write:
    fh, offset, size, write_flags, lock_owner, flags, _ = _exactly(wire.WRITE_IN, fixed)
    if len(rest) != size:
        raise ProtocolError(f"a write of {size} bytes comes with {len(rest)}")
    return Write(fh, offset, size, write_flags, lock_owner, flags, rest)


def _release(body: bytes) -> Release:
    return Release(*_exactly(wire.RELEASE_IN, body))


def _flush(body: bytes) -> Flush:
    fh, _, _, lock_owner = _exactly(wire.FLUSH_IN, body)
    return Flush(fh, lock_owner)


def _fsync(body: bytes) -> Fsync:
    fh, flags, _ = _exactly(wire.FSYNC_IN, body)
    return Fsync(fh, flags)


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


def _getxattr(body: bytes) -> Getxattr:
    size, _ = _unpack(wire.GETXATTR_IN, body)
    return Getxattr(size, _name(body, wire.GETXATTR_IN.size))


def _listxattr(body: bytes) -> Listxattr:
    size, _ = _exactly(wire.GETXATTR_IN, body)
    return Listxattr(size)


def _lock(body: bytes) -> Lock:
    fh, owner, start, end, kind, pid, flags, _ = _exactly(wire.LK_IN, body)
    return Lock(fh, owner, start, end, kind, pid, flags)


def _access(body: bytes) -> Access:
    mask, _ = _exactly(wire.ACCESS_IN, body)
    return Access(mask)


def _init(body: bytes) -> Init:
    """Before 7.36 the message ends at the first flag word; a kernel newer than us may send more
    than we know."""
    if len(body) < wire.INIT_IN.size:
        major, minor, max_readahead, flags = _unpack(wire.INIT_IN_COMPAT, body)
        return Init(major, minor, max_readahead, flags)
    major, minor, max_readahead, flags, flags2 = _unpack(wire.INIT_IN, body)
    if flags & wire.InitFlag.INIT_EXT:
        flags |= flags2 << 32
    return Init(major, minor, max_readahead, flags)


def _interrupt(body: bytes) -> Interrupt:
    return Interrupt(*_exactly(wire.INTERRUPT_IN, body))


def _bmap(body: bytes) -> Bmap:
    block, block_size, _ = _exactly(wire.BMAP_IN, body)
    return Bmap(block, block_size)


def _ioctl(body: bytes) -> Ioctl:
    fh, flags, command, argument, in_size, out_size = _unpack(wire.IOCTL_IN, body)
    data = body[wire.IOCTL_IN.size :]
    if len(data) != in_size:
        raise ProtocolError(f"an ioctl of {in_size} bytes comes with {len(data)}")
    return Ioctl(fh, flags, command, argument, out_size, data)


def _poll(body: bytes) -> Poll:
    return Poll(*_exactly(wire.POLL_IN, body))


def _notify_reply(fixed: bytes, rest: memoryview) -> NotifyReply:
    _, offset, size, _, _, _ = _exactly(wire.NOTIFY_RETRIEVE_IN, fixed)
    if len(rest) != size:
        raise ProtocolError(f"retrieved data of {size} bytes comes with {len(rest)}")
    return NotifyReply(offset, size, rest)


def _fallocate(body: bytes) -> Fallocate:
    fh, offset, length, mode, _ = _exactly(wire.FALLOCATE_IN, body)
    return Fallocate(fh, offset, length, mode)


def _lseek(body: bytes) -> Lseek:
    fh, offset, whence, _ = _exactly(wire.LSEEK_IN, body)
    return Lseek(fh, offset, whence)


def _copy_file_range(body: bytes) -> CopyFileRange:
    return CopyFileRange(*_exactly(wire.COPY_FILE_RANGE_IN, body))


def _setup_mapping(body: bytes) -> SetupMapping:
    return SetupMapping(*_exactly(wire.SETUPMAPPING_IN, body))


def _remove_mapping(body: bytes) -> RemoveMapping:
    (count,) = _unpack(wire.REMOVEMAPPING_IN, body)
    pairs = body[wire.REMOVEMAPPING_IN.size :]
    if len(pairs) != count * wire.REMOVEMAPPING_ONE.size:
        raise ProtocolError(f"{count} mappings do not fill {len(pairs)} bytes")
    return RemoveMapping(tuple(wire.REMOVEMAPPING_ONE.iter_unpack(pairs)))


def _syncfs(body: bytes) -> Empty:
    _exactly(wire.SYNCFS_IN, body)
    return Empty()


def _statx(body: bytes) -> Statx:
    getattr_flags, _, fh, flags, mask = _exactly(wire.STATX_IN, body)
    return Statx(getattr_flags, fh, flags, mask)


_DECODERS: dict[int, Callable[[bytes], Request]] = {
    Opcode.LOOKUP: _lone_name,
    Opcode.FORGET: _forget,
    Opcode.GETATTR: _getattr,
    Opcode.SETATTR: _setattr,
    Opcode.READLINK: _empty,
    Opcode.SYMLINK: _symlink,
    Opcode.MKNOD: _mknod,
    Opcode.MKDIR: _mkdir,
    Opcode.UNLINK: _lone_name,
    Opcode.RMDIR: _lone_name,
    Opcode.RENAME: _rename,
    Opcode.LINK: _link,
    Opcode.OPEN: _open,
    Opcode.READ: _read,
    Opcode.STATFS: _empty,
    Opcode.RELEASE: _release,
    Opcode.FSYNC: _fsync,
    Opcode.GETXATTR: _getxattr,
    Opcode.LISTXATTR: _listxattr,
    Opcode.REMOVEXATTR: _lone_name,
    Opcode.FLUSH: _flush,
    Opcode.INIT: _init,
    Opcode.OPENDIR: _open,
    Opcode.READDIR: _read,
    Opcode.RELEASEDIR: _release,
    Opcode.FSYNCDIR: _fsync,
    Opcode.GETLK: _lock,
    Opcode.SETLK: _lock,
    Opcode.SETLKW: _lock,
    Opcode.ACCESS: _access,
    Opcode.CREATE: _create,
    Opcode.INTERRUPT: _interrupt,
    Opcode.BMAP: _bmap,
    Opcode.DESTROY: _empty,
    Opcode.IOCTL: _ioctl,
    Opcode.POLL: _poll,
    Opcode.BATCH_FORGET: _batch_forget,
    Opcode.FALLOCATE: _fallocate,
    Opcode.READDIRPLUS: _read,
    Opcode.RENAME2: _rename2,
    Opcode.LSEEK: _lseek,
    Opcode.COPY_FILE_RANGE: _copy_file_range,
    Opcode.SETUPMAPPING: _setup_mapping,
    Opcode.REMOVEMAPPING: _remove_mapping,
    Opcode.SYNCFS: _syncfs,
    Opcode.TMPFILE: _create,
    Opcode.STATX: _statx,
    Opcode.COPY_FILE_RANGE_64: _copy_file_range,
}
