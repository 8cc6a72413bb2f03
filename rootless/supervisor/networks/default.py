"""The default network of a container: a connection of its own to the outside."""

from __future__ import annotations

import os

from rootless.network.drivers.choice import driver_of, prepare
from rootless.network.options import BRIDGE, NetworkOptions, mac_address_with
from rootless.supervisor.networks.link import NetworkLink

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from rootless.network.endpoint import Assigned, Endpoint
    from rootless.network.options import Attachment
    from rootless.network.setup import NetworkSetup


def default_link(setup: NetworkSetup, endpoint: Endpoint) -> NetworkLink:
    """That of a container which starts. `setup` is what it was made with, perhaps for other networks. Raises
    HostSupportError.
    """
    if setup.attachments:
        options = NetworkOptions(BRIDGE, mac_address=endpoint.mac_address)
        setup = prepare(options, os.environ)
    return NetworkLink(setup, driver_of(setup.driver))


def new_default_setup(mac_address: str = "") -> NetworkSetup:
    """The setup of `network connect bridge`. Raises HostSupportError."""
    mac_address = mac_address or mac_address_with(os.urandom(4))
    return prepare(NetworkOptions(BRIDGE, mac_address=mac_address), os.environ)


def new_default_link(asked: Attachment, places: Iterable[Assigned]) -> NetworkLink:
    """That of a container which runs and has these places. Raises HostSupportError."""
    used = {each.interface for each in places}
    number = next(each for each in range(len(used) + 1) if f"eth{each}" not in used)
    setup = new_default_setup(asked.mac_address)._replace(interface=f"eth{number}")
    return NetworkLink(setup, driver_of(setup.driver))
