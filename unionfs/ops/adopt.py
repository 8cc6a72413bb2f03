"""adopt: gives a name to a directory tree that another process has made in the work directory."""

from __future__ import annotations

import errno

from unionfs.nodes import UPPER
from unionfs.ops.copyup import ensure_directory
from unionfs.ops.create import require_free
from unionfs.ops.tree import Tree, error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from unionfs.nodes import Directory


def adopt(tree: Tree, parent: Directory, prepared: bytes, name: bytes) -> None:
    """Raises OSError: EINVAL for names that cannot be, ENOENT if there is no such tree, EEXIST if the
    name is taken in the union or in a layer below."""
    if tree.upper is None or not tree.upper.takes_prepared_trees:
        raise error(errno.EOPNOTSUPP)
    if name in (b"", b".", b"..") or b"/" in name:
        raise error(errno.EINVAL)
    require_free(tree, parent, name)
    if tree.layers.below(parent, name) is not None:
        # Removed in the union: the tree would have to be marked as opaque.
        raise error(errno.EEXIST)
    entry = tree.upper.adopt(ensure_directory(tree, parent), prepared, name)
    node = tree.node_maker.make_node(parent, name, [(UPPER, entry)])
    parent.insert(name, node)
    tree.touch(parent)
    tree.changed.add(node.attributes.ino)
