"""CONNECT and DISCONNECT: changes the networks of a running container."""

from __future__ import annotations

from rootless.errors import RootlessError, failure_of
from rootless.network.options import BRIDGE, attachment_of, predefined_id
from rootless.supervisor.protocol import Kind

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from rootless.network.endpoint import Endpoint
    from rootless.supervisor.clients import Client
    from rootless.supervisor.container_run import ContainerRun
    from rootless.supervisor.record_keeper import RecordKeeper


def change_networks(
    client: Client, fields: Mapping[str, Any], run: ContainerRun, keeper: RecordKeeper
) -> Callable[[Endpoint], Endpoint]:
    """Carry out CONNECT and DISCONNECT. Returns what becomes of the container's endpoint."""
    try:
        change = _carry_out(fields, run)
    except (OSError, RootlessError) as error:
        client.refuse(failure_of(error) if isinstance(error, OSError) else error.message)
        return lambda endpoint: endpoint
    keeper.changed_networks(run.places, change)
    client.send(Kind.DONE)
    return change


def _carry_out(fields: Mapping[str, Any], run: ContainerRun) -> Callable[[Endpoint], Endpoint]:
    """Raises OSError, RootlessError."""
    if "attachment" in fields:
        attachment = attachment_of(fields["attachment"])
        if attachment.network_id == predefined_id(BRIDGE):
            setup = run.networks.connect_default(attachment)
            return lambda endpoint: endpoint.with_default(setup)
        run.networks.connect_defined(attachment)
        return lambda endpoint: endpoint.with_attachments(attachment)
    network = str(fields["network"])
    if network == predefined_id(BRIDGE):
        run.networks.disconnect_default()
        return lambda endpoint: endpoint.with_default(None)
    run.networks.disconnect_defined(network)
    return lambda endpoint: endpoint.with_attachments(None, network)
