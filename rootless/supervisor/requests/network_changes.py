"""CONNECT and DISCONNECT: other networks for a container that runs."""

from __future__ import annotations

from rootless.errors import RootlessError
from rootless.network.options import attachment_of
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
        if "attachment" in fields:
            attachment = attachment_of(fields["attachment"])
            run.change_networks(lambda networks: networks.connect(attachment))

            def change(endpoint: Endpoint) -> Endpoint:
                return endpoint.with_attachments(attachment)

        else:
            network = str(fields["network"])
            run.change_networks(lambda networks: networks.disconnect(network))

            def change(endpoint: Endpoint) -> Endpoint:
                return endpoint.with_attachments(None, network)

    except (OSError, RootlessError) as error:
        client.refuse(str(error))
        return lambda endpoint: endpoint
    keeper.changed_networks(run.places, change)
    client.send(Kind.DONE)
    return change
