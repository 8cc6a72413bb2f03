"""Extended attributes. The kernel has checked who may do what (xattr_permission, fs/xattr.c)."""

from __future__ import annotations

import errno

from unionfs.nodes import UPPER, Node
from unionfs.ops.copyup import ensure_upper
from unionfs.ops.tree import Tree, error
from unionfs.xattr_names import CAPABILITY


def all_xattrs(tree: Tree, node: Node) -> dict[bytes, bytes]:
    fd = -1 if node.backing is None else node.backing.fd
    if node.layer == UPPER:
        return tree.writable().get_xattrs(node.ref, fd) if node.ref is not None or fd >= 0 else {}
    return {} if node.ref is None else tree.layer(node.layer).xattrs(node.ref)


def get(tree: Tree, node: Node, name: bytes) -> bytes:
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


def set_(tree: Tree, node: Node, name: bytes, value: bytes, flags: int) -> None:
    ensure_upper(tree, node)
    fd = _object(node)
    tree.writable().set_xattr(node.ref, fd, name, value, flags)
    if name == CAPABILITY:
        node.has_capabilities = True
    _touched(tree, node)


def remove(tree: Tree, node: Node, name: bytes) -> None:
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
