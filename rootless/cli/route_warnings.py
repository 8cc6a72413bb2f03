"""The warning about a network of a container that overlaps a route of the host."""

from __future__ import annotations

import sys

from rootless.engine.networks.routes import overlaps

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from rootless.network.defined.store import Networks
    from rootless.network.options import Attachment


def warn_of_routes(networks: Networks, attachments: Iterable[Attachment]) -> None:
    """Print a line for each."""
    for text in overlaps(networks, attachments):
        print(f"WARNING: {text}", file=sys.stderr)
