"""The network of `run` and `create`. Imported only if one of its options has a value to parse."""

from __future__ import annotations

import sys

from rootless.cli.flags.network import DISCARDED, discards_ports, parse_network
from rootless.cli.run import options as rows
from rootless.network.options import Attachment

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.cli.grammar import Parsed
    from rootless.network.options import NetworkOptions


def read_network(parsed: Parsed) -> NetworkOptions:
    """The networks and published ports. Prints a warning about ports that are not published. Raises UsageError."""
    if discards_ports(parsed[rows.NETWORK], parsed[rows.PUBLISH]):
        print(f"WARNING: {DISCARDED}", file=sys.stderr)
    return parse_network(
        parsed[rows.NETWORK],
        publish=parsed[rows.PUBLISH],
        publish_all=parsed[rows.PUBLISH_ALL],
        expose=parsed[rows.EXPOSE],
        mac_address=parsed[rows.MAC_ADDRESS] or "",
        own=Attachment(
            "", parsed[rows.NETWORK_ALIAS], parsed[rows.IP] or "", parsed[rows.IP6] or ""
        ),
    )
