"""mknod, mkdir, symlink, create, tmpfile and link."""

from __future__ import annotations

import errno
import os
import stat

from unionfs.journal_kinds import Kind
from unionfs.layer import Creation, LayerEntry, Ref, UpperLayer
from unionfs.model import Attributes, Caller, with_nlink
from unionfs.nodes import UPPER, Backing, Directory, Node, record_place
from unionfs.ops.copyup import ensure_directory, ensure_upper, keep_unnamed
from unionfs.ops.data import all_xattrs, truncate
from unionfs.ops.tree import NAME_MAX, Tree, error
from unionfs.ownership import Owner
from unionfs.whiteouts import is_reserved
from unionfs.xattr_names import DEFAULT_ACL

LINK_MAX = 65000
"""The limit of ext4; a file system with a lower one reports it itself."""


_new = tuple.__new__
_NO_XATTRS: dict[bytes, bytes] = {}


def require_free(tree: Tree, parent: Directory, name: bytes) -> None:
    """EEXIST if the name is taken, and what else speaks against a new one here."""
    if tree.child(parent, name) is not None:
        raise error(errno.EEXIST)
    require_creatable(tree, parent, name)


def require_creatable(tree: Tree, parent: Directory, name: bytes) -> None:
    tree.layers.writable()
    if len(name) > NAME_MAX:
        raise error(errno.ENAMETOOLONG)
    if is_reserved(name):
        # In a layer on disk it would be a whiteout.
        raise error(errno.EINVAL)
    if parent.parent is None and parent is not tree.root:
        raise error(errno.ENOENT)


def new(tree: Tree, parent: Directory, mode: int, caller: Caller) -> Creation:
    """The properties of an object that `caller` makes in `parent`: inode_init_owner, fs/inode.c."""
    uid, gid, _, umask = caller
    if tree.shown.view is not None:
        uid, gid = tree.shown.stored_ids(uid, gid)
    xattrs = _NO_XATTRS
    if parent.default_acl is None:
        parent.default_acl = all_xattrs(tree, parent).get(DEFAULT_ACL, b"")
    if not parent.default_acl:
        mode &= ~(umask & 0o7777)
    else:
        from unionfs.ops import acl

        mode, xattrs = acl.inherited(parent.default_acl, mode, umask)
    if parent.attributes[1] & stat.S_ISGID:
        gid = parent.true_owner[1]
        if stat.S_ISDIR(mode):
            mode |= stat.S_ISGID
    return _new(Creation, (mode, uid, gid, 0, b"", xattrs, None, None, None, None, False))


def _made(
    tree: Tree, parent: Directory, name: bytes, entry: LayerEntry, creation: Creation
) -> Node:
    node = tree.node_maker.make_node(parent, name, [(UPPER, entry)])
    node.has_capabilities = False
    if isinstance(node, Directory):
        node.complete = True
        node.default_acl = creation.xattrs.get(DEFAULT_ACL, b"")
    parent.insert(name, node)
    tree.touch(parent)
    tree.changed.add(node.attributes.ino)
    tree.table.remember(node)
    return node


def _make_file(tree: Tree, parent: Directory, name: bytes, creation: Creation) -> Node:
    """A regular file where there is none: what is made most often."""
    directory = parent.upper
    if directory is None:
        directory = ensure_directory(tree, parent)
    mode, uid, gid, _, _, xattrs, *_ = creation
    upper = tree.layers.writable()
    if xattrs:
        ref, attributes, fd = _publish(upper, directory, name, creation)
    else:
        ref, attributes, fd = upper.create(directory, name, mode, uid, gid)
    node = tree.node_maker.make_file_node(parent, name, ref, attributes)
    parent.children[name] = node
    if parent.stream is not None:
        parent.stream.add(name)
    tree.touch(parent)
    tree.changed.add(node.attributes[0])
    tree.table.remember(node)
    tree.files.keep(node, Backing(fd, writable=True))
    return node


def _publish(
    upper: UpperLayer, directory: Ref, name: bytes, creation: Creation
) -> tuple[Ref, Attributes, int]:
    """A regular file with attributes: `UpperLayer.create` by way of a draft."""
    draft = upper.draft()
    try:
        entry = upper.publish(draft, directory, name, creation)
    except BaseException:
        upper.discard(draft)
        raise
    return entry.ref, entry.attributes, draft.fd


