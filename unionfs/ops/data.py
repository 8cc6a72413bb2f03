"""Reading and writing: always the current file of the node, never one that was open earlier."""

from __future__ import annotations

import errno
import os
import stat

from unionfs.layer import Extent
from unionfs.model import Attributes, with_owner, without_set_id
from unionfs.nodes import UPPER, Backing, Node
from unionfs.ops.copyup import ensure_upper
from unionfs.ops.open_files import end_lazy
from unionfs.ops.tree import Tree, error
from unionfs.ownership import Owner
from unionfs.syscalls.files import FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE, pread_whole
from unionfs.syscalls.files import fallocate as sys_fallocate
from unionfs.xattr_names import CAPABILITY

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

_new = tuple.__new__
_S_IFMT, _S_IFLNK = 0o170000, 0o120000
SET_ID = stat.S_ISUID | stat.S_ISGID


def open_backing(tree: Tree, node: Node) -> Backing:
    """The node's open file, opened if need be."""
    backing = node.backing
    if backing is not None:
        if not backing.pinned:
            tree.files.used(node)
        if backing.lazy is not None and backing.lazy.state.is_complete:
            end_lazy(node, backing)
        return backing
    require_regular(node)
    if node.ref is None:
        raise error(errno.ESTALE)
    if node.lazy is not None:
        if not node.lazy.is_complete:
            from unionfs.ops.lazy_copyup import open_lazy

            return open_lazy(tree, node, node.lazy)
        node.lazy = None
    if node.layer == UPPER:
        fd = tree.layers.writable().open_write(node.ref)
        # What was written to it before is not known: as much as it has.
        size = os.fstat(fd).st_size if node.stale else node.attributes.size
        backing = Backing(fd, writable=True, unsynced=size)
    else:
        file = tree.layers.layer(node.layer).open(node.ref)
        where = file.backing()
        backing = (
            Backing(-1, file=file)
            if where is None
            else Backing(where[0], start=where[1], file=file)
        )
    tree.files.keep(node, backing)
    return backing


def writable_backing(tree: Tree, node: Node, length: int | None = None) -> Backing:
    """The node's open file in the upper; copied up first if need be."""
    if node.layer != UPPER:
        require_regular(node)
        ensure_upper(tree, node, length)
    tree.changed.add(node.attributes.ino)
    return open_backing(tree, node)


def require_regular(node: Node) -> None:
    """EISDIR or EINVAL for anything that holds no data."""
    if not stat.S_ISREG(node.attributes.mode):
        raise error(errno.EISDIR if stat.S_ISDIR(node.attributes.mode) else errno.EINVAL)


def read(tree: Tree, node: Node, offset: int, size: int) -> bytes:
    backing = node.backing or open_backing(tree, node)
    if not backing.pinned:
        tree.files.used(node)
    if backing.start == 0 and backing.fd >= 0:
        return _read_whole(node, backing.fd, offset, size)
    if backing.lazy is not None:
        if not backing.lazy.state.is_complete:
            return backing.lazy.read(offset, size)
        end_lazy(node, backing)
        return _read_whole(node, backing.fd, offset, size)
    size = min(size, node.attributes.size - offset)
    if size <= 0:
        return b""
    if backing.fd >= 0:
        return pread_whole(backing.fd, size, backing.start + offset)
    if backing.file is None:
        raise error(errno.EIO)
    return backing.file.read(offset, size)


def read_into(tree: Tree, node: Node, offset: int, buffer: memoryview) -> int:
    """`read` into a buffer: a large result of `read` is a fresh mapping, and a page fault for each
    page of it."""
    backing = node.backing
    if backing is None:
        is_lower = node.layer != UPPER and not node.stale
        if offset == 0 and is_lower and len(buffer) >= node.attributes[6]:
            return _read_once(tree, node, buffer)
        backing = open_backing(tree, node)
    if not backing.pinned:
        tree.files.used(node)
    if backing.start == 0 and backing.fd >= 0:
        done = os.preadv(backing.fd, (buffer,), offset)
        if done < len(buffer) and (node.stale or offset + done < node.attributes.size):
            rest = pread_whole(backing.fd, len(buffer) - done, offset + done)
            buffer[done : done + len(rest)] = rest
            done += len(rest)
        return done
    data = read(tree, node, offset, len(buffer))
    buffer[: len(data)] = data
    return len(data)


