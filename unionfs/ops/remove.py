"""unlink and rmdir."""

from __future__ import annotations

import errno
import stat

from unionfs.nodes import UPPER, Directory, Node
from unionfs.ops.copyup import ensure_directory
from unionfs.ops.create import set_nlink
from unionfs.ops.data import open_backing
from unionfs.ops.tree import Tree, error


def unlink(tree: Tree, parent: Directory, name: bytes) -> None:
    node = parent.children.get(name)
    if node is None:
        node = tree.existing(parent, name)
    if isinstance(node, Directory):
        raise error(errno.EISDIR)
    upper = tree.layers.writable()
    directory = ensure_directory(tree, parent)
    prepare_loss(tree, node, parent, name)
    if not node.indexed:
        in_upper = node.layer == UPPER
    else:
        in_upper = upper.lookup(directory, name) is not None
    if in_upper:
        hides = bool(parent.lowers) and tree.layers.below(parent, name) is not None
        upper.remove(directory, name, is_directory=False, whiteout=hides)
    else:
        upper.whiteout(directory, name)
    parent.discard(name)
    tree.touch(parent)
    lose_name(tree, node, parent, name)


def prepare_loss(tree: Tree, node: Node, parent: Directory, name: bytes) -> None:
    """Before a name goes: if it is the only way to a file that the kernel may still use, keep
    the file open."""
    if node.layer != UPPER or not node.lookups:
        return
    if node.indexed and node.attributes.nlink > 1:
        return
    if (
        node.aliases
        or node.parent is not parent
        or node.name != name
        or not stat.S_ISREG(node.attributes[1])
    ):
        return
    # Opening an incomplete file may fail, which must not keep it from being removed.
    if not tree.files.can_pin() or (node.backing is None and node.lazy is not None):
        node.stash = tree.layers.writable().stash(node.ref, -1)
        return
    if node.backing is None:
        open_backing(tree, node)
    tree.files.pin(node)


def lose_name(tree: Tree, node: Node, parent: Directory, name: bytes) -> None:
    """After a name is gone and out of its listing."""
    if isinstance(node, Directory):
        node.parent = None
        node.upper = None
        node.ref = None
        node.lowers = ()
        node.children.clear()
        node.complete = True
        node.subdirs = 0
        node.stale = True
        return
    set_nlink(tree, node, max(node.attributes.nlink - 1, 0))
    if node.attributes.nlink == 0:
        # Its copy has left the index.
        node.indexed = False
        if stat.S_ISLNK(node.attributes.mode):
            tree.layers.writable().release_number(node.attributes.ino)
    node.drop_name(parent, name)
    if node.parent is None and not node.lookups:
        tree.files.close(node)
        tree.node_maker.linked.pop(node.attributes.ino, None)
    if node.attributes.nlink:
        tree.changed.add(node.attributes.ino)
    else:
        tree.changed.discard(node.attributes.ino)


def require_empty(tree: Tree, node: Directory) -> None:
    tree.listings.load(node)
    if node.children or node.unmaterialized:
        raise error(errno.ENOTEMPTY)


def rmdir(tree: Tree, parent: Directory, name: bytes) -> None:
    node = tree.existing(parent, name)
    if not isinstance(node, Directory):
        raise error(errno.ENOTDIR)
    upper = tree.layers.writable()
    require_empty(tree, node)
    directory = ensure_directory(tree, parent)
    whiteout = tree.layers.below(parent, name) is not None
    if node.upper is not None:
        upper.remove(directory, name, is_directory=True, whiteout=whiteout)
    else:
        upper.whiteout(directory, name)
    tree.changed.add(node.attributes.ino)
    parent.discard(name)
    tree.touch(parent)
    lose_name(tree, node, parent, name)
