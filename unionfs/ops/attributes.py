"""setattr, with the side effects of a change of size, owner or mode; and extended attributes: the kernel has checked
permissions (xattr_permission, fs/xattr.c).
"""

from __future__ import annotations

import errno
import stat

from unionfs.model import Attributes, SetAttributes, with_owner, with_times, without_set_id
from unionfs.nodes import UPPER, Directory, Node
from unionfs.ops.copyup import copy_up_with_owner, ensure_upper
from unionfs.ops.data import (
    SET_ID,
    all_xattrs,
    change_owner,
    drop_capabilities,
    kill_set_id,
    object_fd,
    truncate,
    with_changes,
)
from unionfs.ops.tree import Tree, error
from unionfs.xattr_names import ACLS, CAPABILITY, OWNER

TYPE_CHECKING = False
if TYPE_CHECKING:
    from unionfs.ops.tree import Deferring

_S_IFMT = 0o170000
_KEEP_SET_ID = (stat.S_IFDIR, stat.S_IFLNK)


def setattr_(tree: Tree, node: Node, changes: SetAttributes) -> Attributes:
    """Apply what one SETATTR asks for. A change time is not settable and follows by itself."""
    mode, uid, gid, size, atime, mtime, _, kill_privileges = changes
    backing = node.backing
    if backing is not None and backing.writable and node.parent is not None:
        if size is None and uid is None and gid is None and not kill_privileges:
            return _change_open(tree, node, backing.fd, mode, times=(atime, mtime))
    elif node.stale and node.layer != UPPER:
        tree.refresh_attributes(node)
    if size is not None:
        truncate(tree, node, size)
    if mode is not None or uid is not None or gid is not None:
        _change_owner(tree, node, mode, uid, gid)
    elif kill_privileges and node.attributes[1] & SET_ID:
        ensure_upper(tree, node, keeps_data=True)
        kill_set_id(tree, node)
    if mtime is not None or atime is not None:
        _change_times(tree, node, changes)
    if node.stale:
        tree.refresh_attributes(node)
    return node.attributes


def _change_open(
    tree: Tree, node: Node, fd: int, mode: int | None, *, times: tuple[int | None, int | None]
) -> Attributes:
    """Of a file of the upper that is open and whole only mode and times: what is asked for most."""
    tree.changed.add(node.attributes[0])
    if mode is not None:
        change_owner(tree, node, mode)
    atime, mtime = times
    if mtime is not None or atime is not None:
        if mtime is None and node.stale:
            tree.refresh_attributes(node)
        known = node.attributes
        atime = known[8] if atime is None else atime
        mtime = known[9] if mtime is None else mtime
        tree.layers.writable().set_times(None, fd, atime, mtime)
    return tree.refresh_attributes(node).attributes


def _change_owner(
    tree: Tree, node: Node, mode: int | None, uid: int | None, gid: int | None
) -> None:
    known = node.attributes
    had, keeps_capabilities = known[1], True
    if (uid is not None or gid is not None) and had & _S_IFMT not in _KEEP_SET_ID:
        # A change of owner by any user clears set-id bits, of fifos and devices too
        # (chown_common, fs/open.c), and capabilities.
        if mode is None and had & SET_ID:
            mode = without_set_id(had) & 0o7777
        keeps_capabilities = False
    view = tree.shown.view
    if view is not None:
        uid = None if uid is None else view.stored_uid(uid)
        gid = None if gid is None else view.stored_gid(gid)
    tree.changed.add(known[0])
    if node.layer != UPPER:
        if had & _S_IFMT == stat.S_IFREG:
            changed = with_changes(known, node.true_owner, mode, uid, gid)
            deferred = _deferring(tree, node)
            if deferred is not None:
                deferred.change(node, changed)
                return
            copy_up_with_owner(tree, node, changed, keeps_capabilities=keeps_capabilities)
            return
        ensure_upper(tree, node)
    if not keeps_capabilities and node.has_capabilities is not False:
        drop_capabilities(tree, node)
    change_owner(tree, node, mode, uid, gid)


def _deferring(tree: Tree, node: Node) -> Deferring | None:
    """What takes a change of metadata of this object of a lower without a copy-up; None if it has to
    be copied up."""
    deferred = tree.deferred
    if not tree.defers_metadata:
        return deferred if deferred is not None and node in deferred.nodes else None
    if deferred is None:
        from unionfs.ops.deferred_metadata import begin_deferring

        deferred = begin_deferring(tree)
    return deferred if deferred.can_take(node) else None


