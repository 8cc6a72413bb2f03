"""Puts a new upper over the present one, which becomes a read-only layer.

The nodes that the kernel knows go on with their numbers. Those that the former upper has are objects of a lower from
then on, so that what is written to one of them, open or not, is copied up first. A file without a name belongs to no
layer, and goes on as it is.
"""

from __future__ import annotations

import gc

from unionfs.directory.chain import ChainRef, UpperChain
from unionfs.directory.frozen import FrozenUpper
from unionfs.model import with_nlink
from unionfs.nodes import UPPER, Directory, Node
from unionfs.ops.copyup import ensure_upper
from unionfs.ops.tree import Tree
from unionfs.ownership import Owner

TYPE_CHECKING = False
if TYPE_CHECKING:
    from unionfs.layer import Layer


def prepare(tree: Tree, saved: bytes) -> None:
    """Save what a new upper needs to know of this one, in the directory `saved`. All lazy copies are complete; from now
    on files are copied up whole. Raises OSError, and then the union goes on."""
    upper = tree.layers.writable()
    tree.lazy_copies.min_size = None
    tree.files.write_out()
    upper.save_state(saved)
    for node in tree.node_maker.linked.values():
        if node.indexed:
            # Its names stand for another copy now, with the same content.
            tree.files.close(node)


def freeze(tree: Tree, frozen: bytes, path: bytes) -> None:
    """The tree of the upper has been moved to `frozen`; take the empty one at `path` in its place, and give its top
    directory the attributes of the former."""
    upper, layers = tree.layers.writable(), tree.layers
    layer = upper.freeze(frozen, path)
    chain = layers.frozen
    if chain is None:
        chain = UpperChain()
        layers.add_frozen(chain)
    is_collecting = gc.isenabled()
    gc.disable()  # nothing becomes garbage here, and the nodes are many
    try:
        _Moving(tree, chain.push(_frozen_upper(layer))).run()
    finally:
        if is_collecting:
            gc.enable()
    root = tree.root
    root.layer = UPPER
    root.upper = root.ref = upper.root().ref
    take_root(tree)


def _frozen_upper(layer: Layer) -> FrozenUpper:
    if not isinstance(layer, FrozenUpper):
        raise TypeError("only the upper of a directory can be frozen")
    return layer


def take_root(tree: Tree) -> None:
    """Give the top directory of a new upper the attributes of that of the upper below it."""
    upper, frozen, root = tree.layers.writable(), tree.layers.frozen, tree.root
    if frozen is None or root.upper is None:
        return
    entry, own = frozen.root(), upper.root().attributes
    known = entry.attributes
    for name, value in frozen.xattrs(entry.ref).items():
        upper.set_xattr(root.upper, -1, name, value, 0)
    owner = Owner(own.uid, own.gid, own.mode, own.rdev)
    upper.change(root.upper, -1, owner, mode=known.mode & 0o7777, uid=known.uid, gid=known.gid)
    upper.set_times(root.upper, -1, known.atime_ns, known.mtime_ns)
    tree.shown.set_with_ino(root, with_nlink(known, root.attributes.nlink), root.attributes.ino)
    root.stale = True


class _Moving:
    """The nodes of an upper that has become number `serial` of a chain."""

    def __init__(self, tree: Tree, serial: int) -> None:
        self._tree = tree
        self._serial = serial
        self._at = tree.layers.frozen_at

    def run(self) -> None:
        """A directory of the upper lies in one of the upper, so the walk sees no other."""
        at, close = self._at, self._tree.files.close
        pending = [self._tree.root]
        while pending:
            directory = pending.pop()
            self._move_directory(directory)
            # The container waits, and these may be all files that it has made: nothing is read, and no function called. What
            # was written to stays stale (`Tree.is_unread`).
            for child in directory.children.values():
                if child.layer != UPPER:
                    continue
                if child.__class__ is Directory:
                    pending.append(child)
                elif not child.indexed:
                    if child.backing is not None:
                        close(child)
                    child.layer = at
        for node in list(self._tree.node_maker.linked.values()):
            if node.layer == UPPER and not node.indexed and node.attributes.nlink:
                self._part(node)

    def _move_directory(self, directory: Directory) -> None:
        ref, lowers = directory.upper, directory.lowers
        if ref is None:
            return
        if lowers and lowers[0][0] == self._at:
            former = lowers[0][1]
            above = former.above(self._serial, ref) if isinstance(former, ChainRef) else former
            lowers = ((self._at, above), *lowers[1:])
        else:
            lowers = ((self._at, ChainRef(((self._serial, ref),))), *lowers)
        directory.lowers = lowers
        directory.upper = directory.redirect = directory.below = None
        directory.layer, directory.ref = lowers[0]

    def _part(self, node: Node) -> None:
        """A file that has lost the name by which it is open has others in the frozen upper: it becomes the copy of the
        new one that they stand for."""
        tree = self._tree
        upper = tree.layers.writable()
        if node.stale:
            tree.refresh_attributes(node)
        stash = node.stash
        if node.ref is None and node.backing is not None:
            stash = upper.stash(None, node.backing.fd, upper.new_stash())
            node.ref = stash
        tree.files.close(node)
        node.layer, node.stash = self._at, None
        ensure_upper(tree, node)
        if stash is not None:
            upper.drop_stash(stash)
