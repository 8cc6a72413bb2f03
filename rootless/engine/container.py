"""A container as its processes see it: everything decided before the first of them is forked."""

from __future__ import annotations

from rootless.launcher.idmap import IdMaps
from rootless.state.record import ContainerRecord
from unionfs.bases import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class HostTree(NamedTuple):
    """A directory of the machine as the only lower layer. `hidden` are absolute paths not to be
    seen through it.
    """

    path: str
    hidden: tuple[str, ...] = ()


class ImageTree(NamedTuple):
    """The layers of an image, bottom first: (layer.tar, index.sqlite) of each; and the index of all
    of them merged, where there are several.
    """

    layers: tuple[tuple[str, str], ...]
    chain: str | None = None


class Container(NamedTuple):
    """`spec` is the OCI runtime configuration, as written to config.json of `directory`."""

    record: ContainerRecord
    directory: str
    spec: dict[str, Any]
    id_maps: IdMaps
    tree: HostTree | ImageTree
    read_only: bool
    terminal: bool
    stop_timeout: int | None
    cgroup_parent: str | None
    seccomp_cache: str

    @property
    def upper(self) -> str:
        return f"{self.directory}/upper"

    @property
    def work(self) -> str:
        return f"{self.directory}/work"

    @property
    def mountpoint(self) -> str:
        """Where the union is mounted, in the container's mount namespace only."""
        return f"{self.directory}/rootfs"

    @property
    def log(self) -> str:
        """What the union server and the monitor have to say."""
        return f"{self.directory}/engine.log"