def _read_once(tree: Tree, node: Node, buffer: memoryview) -> int:
    """A small file of a lower, whole: the kernel keeps it and does not ask again, so the file is not
    kept open."""
    require_regular(node)
    if node.ref is None:
        raise error(errno.ESTALE)
    file = tree.layers.layer(node.layer).open(node.ref)
    try:
        size, where = node.attributes[6], file.backing()
        if where is not None:
            done = os.preadv(where[0], (buffer[:size],), where[1])
            if done == size:
                return done
        data = file.read(0, size)
        buffer[: len(data)] = data
        return len(data)
    finally:
        file.close()


def _read_whole(node: Node, fd: int, offset: int, size: int) -> bytes:
    """`pread_whole` that asks for no more where the end of the file is known."""
    data = os.pread(fd, size, offset)
    if len(data) < size and (node.stale or offset + len(data) < node.attributes.size):
        data += pread_whole(fd, size - len(data), offset + len(data))
    return data


def source(tree: Tree, node: Node, offset: int, size: int) -> tuple[int, int, int] | None:
    """Where the bytes lie: descriptor, position and how many. None if they lie in several files,
    or in none."""
    backing = open_backing(tree, node)
    if backing.fd < 0 or backing.start < 0:
        return None
    if node.stale:
        tree.refresh_attributes(node)
    length = min(size, node.attributes.size - offset)
    return (backing.fd, backing.start + offset, length) if length > 0 else None


def write(
    tree: Tree, node: Node, offset: int, data: bytes | memoryview, kill_privileges: bool
) -> int:
    backing = node.backing
    if backing is None or not backing.writable:
        backing = writable_backing(tree, node)
    if node.has_capabilities is not False:
        drop_capabilities(tree, node)
    if kill_privileges and node.attributes.mode & SET_ID:
        kill_set_id(tree, node)
    node.stale = True
    if node.copy_up_record is not None:
        node.copy_up_record.changed += len(data)
    backing.unsynced += len(data)
    if backing.lazy is not None:
        return backing.lazy.write(offset, data)
    return os.pwrite(backing.fd, data, offset)


def kill_set_id(tree: Tree, node: Node) -> None:
    """Clear the set-id bits of a file."""
    mode = without_set_id(node.attributes.mode)
    if mode != node.attributes.mode:
        change_owner(tree, node, stat.S_IMODE(mode))


def clear_mode(tree: Tree, node: Node, bits: int) -> None:
    """Clear these bits of the mode of an object that is in the upper."""
    mode = node.attributes.mode
    if mode & bits:
        change_owner(tree, node, stat.S_IMODE(mode) & ~bits)


def with_changes(
    known: Attributes, owner: tuple[int, int], mode: int | None, uid: int | None, gid: int | None
) -> Attributes:
    """Attributes of an object with this true owner, with those of mode and owner that are given."""
    return with_owner(
        known,
        known[1] if mode is None else known[1] & _S_IFMT | mode & 0o7777,
        owner[0] if uid is None else uid,
        owner[1] if gid is None else gid,
    )


def change_owner(
    tree: Tree, node: Node, mode: int | None, uid: int | None = None, gid: int | None = None
) -> None:
    """Change mode and owner of an object that is in the upper already."""
    known, backing = node.attributes, node.backing
    fd = -1 if backing is None else backing.fd
    had = known[1]
    if mode is None and had & SET_ID:
        # chown(2) clears these bits by its own rules; which of them stay has been decided.
        mode = had & 0o7777
    true_uid, true_gid = known[3:5] if node.owner is None else node.owner
    if node.ref is not None or fd >= 0:
        owner = _new(Owner, (true_uid, true_gid, had, known[5]))
        upper = tree.layers.writable()
        if had & _S_IFMT == _S_IFLNK and node.ref is not None:
            if uid in (None, true_uid) and gid in (None, true_gid):
                return
            upper.make_ownable(node.ref, owner, known[0])
        upper.change(node.ref, fd, owner, mode=mode, uid=uid, gid=gid)
    changed = with_changes(known, (true_uid, true_gid), mode, uid, gid)
    if uid is None and gid is None and node.owner is None:
        node.attributes = changed
    else:
        tree.shown.set(node, changed)
    node.stale = True


