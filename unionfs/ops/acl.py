"""POSIX ACLs. The kernel enforces an ACL (FUSE_POSIX_ACL) and leaves the rest to the server: the effect of setting
one on the mode, and the inheritance of default ACLs (fs/fuse/acl.c has none of it).

ACLs are kept with the ids that owners are kept with, and as ext4 does it: no access ACL that says no
more than the mode. Entries of ids that the mount's user namespace does not have are not shown: the
kernel would refuse the whole ACL (posix_acl_from_xattr).
"""

from __future__ import annotations

import errno
import stat

from unionfs import posix_acl
from unionfs.nodes import Directory, Node
from unionfs.ops.copyup import ensure_upper
from unionfs.ops.data import all_xattrs, change_owner, object_fd
from unionfs.ops.tree import Tree, error
from unionfs.posix_acl import Acl
from unionfs.xattr_names import ACCESS_ACL, DEFAULT_ACL


def shown(tree: Tree, node: Node, name: bytes, stored: bytes) -> bytes:
    """The value of an ACL attribute that is stored as `stored`. Raises ENODATA if that is malformed."""
    acl = posix_acl.parse(stored)
    if acl is None:
        raise error(errno.ENODATA)
    if name == ACCESS_ACL:
        acl = posix_acl.with_mode(acl, node.attributes.mode)
    view = tree.shown.view
    if view is not None:
        acl = posix_acl.with_ids(acl, view.visible_uid, view.visible_gid)
    return posix_acl.encode(acl)


def to_store(tree: Tree, value: bytes) -> Acl:
    """The ACL that setxattr(2) gives, with the ids that are stored. Raises EINVAL."""
    acl = posix_acl.parse(value)
    if acl is None:
        raise error(errno.EINVAL)
    view = tree.shown.view
    return acl if view is None else posix_acl.with_ids(acl, view.stored_uid, view.stored_gid)


def set_acl(tree: Tree, node: Node, name: bytes, value: bytes) -> None:
    """An access ACL sets the mode; one that says no more than the mode is not kept
    (posix_acl_update_mode, fs/posix_acl.c)."""
    acl = to_store(tree, value)
    ensure_upper(tree, node)
    upper, fd = tree.layers.writable(), object_fd(node)
    if name == ACCESS_ACL and posix_acl.is_minimal(acl):
        if name in all_xattrs(tree, node):
            upper.remove_xattr(node.ref, fd, name)
    else:
        upper.set_xattr(node.ref, fd, name, posix_acl.encode(acl), 0)
    if name == ACCESS_ACL:
        change_owner(tree, node, stat.S_IMODE(posix_acl.mode_of(acl, node.attributes.mode)))
    elif isinstance(node, Directory):
        node.default_acl = None


def inherited(value: bytes, mode: int, umask: int) -> tuple[int, dict[bytes, bytes]]:
    """Mode and attributes of an object that is made with `mode` in a directory with the default ACL
    `value`, as stored. The umask counts only where that is malformed."""
    default = posix_acl.parse(value)
    if default is None:
        return mode & ~(umask & 0o7777), {}
    access = posix_acl.inherited(default, mode)
    xattrs = {} if posix_acl.is_minimal(access) else {ACCESS_ACL: posix_acl.encode(access)}
    if stat.S_ISDIR(mode):
        xattrs[DEFAULT_ACL] = value
    return posix_acl.mode_of(access, mode), xattrs
