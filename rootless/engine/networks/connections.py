"""`network connect` and `disconnect`: what a container is in is written to its record, and asked of its monitor while it
runs.
"""

from __future__ import annotations

from rootless.containers.status import ALIVE
from rootless.engine.lifecycle import connect
from rootless.engine.networks.commands import find_network, is_predefined, report
from rootless.engine.preparation.attachments import check_addresses
from rootless.errors import ConflictError, HostSupportError, NotFoundError, UsageError
from rootless.network.endpoint import Endpoint
from rootless.network.options import BRIDGE, HOST, NONE
from rootless.supervisor.protocol import Kind

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from rootless.containers.record import ContainerRecord
    from rootless.containers.storage_paths import StoragePaths
    from rootless.network.options import Attachment
    from rootless.supervisor.client import MonitorClient

_ONE_NONE = "container cannot be connected to multiple networks with one of the networks in private (none) mode"


def connect_container(
    paths: StoragePaths, name: str, container: str, attachment: Attachment
) -> None:
    """Raises NotFoundError, UsageError, ConflictError, HostSupportError."""
    record = paths.containers.find(container)
    network = find_network(paths, name)
    endpoint = record.endpoint or Endpoint("")
    _check_mode(network.name, endpoint)
    if is_predefined(network):
        raise HostSupportError(
            f"a container that was not made with the network {network.name} cannot be connected to it",
            hint="connect it to one of 'rootless network create'",
        )
    if any(each.network_id == network.id for each in endpoint.attachments):
        raise ConflictError(
            f"endpoint with name {record.name} already exists in network {network.name}"
        )
    check_addresses(attachment, network)
    wanted = attachment._replace(network=network.name, network_id=network.id, is_by_connect=True)
    if record.status in ALIVE:
        _ask(paths, record, lambda client: client.connect_network(wanted))
    else:
        _change(paths, record, wanted, "")
    report(paths, network, "connect", container=record.id)


def _check_mode(network: str, endpoint: Endpoint) -> None:
    """Raise ConflictError, in docker's words, for a container that can be in no other network."""
    if network == HOST:
        raise ConflictError(
            "cannot connect container to host network - container must be created in host network mode"
        )
    if NONE in {network, endpoint.network}:
        raise ConflictError(_ONE_NONE)
    if endpoint.network == HOST or ":" in endpoint.network:
        raise ConflictError(
            "container sharing network namespace with another container or host cannot be connected to any other network"
        )


def disconnect_container(paths: StoragePaths, name: str, container: str, *, force: bool) -> None:
    """Raises NotFoundError, UsageError, ConflictError."""
    network = find_network(paths, name)
    try:
        record = paths.containers.find(container)
    except NotFoundError:
        if force:
            raise NotFoundError(f"endpoint {container} not found") from None
        raise
    endpoint = record.endpoint or Endpoint("")
    if network.name == BRIDGE and endpoint.network == BRIDGE:
        raise HostSupportError(
            "a container cannot be disconnected from the network bridge, which is its own",
            hint="create it with --network NAME, or with --network none",
        )
    if all(each.network_id != network.id for each in endpoint.attachments):
        raise UsageError(f"container {record.id} is not connected to network {network.name}")
    if record.status in ALIVE:
        _ask(paths, record, lambda client: client.disconnect_network(network.id))
    else:
        _change(paths, record, None, network.id)
    report(paths, network, "disconnect", container=record.id)


def _ask(
    paths: StoragePaths, record: ContainerRecord, request: Callable[[MonitorClient], None]
) -> None:
    client = connect(paths, record)
    if client is None:
        raise ConflictError(f"container {record.name} has ended meanwhile")
    try:
        request(client)
        client.receive_until(Kind.DONE)
    finally:
        client.close()


def _change(
    paths: StoragePaths, record: ContainerRecord, connected: Attachment | None, disconnected: str
) -> None:
    def change(old: ContainerRecord) -> ContainerRecord:
        if old.endpoint is None:
            return old
        return old._replace(endpoint=old.endpoint.with_attachments(connected, disconnected))

    paths.containers.change(record.id, change)
