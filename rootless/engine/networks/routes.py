"""Finds routes of the host that were added after a network was made and overlap its addresses."""

from __future__ import annotations

from rootless.errors import RootlessError
from rootless.network.defined.host_routes import host_ranges

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from rootless.network.defined.store import Networks
    from rootless.network.options import Attachment


def overlaps(networks: Networks, attachments: Iterable[Attachment]) -> list[str]:
    """Warnings about addresses that containers of the networks cannot reach, one for each subnet. As with docker it
    is no error: the containers reach each other, and the host reaches both, by its routes and at published ports.
    """
    routes = host_ranges()
    found = []
    for each in attachments:
        try:
            record = networks.find(each.network_id or each.network)
        except RootlessError:
            continue  # the start says why
        for subnet in record.subnets:
            route = subnet.range.first_overlap(routes)
            if route is not None:
                found.append(
                    f"the host has a route to {route} too, which the container does not reach: "
                    f"network {record.name} is {subnet.subnet}"
                )
    return found