def all_xattrs(tree: Tree, node: Node) -> dict[bytes, bytes]:
    fd = -1 if node.backing is None else node.backing.fd
    if node.layer == UPPER:
        return (
            tree.layers.writable().get_xattrs(node.ref, fd)
            if node.ref is not None or fd >= 0
            else {}
        )
    return {} if node.ref is None else tree.layers.layer(node.layer).xattrs(node.ref)


def object_fd(node: Node) -> int:
    fd = -1 if node.backing is None else node.backing.fd
    if node.ref is None and fd < 0:
        raise error(errno.EOPNOTSUPP)
    return fd


def drop_capabilities(tree: Tree, node: Node) -> None:
    """A write by any user takes a file's capabilities away (cap_inode_killpriv,
    security/commoncap.c)."""
    if node.has_capabilities is None:
        fd = -1 if node.backing is None else node.backing.fd
        if node.layer == UPPER and (fd >= 0 or node.ref is not None):
            node.has_capabilities = CAPABILITY in tree.layers.writable().get_xattrs(node.ref, fd)
    if node.has_capabilities:
        fd = -1 if node.backing is None else node.backing.fd
        tree.layers.writable().remove_xattr(node.ref, fd, CAPABILITY)
    node.has_capabilities = False


def truncate(tree: Tree, node: Node, size: int) -> None:
    if size < 0:
        raise error(errno.EINVAL)
    backing = writable_backing(tree, node, size)
    if node.has_capabilities is not False:
        drop_capabilities(tree, node)
    node.stale = True
    if backing.lazy is not None:
        backing.lazy.truncate(size)
    else:
        os.ftruncate(backing.fd, size)


def fallocate(
    tree: Tree, node: Node, mode: int, offset: int, length: int, *, drop_set_id: int
) -> None:
    if mode & FALLOC_FL_PUNCH_HOLE and not mode & FALLOC_FL_KEEP_SIZE:
        raise error(errno.EOPNOTSUPP)
    backing = writable_backing(tree, node)
    if node.has_capabilities is not False:
        drop_capabilities(tree, node)
    clear_mode(tree, node, drop_set_id)
    node.stale = True
    if backing.lazy is not None:
        backing.lazy.allocate(mode, offset, length)
    else:
        sys_fallocate(backing.fd, mode, offset, length)


def lseek(tree: Tree, node: Node, offset: int, whence: int) -> int:
    if offset < 0:
        raise error(errno.ENXIO)
    backing = open_backing(tree, node)
    if backing.fd >= 0 and backing.start == 0:
        return os.lseek(backing.fd, offset, whence)
    if backing.file is None:
        raise error(errno.EIO)
    if node.stale:
        tree.refresh_attributes(node)
    return _seek_extents(backing.file.extents(), node.attributes, offset, whence)


def _seek_extents(runs: Sequence[Extent], attributes: Attributes, offset: int, whence: int) -> int:
    if offset < 0 or offset >= attributes.size:
        raise error(errno.ENXIO)
    for start, length in runs:
        if offset < start + length:
            if whence == os.SEEK_DATA:
                return max(offset, start)
            return offset if offset < start else _hole_after(runs, start + length, attributes.size)
    if whence == os.SEEK_DATA:
        raise error(errno.ENXIO)
    return offset


def _hole_after(runs: Sequence[Extent], end: int, size: int) -> int:
    for start, length in runs:
        if start == end:
            end = start + length
    return min(end, size)
