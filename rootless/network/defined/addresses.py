"""Chooses the addresses of a container in a subnet, and the MAC address of an IP address."""

from __future__ import annotations

import os

from rootless.errors import RootlessError
from rootless.network.cidr import parse_address, parse_range
from rootless.network.options import mac_address_with

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection

    from rootless.network.defined.record import Subnet

TAKEN = "Address already in use"


def choose_address(
    subnet: Subnet, asked: str, taken: Collection[str], preferred: str = "", network: str = ""
) -> str:
    """The address that is asked for; else the preferred one, if it is free; else the first of the range that is.

    `taken` are those of other containers, `network` is what an error calls the network. Raises RootlessError, in docker's
    words, if there is none.
    """
    whole = subnet.range
    used = {parse_address(each)[0] for each in taken}
    used.update((parse_address(subnet.effective_gateway)[0],))
    used.update(parse_address(each)[0] for each in subnet.reserved.values())
    if asked or preferred:
        address, _ = parse_address(asked or preferred)
        if whole.first_host <= address <= whole.last_host and address not in used:
            return whole.text(address)
        if asked:
            raise RootlessError(TAKEN)
    part = parse_range(subnet.ip_range) if subnet.ip_range else whole
    first = max(part.base, whole.first_host)
    last = min(part.last, whole.last_host)
    # No more than `len(used)` addresses are passed over.
    for address in range(first, min(last, first + len(used)) + 1):
        if address not in used:
            return whole.text(address)
    raise RootlessError(
        f"no available IPv{6 if subnet.is_ipv6 else 4} addresses on this network's address pools: "
        f"{network or subnet.subnet}"
    )


def mac_address_of(address: str) -> str:
    """The one that belongs to an IP address, of IPv6 to its last 32 bits; a random one if there is none."""
    if not address:
        return random_mac_address()
    return mac_address_with((parse_address(address)[0] & 0xFFFFFFFF).to_bytes(4, "big"))


def random_mac_address() -> str:
    return mac_address_with(os.urandom(4))
