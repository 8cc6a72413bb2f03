"""rename, with the flags of renameat2(2).

A directory that lives in a lower keeps its contents there: the upper gets a directory of the new
name with an attribute that holds its path in the lowers. The attribute is set while the directory
is still at its old place, where it changes nothing; then one rename(2) that leaves a whiteout
moves it.
"""

from __future__ import annotations

import errno
import stat

from unionfs.layer import Creation, Ref
from unionfs.nodes import UPPER, Directory, Node, record_place
from unionfs.ops.copyup import ensure_directory, ensure_name, ensure_upper, reserve_stash
from unionfs.ops.create import make, require_creatable
from unionfs.ops.remove import lose_name, prepare_loss, require_empty
from unionfs.ops.tree import Tree, error
from unionfs.syscalls.files import RENAME_EXCHANGE, RENAME_NOREPLACE, RENAME_WHITEOUT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from unionfs.ops.tree import Deferring

_KNOWN = RENAME_EXCHANGE | RENAME_NOREPLACE | RENAME_WHITEOUT

Location = tuple[Directory, bytes]
"""A directory, and a name in it."""


def rename(tree: Tree, old: Location, new: Location, flags: int) -> None:
    parent, name = old
    new_parent, new_name = new
    node = tree.existing(parent, name)
    target = tree.child(new_parent, new_name)
    if flags & ~_KNOWN or (
        flags & RENAME_EXCHANGE and flags & (RENAME_NOREPLACE | RENAME_WHITEOUT)
    ):
        raise error(errno.EINVAL)
    if flags & RENAME_WHITEOUT and not tree.layers.writable().holds_device_zero:
        # As kernel overlayfs: before anything has moved.
        raise error(errno.EINVAL)
    if flags & RENAME_NOREPLACE and target is not None:
        raise error(errno.EEXIST)
    if flags & RENAME_EXCHANGE and target is None:
        raise error(errno.ENOENT)
    require_creatable(tree, new_parent, new_name)
    if node is target:
        return
    if tree.deferred is not None and (
        isinstance(node, Directory) or (flags & RENAME_EXCHANGE and isinstance(target, Directory))
    ):
        # The log names files by their paths.
        _copy_deferred(tree, tree.deferred)
    if flags & RENAME_EXCHANGE and target is not None:
        _exchange(tree, (*old, node), (*new, target))
        return
    _move(tree, (*old, node), (*new, target))
    if flags & RENAME_WHITEOUT:
        device = Creation(stat.S_IFCHR, 0, 0)
        tree.table.forget(make(tree, parent, name, device).nodeid, 1)


def _copy_deferred(tree: Tree, deferred: Deferring) -> None:
    """Copy up every file that shows a deferred change."""
    deferred.show_all()
    while deferred.nodes:
        node = next(iter(deferred.nodes))
        tree.table.remember(node)
        try:
            ensure_upper(tree, node, keeps_data=True)
        finally:
            tree.forget(node.nodeid, 1)
    deferred.empty_log()


def _require_replaceable(tree: Tree, node: Node, target: Node | None) -> None:
    if target is None:
        return
    if isinstance(target, Directory):
        if not isinstance(node, Directory):
            raise error(errno.EISDIR)
        require_empty(tree, target)
    elif isinstance(node, Directory):
        raise error(errno.ENOTDIR)


def _require_outside(node: Node, directory: Directory) -> None:
    at: Directory | None = directory
    while at is not None:
        if at is node:
            raise error(errno.EINVAL)
        at = at.parent


