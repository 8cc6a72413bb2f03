"""unlink and rmdir."""

from __future__ import annotations

import errno
import stat

from unionfs.journal_kinds import Kind
from unionfs.nodes import UPPER, Directory, Node, record_place
from unionfs.ops.copyup import ensure_directory, reserve_stash
from unionfs.ops.create import set_nlink
from unionfs.ops.data import open_backing
from unionfs.ops.tree import Tree, error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from unionfs.journal import Journal


def unlink(tree: Tree, parent: Directory, name: bytes) -> None:
    node = parent.children.get(name)
    if node is None:
        node = tree.existing(parent, name)
    if isinstance(node, Directory):
        raise error(errno.EISDIR)
    upper = tree.layers.writable()
    if tree.first_seen is not None:
        tree.first_seen.note(node)
    directory = ensure_directory(tree, parent)
    must_stash = prepare_loss(tree, node, parent, name)
    if not node.indexed:
        in_upper = node.layer == UPPER
    else:
        in_upper = upper.lookup(directory, name) is not None
    if in_upper:
        hides = bool(parent.lowers) and tree.layers.below(parent, name) is not None
        if must_stash:
            stash = reserve_stash(tree, node)
            node.stash = upper.move_to_stash(directory, name, stash, whiteout=hides)
        else:
            upper.remove(directory, name, is_directory=False, whiteout=hides)
    else:
        if must_stash:
            node.stash = upper.stash(node.ref, -1, reserve_stash(tree, node))
        upper.whiteout(directory, name)
    parent.discard(name)
    tree.touch(parent)
    lose_name(tree, node, parent, name)


def prepare_loss(tree: Tree, node: Node, parent: Directory, name: bytes) -> bool:
    """Before a name goes: if it is the only way to a file that the kernel may still use, keep
    the file open. True if it has to be stashed instead."""
    if not node.lookups:
        if tree.recovery is None:
            return False
        tree.table.remember(node)
    if node.layer != UPPER:
        if tree.journal is not None and not isinstance(node, Directory):
            _record_path(tree, node, parent, name)
        return False
    if node.indexed and node.attributes.nlink > 1:
        return False
    if (
        node.aliases
        or node.parent is not parent
        or node.name != name
        or not stat.S_ISREG(node.attributes[1])
    ):
        return False
    # Opening an incomplete file may fail, which must not keep it from being removed.
    if (
        tree.journal is not None
        or not tree.files.can_pin()
        or (node.backing is None and node.lazy is not None)
    ):
        return True
    if node.backing is None:
        open_backing(tree, node)
    tree.files.pin(node)
    return False


def _record_path(tree: Tree, node: Node, parent: Directory, name: bytes) -> None:
    """An object of a lower is about to lose a name: if that is the last, only its path leads to it."""
    if node.attributes.nlink > 1 or node.parent is not parent or tree.journal is None:
        return
    node.kept_path = parent.lower_path() + b"/" + name
    from unionfs.ops.journal_records import lower_record

    tree.journal.add(Kind.LOWER, node.nodeid, 0, lower_record(node, node.kept_path))


def lose_name(tree: Tree, node: Node, parent: Directory, name: bytes) -> None:
    """After a name is gone and out of its listing."""
    is_recorded = node.stash is not None or node.kept_path is not None
    if tree.journal is not None and node.lookups and not is_recorded:
        _record_gone(node, tree.journal)
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
    if tree.is_unread(node):
        tree.refresh_attributes(node)
    set_nlink(tree, node, max(node.attributes.nlink - 1, 0))
    if node.attributes.nlink == 0:
        # Its copy has left the index.
        node.indexed = False
        if stat.S_ISLNK(node.attributes.mode):
            tree.layers.writable().release_number(node.attributes.ino)
    node.drop_name(parent, name)
    if tree.deferred is not None and node in tree.deferred.nodes:
        tree.deferred.note_copied(node)
    if tree.journal is not None and node.parent is not None:
        record_place(tree.journal, node, node.parent, node.name)
    if node.parent is None and not node.lookups:
        tree.files.forget(node)
        tree.node_maker.linked.pop(node.attributes.ino, None)
    if node.attributes.nlink:
        tree.changed.add(node.attributes.ino)
    else:
        tree.changed.discard(node.attributes.ino)


def _record_gone(node: Node, journal: Journal) -> None:
    """An object without data has lost a name: if that was the last, nothing leads to it."""
    is_last = node.attributes.nlink <= 1 and not stat.S_ISREG(node.attributes.mode)
    if is_last or isinstance(node, Directory):
        journal.add_gone(node.nodeid, node.attributes)


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
    if tree.first_seen is not None:
        tree.first_seen.note(node)
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
