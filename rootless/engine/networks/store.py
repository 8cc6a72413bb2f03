"""The networks that a user defines, as part of the Python API."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from rootless.containers.storage_paths import StoragePaths
    from rootless.filters import NetworkFilters
    from rootless.network.defined.creation import NetworkRequest
    from rootless.network.defined.record import NetworkRecord
    from rootless.network.options import Attachment


class NetworkStore:
    """The networks of one engine (`rootless.engine.engine.Engine.networks`)."""

    def __init__(self, paths: StoragePaths) -> None:
        self._paths = paths

    def create(self, request: NetworkRequest) -> NetworkRecord:
        """Make a network. Raises UsageError, ConflictError, NotFoundError, HostSupportError."""
        from rootless.engine.networks.commands import create_network

        return create_network(self._paths, request)

    def matching(self, filters: NetworkFilters) -> list[NetworkRecord]:
        """The networks that pass the filters, sorted by name, with docker's bridge, host and none."""
        from rootless.engine.networks.commands import list_networks

        return list_networks(self._paths, filters)

    def inspect(self, name: str) -> dict[str, Any]:
        """The document of `docker network inspect`. Raises NotFoundError, UsageError."""
        from rootless.engine.networks.commands import inspect_network

        return inspect_network(self._paths, name)

    def remove(self, name: str) -> NetworkRecord:
        """Remove a network. Raises NotFoundError, UsageError, and InUseError if a container that runs is in it."""
        from rootless.engine.networks.commands import remove_network

        return remove_network(self._paths, name)

    def prune(self, filters: NetworkFilters) -> list[NetworkRecord]:
        """Remove the networks that no running container is in."""
        from rootless.engine.networks.commands import prune_networks

        return prune_networks(self._paths, filters)

    def connect(self, name: str, container: str, attachment: Attachment) -> None:
        """Connect a container to a network, also while it runs. Raises NotFoundError, UsageError for an address that the
        network cannot give, ConflictError if it is in the network already or cannot be.
        """
        from rootless.engine.networks.connections import connect_container

        connect_container(self._paths, name, container, attachment)

    def disconnect(self, name: str, container: str, *, force: bool = False) -> None:
        """Disconnect a container from a network, also while it runs. Raises NotFoundError, UsageError."""
        from rootless.engine.networks.connections import disconnect_container

        disconnect_container(self._paths, name, container, force=force)