def _move(
    tree: Tree, old: tuple[Directory, bytes, Node], new: tuple[Directory, bytes, Node | None]
) -> None:
    parent, name, node = old
    new_parent, new_name, target = new
    _require_replaceable(tree, node, target)
    _require_outside(node, new_parent)
    upper = tree.layers.writable()
    if target is not None and tree.first_seen is not None:
        layer = None if target.layer == UPPER else tree.layers.layer(target.layer)
        tree.first_seen.note(target, layer)
    moved = _prepare(tree, node, (parent, name), (new_parent, new_name))
    directory, new_directory = ensure_directory(tree, parent), ensure_directory(tree, new_parent)
    if target is not None:
        if prepare_loss(tree, target, new_parent, new_name):
            stash = reserve_stash(tree, target)
            if upper.leaves_names:
                # NFS itself gives the target another name first, and then renames.
                target.stash = upper.move_to_stash(new_directory, new_name, stash, whiteout=False)
            else:
                target.stash = upper.stash(target.ref, -1, stash)
        if isinstance(target, Directory) and target.upper is not None:
            _strip(tree, target, new_directory, new_name)
    is_directory = isinstance(node, Directory)
    ref = upper.rename(
        (directory, name),
        (new_directory, new_name),
        moved,
        is_directory=is_directory,
        whiteout=tree.layers.below(parent, name) is not None,
    )
    if target is not None:
        new_parent.discard(new_name)
        lose_name(tree, target, new_parent, new_name)
    parent.discard(name)
    _relocate(tree, node, (parent, name), (new_parent, new_name), ref)
    new_parent.insert(new_name, node)
    tree.touch(parent)
    tree.touch(new_parent)
    node.stale = True
    tree.changed.add(node.attributes.ino)


def _strip(tree: Tree, target: Directory, parent: Ref, name: bytes) -> None:
    """rename(2) wants an empty target: a directory of nothing but whiteouts is made so."""
    upper = tree.layers.writable()
    if (
        target.upper is not None
        and target.lowers
        and any(True for _ in upper.listing(target.upper))
    ):
        upper.empty(parent, name)


def _prepare(tree: Tree, node: Node, old: Location, new: Location) -> Ref:
    """Bring an object to the upper so that it means the same at its new place. Returns its ref."""
    if not isinstance(node, Directory):
        ref = ensure_name(tree, node, *old)
        if ref is None:
            raise error(errno.ENOENT)
        return ref
    upper = tree.layers.writable()
    if node.lowers and node.redirect is None:
        if not tree.redirect:
            raise error(errno.EXDEV)
        path = node.lower_path()
        ref = ensure_directory(tree, node)
        upper.set_redirect(ref, path)
        node.redirect = path
        return ref
    ref = ensure_directory(tree, node)
    below = tree.layers.below(*new)
    if not node.lowers and below is not None and stat.S_ISDIR(below.attributes.mode):
        upper.set_opaque(ref)
    return ref


def _relocate(tree: Tree, node: Node, old: Location, new: Location, ref: Ref) -> None:
    if tree.journal is not None:
        record_place(tree.journal, node, *new)
    if isinstance(node, Directory):
        node.parent, node.name = new
        node.upper = node.ref = ref
        node.layer = UPPER
        return
    node.drop_name(*old)
    node.add_name(*new, ref)


def _exchange(
    tree: Tree, first: tuple[Directory, bytes, Node], second: tuple[Directory, bytes, Node]
) -> None:
    parent, name, node = first
    new_parent, new_name, other = second
    _require_outside(node, new_parent)
    _require_outside(other, parent)
    refs = (
        _prepare(tree, node, (parent, name), (new_parent, new_name)),
        _prepare(tree, other, (new_parent, new_name), (parent, name)),
    )
    directory, new_directory = ensure_directory(tree, parent), ensure_directory(tree, new_parent)
    one, two = tree.layers.writable().exchange((directory, name), (new_directory, new_name), refs)
    parent.discard(name)
    new_parent.discard(new_name)
    _relocate(tree, node, (parent, name), (new_parent, new_name), one)
    _relocate(tree, other, (new_parent, new_name), (parent, name), two)
    parent.insert(name, other)
    new_parent.insert(new_name, node)
    for each in (parent, new_parent, node, other):
        each.stale = True
    tree.changed.update((node.attributes.ino, other.attributes.ino))