def create(
    tree: Tree, parent: Directory, name: bytes, mode: int, *, flags: int, caller: Caller
) -> Node:
    node = parent.children.get(name)
    if node is None and (parent.unmaterialized or not parent.complete):
        node = tree.child(parent, name)
    if node is not None:
        if flags & os.O_EXCL:
            raise error(errno.EEXIST)
        if isinstance(node, Directory):
            raise error(errno.EISDIR)
        open_(tree, node, flags)
        tree.table.remember(node)
        return tree.refresh_attributes(node) if node.stale else node
    require_creatable(tree, parent, name)
    creation = new(tree, parent, stat.S_IFREG | mode & 0o7777, caller)
    return _make_file(tree, parent, name, creation)


def open_(tree: Tree, node: Node, flags: int) -> None:
    """open(2), without permissions, which the kernel has checked."""
    writes = flags & os.O_ACCMODE != os.O_RDONLY
    if (writes or flags & os.O_TRUNC) and tree.upper is None and stat.S_ISREG(node.attributes.mode):
        raise error(errno.EROFS)
    if flags & os.O_TRUNC and stat.S_ISREG(node.attributes.mode):
        truncate(tree, node, 0)


def make(tree: Tree, parent: Directory, name: bytes, creation: Creation) -> Node:
    require_free(tree, parent, name)
    if stat.S_ISREG(creation.mode):
        return _make_file(tree, parent, name, creation)
    upper_parent = ensure_directory(tree, parent)
    if stat.S_ISDIR(creation.mode):
        below = tree.layers.below(parent, name)
        if below is not None and stat.S_ISDIR(below.attributes.mode):
            creation = creation._replace(opaque=True)
    entry = tree.layers.writable().make(upper_parent, name, creation)
    return _made(tree, parent, name, entry, creation)


def tmpfile(tree: Tree, parent: Directory, mode: int, caller: Caller) -> Node:
    upper = tree.layers.writable()
    ensure_directory(tree, parent)
    creation = new(tree, parent, stat.S_IFREG | stat.S_IMODE(mode), caller)
    draft = upper.draft()
    try:
        attributes = upper.publish_unnamed(draft, creation)
    except BaseException:
        upper.discard(draft)
        raise
    node = Node(None, b"", UPPER, None, with_nlink(attributes, 0))
    tree.shown.set(node, node.attributes)
    node.has_capabilities = False
    tree.files.keep(node, Backing(draft.fd, writable=True))
    tree.table.remember(node)
    keep_unnamed(tree, node, draft.fd)
    return node


def link(tree: Tree, node: Node, parent: Directory, name: bytes) -> Node:
    require_free(tree, parent, name)
    if isinstance(node, Directory):
        raise error(errno.EPERM)
    if node.attributes.nlink >= LINK_MAX:
        raise error(errno.EMLINK)
    ensure_upper(tree, node, keeps_data=True)
    upper_parent = ensure_directory(tree, parent)
    fd = -1 if node.backing is None else node.backing.fd
    if stat.S_ISLNK(node.attributes.mode) and node.ref is not None:
        owner = Owner(*node.true_owner, node.attributes.mode)
        tree.layers.writable().make_ownable(node.ref, owner, node.attributes.ino)
    ref = tree.layers.writable().link(node.ref, fd, upper_parent, name)
    set_nlink(tree, node, node.attributes.nlink + 1)
    node.add_name(parent, name, ref)
    tree.files.unpin(node)
    if node.stash is not None:
        # A file that was made without a name (O_TMPFILE).
        tree.layers.writable().drop_stash(node.stash)
        node.stash = None
        if tree.journal is not None:
            tree.journal.add(Kind.FORGOTTEN, node.nodeid)
            record_place(tree.journal, node, parent, name)
    tree.node_maker.linked[node.attributes.ino] = node
    parent.insert(name, node)
    tree.touch(parent)
    tree.changed.add(node.attributes.ino)
    tree.table.remember(node)
    return tree.refresh_attributes(node)


def set_nlink(tree: Tree, node: Node, nlink: int) -> None:
    """Count names. Those of a file with several in a lower are counted on disk too."""
    known: Attributes = node.attributes
    if node.indexed or (
        node.layer != UPPER and (known.nlink > 1 or known.ino in tree.node_maker.index)
    ):
        tree.layers.writable().index_links(known.ino, node.ref if node.indexed else None, nlink)
        if nlink == 0:
            tree.node_maker.index.pop(known.ino, None)
        elif not node.indexed:
            tree.node_maker.index[known.ino] = nlink
    node.attributes = with_nlink(known, nlink)
    node.stale = True
