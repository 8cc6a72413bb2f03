"""setattr and its rules: what a change of size, owner or mode takes along. And the extended
attributes: the kernel has checked who may do what (xattr_permission, fs/xattr.c)."""

from __future__ import annotations

import errno
import stat

from unionfs.model import Attributes, SetAttributes
from unionfs.nodes import UPPER, Directory, Node
from unionfs.ops.copyup import ensure_upper
from unionfs.ops.data import (
    SET_ID,
    change_owner,
    drop_capabilities,
    kill_set_id,
    truncate,
    without_set_id,
)
from unionfs.ops.tree import Tree, error
from unionfs.xattr_names import CAPABILITY


def setattr_(tree: Tree, node: Node, changes: SetAttributes) -> Attributes:
    """Apply what one SETATTR asks for. A change time is not settable and follows by itself."""
    if node.stale and node.layer != UPPER:
        tree.settle(node)
    if changes.size is not None:
        truncate(tree, node, changes.size)
    if changes.mode is not None or changes.uid is not None or changes.gid is not None:
        _change_owner(tree, node, changes)
    elif changes.kill_privileges and node.attributes.mode & SET_ID:
        ensure_upper(tree, node)
        kill_set_id(tree, node)
    if changes.atime_ns is not None or changes.mtime_ns is not None:
        _change_times(tree, node, changes)
    if node.stale:
        tree.settle(node)
    return node.attributes


def _change_owner(tree: Tree, node: Node, changes: SetAttributes) -> None:
    if node.layer != UPPER:
        ensure_upper(tree, node)
    tree.changed.add(node.attributes.ino)
    mode = changes.mode
    is_chown = changes.uid is not None or changes.gid is not None
    if is_chown and stat.S_IFMT(node.attributes.mode) not in (stat.S_IFDIR, stat.S_IFLNK):
        # Set-id bits do not survive a change of owner, whoever makes it, on fifos and devices
        # either (chown_common, fs/open.c); nor do capabilities.
        if mode is None and node.attributes.mode & SET_ID:
            mode = stat.S_IMODE(without_set_id(node.attributes.mode))
        drop_capabilities(tree, node)
    view = tree.view
    uid, gid = changes.uid, changes.gid
    if view is not None:
        uid = None if uid is None else view.stored_uid(uid)
        gid = None if gid is None else view.stored_gid(gid)
    change_owner(tree, node, mode=mode, uid=uid, gid=gid)


def _change_times(tree: Tree, node: Node, changes: SetAttributes) -> None:
    if is_gone(node) and (node.layer != UPPER or changes.ctime_ns is not None):
        # The kernel sends such a request after an unlink, for the change time that this has caused
        # (fuse_update_ctime, fs/fuse/dir.c). A change time comes only from one that keeps times
        # itself, and does not ask for them again.
        _remember_times(node, *_times(node, changes))
        return
    if node.layer != UPPER:
        ensure_upper(tree, node)
    if node.stale and changes.mtime_ns is None:
        # A write has changed it. The time of access has been shown as it is known here.
        tree.settle(node)
    tree.changed.add(node.attributes.ino)
    atime, mtime = _times(node, changes)
    fd = -1 if node.backing is None else node.backing.fd
    if node.ref is None and fd < 0:
        _remember_times(node, atime, mtime)
        return
    if node.lazy is None:
        tree.writable().set_times(node.ref, fd, atime, mtime)
    else:
        with node.lazy.lock:
            tree.writable().set_times(node.ref, fd, atime, mtime)
    node.stale = True


def _times(node: Node, changes: SetAttributes) -> tuple[int, int]:
    """Of access and of change of the data, as they are to be: nanoseconds."""
    known = node.attributes
    return (
        known.atime_ns if changes.atime_ns is None else changes.atime_ns,
        known.mtime_ns if changes.mtime_ns is None else changes.mtime_ns,
    )


def _remember_times(node: Node, atime: int, mtime: int) -> None:
    """Where there is nothing to write them to."""
    node.attributes = node.attributes._replace(atime_ns=atime, mtime_ns=mtime)


def is_gone(node: Node) -> bool:
    """Whether no name leads to a file any more: what is to be kept of it need not outlive it. One
    that was made without a name (O_TMPFILE) may still get one."""
    return node.parent is None and node.name != b"" and not isinstance(node, Directory)


def all_xattrs(tree: Tree, node: Node) -> dict[bytes, bytes]:
    fd = -1 if node.backing is None else node.backing.fd
    if node.layer == UPPER:
        return tree.writable().get_xattrs(node.ref, fd) if node.ref is not None or fd >= 0 else {}
    return {} if node.ref is None else tree.layer(node.layer).xattrs(node.ref)


def get_xattr(tree: Tree, node: Node, name: bytes) -> bytes:
    if name == CAPABILITY and node.has_capabilities is False:
        raise error(errno.ENODATA)
    if name.startswith(b"system."):
        raise error(errno.EOPNOTSUPP)
    value = all_xattrs(tree, node).get(name)
    if name == CAPABILITY:
        node.has_capabilities = value is not None
    if value is None:
        raise error(errno.ENODATA)
    return value


def set_xattr(tree: Tree, node: Node, name: bytes, value: bytes, flags: int) -> None:
    ensure_upper(tree, node)
    fd = _object(node)
    tree.writable().set_xattr(node.ref, fd, name, value, flags)
    if name == CAPABILITY:
        node.has_capabilities = True
    _touched(tree, node)


def remove_xattr(tree: Tree, node: Node, name: bytes) -> None:
    tree.writable()
    if name not in all_xattrs(tree, node):
        raise error(errno.ENODATA)
    ensure_upper(tree, node)
    tree.writable().remove_xattr(node.ref, _object(node), name)
    if name == CAPABILITY:
        node.has_capabilities = False
    _touched(tree, node)


def _object(node: Node) -> int:
    fd = -1 if node.backing is None else node.backing.fd
    if node.ref is None and fd < 0:
        raise error(errno.EOPNOTSUPP)
    return fd


def _touched(tree: Tree, node: Node) -> None:
    node.stale = True
    tree.changed.add(node.attributes.ino)
