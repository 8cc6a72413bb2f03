"""The kinds of a container's root. Pure."""

from __future__ import annotations

from unionfs.light_types import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeAlias


ROOT_NAME = "rootfs"
"""Of the root in the first directory of a union that is served for a container."""


class FuseRootfs(NamedTuple):
    """The union, mounted in the container's namespaces on `mountpoint` (an existing directory) and
    served from outside.

    `source` is what /proc/self/mounts shows as device. `root_name` is the name in node 1 under which the server has the
    root (`ServeOptions.root_name`); empty: node 1 is the root.
    """

    mountpoint: str
    source: str = "rootless"
    root_name: str = ""


class OverlayRootfs(NamedTuple):
    """Kernel overlayfs over a read-only union that is served from outside.

    `directory` holds the four directories that `rootless.runtime.steps.overlay` names: the union is
    mounted on lower, the overlay on rootfs. `volatile`: overlayfs does not sync the upper layer.
    `native`: a directory that takes the place of the union, which nothing serves then.
    """

    directory: str
    source: str = "rootless"
    volatile: bool = False
    native: str = ""


class BindRootfs(NamedTuple):
    """A directory of the host as it is; nothing between the container and the disk."""

    path: str


class SharedRootfs(NamedTuple):
    """Kernel overlayfs over a read-only union that other containers have too: a detached mount of it is brought
    by the parent, under `ROOT_TREE`.

    `directory` and `volatile` are as for OverlayRootfs. `in_memory`: the root becomes read-only. It is the union
    itself if that has all mount points; otherwise the upper layer is a tmpfs, which ends with the mount namespace.
    """

    directory: str
    volatile: bool = False
    in_memory: bool = False


Rootfs: TypeAlias = FuseRootfs | OverlayRootfs | SharedRootfs | BindRootfs

ROOT_TREE = -1
"""The key of the root's mount among the detached mounts that the parent brings."""

FSTYPE = "fuse.rootless-unionfs"
