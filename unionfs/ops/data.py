"""Reading and writing: always the file that the node is now, never one that happened to be open
earlier."""

from __future__ import annotations

import errno
import os
import stat

from unionfs.layer import Extent
from unionfs.model import Attributes
from unionfs.nodes import UPPER, Backing, Directory, Node
from unionfs.ops.copyup import ensure_upper
from unionfs.ops.tree import Tree, error
from unionfs.syscalls.files import FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE
from unionfs.syscalls.files import fallocate as sys_fallocate
from unionfs.xattr_names import CAPABILITY

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

_COPY_CHUNK = 1 << 20
_SET_ID = stat.S_ISUID | stat.S_ISGID
_NO_COPY_RANGE = (errno.EXDEV, errno.EOPNOTSUPP, errno.ENOSYS, errno.EBADF)


def open_backing(tree: Tree, node: Node) -> Backing:
    """The node's open file, opened if need be."""
    backing = node.backing
    if backing is not None:
        if not backing.pinned:
            tree.files.move_to_end(node)
        return backing
    _require_regular(node)
    if node.ref is None:
        raise error(errno.ESTALE)
    if node.layer == UPPER:
        backing = Backing(tree.writable().open_write(node.ref), writable=True)
    else:
        file = tree.layer(node.layer).open(node.ref)
        where = file.backing()
        backing = (
            Backing(-1, file=file)
            if where is None
            else Backing(where[0], start=where[1], file=file)
        )
    tree.keep_open(node, backing)
    return backing


def writable_backing(tree: Tree, node: Node, length: int | None = None) -> Backing:
    """The node's open file in the upper; copied up first if need be."""
    if node.layer != UPPER:
        _require_regular(node)
        ensure_upper(tree, node, length)
    tree.changed.add(node.attributes.ino)
    return open_backing(tree, node)


def _require_regular(node: Node) -> None:
    if not stat.S_ISREG(node.attributes.mode):
        raise error(errno.EISDIR if stat.S_ISDIR(node.attributes.mode) else errno.EINVAL)


def read(tree: Tree, node: Node, offset: int, size: int) -> bytes:
    backing = node.backing or open_backing(tree, node)
    if not backing.pinned:
        tree.files.move_to_end(node)
    if backing.start == 0 and backing.fd >= 0:
        return os.pread(backing.fd, size, offset)
    size = min(size, node.attributes.size - offset)
    if size <= 0:
        return b""
    if backing.fd >= 0:
        return os.pread(backing.fd, size, backing.start + offset)
    if backing.file is None:
        raise error(errno.EIO)
    return backing.file.read(offset, size)


def write(
    tree: Tree, node: Node, offset: int, data: bytes | memoryview, kill_privileges: bool
) -> int:
    backing = node.backing
    if backing is None or not backing.writable:
        backing = writable_backing(tree, node)
    if node.has_capabilities is not False:
        drop_capabilities(tree, node)
    if kill_privileges and node.attributes.mode & _SET_ID:
        kill_set_id(tree, node)
    node.stale = True
    return os.pwrite(backing.fd, data, offset)


def kill_set_id(tree: Tree, node: Node) -> None:
    """Clear set-user-id, and set-group-id if the group may execute (should_remove_suid,
    fs/inode.c)."""
    mode = node.attributes.mode
    mode &= ~stat.S_ISUID
    if mode & stat.S_IXGRP:
        mode &= ~stat.S_ISGID
    if mode == node.attributes.mode or not stat.S_ISREG(mode):
        return
    change_owner(tree, node, mode=stat.S_IMODE(mode))


def change_owner(
    tree: Tree,
    node: Node,
    *,
    mode: int | None = None,
    uid: int | None = None,
    gid: int | None = None,
) -> None:
    """Change mode and owner of an object that is in the upper already."""
    fd = -1 if node.backing is None else node.backing.fd
    if node.ref is not None or fd >= 0:
        node.ref = tree.writable().change(node.ref, fd, mode=mode, uid=uid, gid=gid)
    known = node.attributes
    true_uid, true_gid = node.true_owner
    tree.set_attributes(
        node,
        known._replace(
            mode=known.mode if mode is None else stat.S_IFMT(known.mode) | stat.S_IMODE(mode),
            uid=true_uid if uid is None else uid,
            gid=true_gid if gid is None else gid,
        ),
    )
    node.stale = True


def drop_capabilities(tree: Tree, node: Node) -> None:
    """A write takes a file's capabilities away, whoever makes it (cap_inode_killpriv,
    security/commoncap.c)."""
    if node.has_capabilities is None:
        fd = -1 if node.backing is None else node.backing.fd
        if node.layer == UPPER and (fd >= 0 or node.ref is not None):
            node.has_capabilities = CAPABILITY in tree.writable().get_xattrs(node.ref, fd)
    if node.has_capabilities:
        fd = -1 if node.backing is None else node.backing.fd
        tree.writable().remove_xattr(node.ref, fd, CAPABILITY)
    node.has_capabilities = False


def truncate(tree: Tree, node: Node, size: int) -> None:
    if size < 0:
        raise error(errno.EINVAL)
    backing = writable_backing(tree, node, size)
    if node.has_capabilities is not False:
        drop_capabilities(tree, node)
    node.stale = True
    os.ftruncate(backing.fd, size)


def fsync(tree: Tree, node: Node, datasync: bool) -> None:
    if node.layer != UPPER:
        return
    if isinstance(node, Directory):
        if node.upper is not None:
            tree.writable().sync_directory(node.upper)
        return
    backing = node.backing
    if backing is None:
        if node.ref is None or not stat.S_ISREG(node.attributes.mode):
            return
        backing = open_backing(tree, node)
    if datasync:
        os.fdatasync(backing.fd)
    else:
        os.fsync(backing.fd)


def fallocate(tree: Tree, node: Node, mode: int, offset: int, length: int) -> None:
    if mode & FALLOC_FL_PUNCH_HOLE and not mode & FALLOC_FL_KEEP_SIZE:
        raise error(errno.EOPNOTSUPP)
    backing = writable_backing(tree, node)
    if node.has_capabilities is not False:
        drop_capabilities(tree, node)
    node.stale = True
    sys_fallocate(backing.fd, mode, offset, length)


def lseek(tree: Tree, node: Node, offset: int, whence: int) -> int:
    backing = open_backing(tree, node)
    if backing.fd >= 0 and backing.start == 0:
        return os.lseek(backing.fd, offset, whence)
    if backing.file is None:
        raise error(errno.EIO)
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


def copy_file_range(tree: Tree, from_: tuple[Node, int], to: tuple[Node, int], length: int) -> int:
    source, source_offset = from_
    target, target_offset = to
    _require_regular(source)
    _require_regular(target)
    into = writable_backing(tree, target)
    # Opening the target may have pushed out the source, or moved it to the upper if they are one.
    origin = open_backing(tree, source)
    into = open_backing(tree, target)
    if target.has_capabilities is not False:
        drop_capabilities(tree, target)
    target.stale = True
    if source.stale:
        tree.settle(source)
    length = min(length, source.attributes.size - source_offset)
    if length <= 0:
        return 0
    if origin.fd >= 0:
        try:
            return os.copy_file_range(
                origin.fd, into.fd, length, origin.start + source_offset, target_offset
            )
        except OSError as failed:
            if failed.errno not in _NO_COPY_RANGE:
                raise
    done = 0
    while done < length:
        data = read(tree, source, source_offset + done, min(length - done, _COPY_CHUNK))
        if not data:
            break
        done += os.pwrite(into.fd, data, target_offset + done)
    return done
