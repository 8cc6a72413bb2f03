"""`network connect` and `disconnect`: writes the networks of a container to its record, and asks its monitor to
change them while it runs.
"""

from __future__ import annotations

from rootless.containers.status import ALIVE, MONITORED
from rootless.engine.lifecycle.connection import ask
from rootless.engine.networks.commands import find_network, is_predefined
from rootless.engine.preparation.attachments import check_addresses
from rootless.errors import (
    ConflictError,
    HostSupportError,
    NotFoundError,
    RootlessError,
    UsageError,
)
from rootless.network.endpoint import Endpoint
from rootless.network.options import HOST, NONE
from rootless.supervisor.networks.default import new_default_setup

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
    is_alive = record.status in ALIVE
    if is_alive and (
        network.name == endpoint.default
        or any(each.network_id == network.id for each in endpoint.attachments)
    ):
        raise ConflictError(
            f"endpoint with name {record.name} already exists in network {network.name}"
        )
    if is_predefined(network):
        _check_default(attachment)
    else:
        check_addresses(attachment, network)
    wanted = attachment._replace(network=network.name, network_id=network.id, is_by_connect=True)
    if is_alive:
        _ask(paths, record, lambda client: client.connect_network(wanted))
    elif is_predefined(network):
        setup = new_default_setup(attachment.mac_address)
        _change(paths, record, lambda old: old.with_default(setup))
    else:
        _change(paths, record, lambda old: old.with_attachments(wanted))


def _check_mode(network: str, endpoint: Endpoint) -> None:
    """Raise ConflictError, in docker's words, for a container that can be in no other network."""
    if endpoint.network == HOST or ":" in endpoint.network:
        raise ConflictError(
            "container sharing network namespace with another container or host cannot be connected to any other network"
        )
    if network == HOST:
        raise ConflictError(
            "cannot connect container to host network - container must be created in host network mode"
        )
    if NONE in {network, endpoint.network}:
        raise ConflictError(_ONE_NONE)


def _check_default(attachment: Attachment) -> None:
    """Raise UsageError, in docker's words, for what the default network does not give."""
    if attachment.aliases:
        raise UsageError(
            "invalid endpoint settings: network-scoped alias is supported only for containers in user defined networks"
        )
    if attachment.ip or attachment.ip6:
        raise UsageError(
            "invalid endpoint settings: user specified IP address is supported on user defined networks only"
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
    if network.name == HOST == endpoint.network:
        raise ConflictError(
            "cannot disconnect container from host network - container was created in host network mode"
        )
    if network.name == NONE == endpoint.network:
        raise HostSupportError(
            "a container that was made without a network cannot be connected to one",
            hint="create it with --network NAME",
        )
    is_default = network.name == endpoint.default
    if not is_default and all(each.network_id != network.id for each in endpoint.attachments):
        raise UsageError(f"container {record.id} is not connected to network {network.name}")
    if record.status in ALIVE:
        _ask(paths, record, lambda client: client.disconnect_network(network.id))
    elif is_default:
        _change(paths, record, lambda old: old.with_default(None))
    else:
        _change(paths, record, lambda old: old.with_attachments(None, network.id))


def rename_in_networks(paths: StoragePaths, record: ContainerRecord) -> None:
    """Rename a container that runs in its networks. A monitor of an earlier release does not know the
    request: DNS has the old name then until the container is started again.
    """
    if record.status not in MONITORED or record.endpoint is None:
        return
    try:
        _ask(paths, record, lambda client: client.rename(record.name))
    except RootlessError:
        pass  # it has ended meanwhile, or does not answer


def _ask(
    paths: StoragePaths, record: ContainerRecord, request: Callable[[MonitorClient], None]
) -> None:
    if ask(paths, record, request) is None:
        raise ConflictError(f"container {record.name} has ended meanwhile")


def _change(
    paths: StoragePaths, record: ContainerRecord, change: Callable[[Endpoint], Endpoint]
) -> None:
    def change_record(old: ContainerRecord) -> ContainerRecord:
        return old if old.endpoint is None else old._replace(endpoint=change(old.endpoint))

    paths.containers.change(record.id, change_record)
