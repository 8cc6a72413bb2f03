"""The directories of one engine."""

from __future__ import annotations

from unionfs.light_types import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.containers.directory import Containers
    from rootless.volumes.store import Volumes


class StoragePaths(NamedTuple):
    """`store`: images, containers and volumes. `runtime`: sockets, locks and mount points."""

    store: str
    runtime: str

    def control_directory(self, container_id: str) -> str:
        """Where the control socket of a container's monitor lies."""
        from rootless.containers.directory import control_directory

        return control_directory(self.runtime, container_id)

    @property
    def containers(self) -> Containers:
        """The containers of the store."""
        from rootless.containers.delete_tree import remove_container_tree
        from rootless.containers.directory import Containers

        return Containers(f"{self.store}/containers", remove_container_tree, self.runtime)

    @property
    def volumes(self) -> Volumes:
        """The volumes of the store."""
        from rootless.volumes.store import Volumes

        return Volumes(f"{self.store}/volumes")