def _change_times(tree: Tree, node: Node, changes: SetAttributes) -> None:
    if node.parent is None and is_gone(node) and (node.layer != UPPER or changes[6] is not None):
        # The kernel sends such a request after an unlink, for the change time that this has caused
        # (fuse_update_ctime, fs/fuse/dir.c). A change time comes only from one that keeps times
        # itself, and does not ask for them again.
        _remember_times(node, *_times(node, changes))
        return
    if node.layer != UPPER:
        deferred = _deferring(tree, node)
        if deferred is not None:
            known = with_owner(node.attributes, node.attributes.mode, *node.true_owner)
            deferred.change(node, with_times(known, *_times(node, changes)))
            return
        ensure_upper(tree, node, keeps_data=True)
    if node.stale and changes[5] is None:
        # A write has changed it. The time of access has been shown as it is known here.
        tree.refresh_attributes(node)
    tree.changed.add(node.attributes[0])
    atime, mtime = _times(node, changes)
    backing = node.backing
    fd = -1 if backing is None else backing.fd
    if node.ref is None and fd < 0:
        _remember_times(node, atime, mtime)
        return
    if node.lazy is None:
        tree.layers.writable().set_times(node.ref, fd, atime, mtime)
    else:
        with node.lazy.lock:
            tree.layers.writable().set_times(node.ref, fd, atime, mtime)
    node.stale = True


def _times(node: Node, changes: SetAttributes) -> tuple[int, int]:
    """Of access and of change of the data, as they are to be: nanoseconds."""
    known, atime, mtime = node.attributes, changes[4], changes[5]
    return known[8] if atime is None else atime, known[9] if mtime is None else mtime


def _remember_times(node: Node, atime: int, mtime: int) -> None:
    """Where there is nothing to write them to."""
    node.attributes = with_times(node.attributes, atime, mtime)


def is_gone(node: Node) -> bool:
    """Whether no name leads to a file any more: what is to be kept of it need not outlive it. One
    that was made without a name (O_TMPFILE) may still get one."""
    return node.parent is None and bool(node.name) and not isinstance(node, Directory)


def xattr_names(tree: Tree, node: Node) -> list[bytes]:
    """The names that listxattr(2) shows."""
    return [
        name for name in all_xattrs(tree, node) if name in ACLS or not name.startswith(b"system.")
    ]


def get_xattr(tree: Tree, node: Node, name: bytes) -> bytes:
    if name == CAPABILITY and node.has_capabilities is False:
        raise error(errno.ENODATA)
    if name.startswith(b"system.") and name not in ACLS:
        raise error(errno.EOPNOTSUPP)
    view = tree.shown.view
    if name == OWNER and view is not None and view.has_one_id:
        return b"%d:%d" % node.true_owner
    value = all_xattrs(tree, node).get(name)
    if name == CAPABILITY:
        node.has_capabilities = value is not None
    if value is None:
        # Of an ACL, too: the kernel takes no other errno for "none" (fuse_get_acl).
        raise error(errno.ENODATA)
    if name in ACLS:
        from unionfs.ops import acl

        return acl.shown(tree, node, name, value)
    return value


def set_xattr(tree: Tree, node: Node, name: bytes, value: bytes, flags: int) -> None:
    if name in ACLS:
        from unionfs.ops import acl

        acl.set_acl(tree, node, name, value)
    else:
        ensure_upper(tree, node, keeps_data=True)
        tree.layers.writable().set_xattr(node.ref, object_fd(node), name, value, flags)
    if name == CAPABILITY:
        node.has_capabilities = True
    _touched(tree, node)


def remove_xattr(tree: Tree, node: Node, name: bytes) -> None:
    tree.layers.writable()
    if name not in all_xattrs(tree, node):
        if name in ACLS:
            return  # as on ext4: there is none, and there shall be none
        raise error(errno.ENODATA)
    ensure_upper(tree, node, keeps_data=True)
    tree.layers.writable().remove_xattr(node.ref, object_fd(node), name)
    if name == CAPABILITY:
        node.has_capabilities = False
    if isinstance(node, Directory):
        node.default_acl = None
    _touched(tree, node)


def _touched(tree: Tree, node: Node) -> None:
    node.stale = True
    tree.changed.add(node.attributes.ino)
