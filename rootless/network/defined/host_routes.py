"""The address ranges that the host has a route to."""

from __future__ import annotations

import struct

from rootless.network.cidr import Range
from rootless.network.drivers.choice import route_rows


def host_ranges() -> list[Range]:
    """Those of its routes for IPv4 and IPv6, without default routes (proc_pid_net(5))."""
    found = []
    for words in route_rows("/proc/net/route")[1:]:
        # Numbers are in the byte order of the machine.
        base, mask = (
            struct.unpack(">I", struct.pack("=I", int(words[at], 16)))[0] for at in (1, 7)
        )
        if mask:
            found.append(Range(base, mask.bit_count(), 32))
    for words in route_rows("/proc/net/ipv6_route"):
        prefix = int(words[1], 16)
        if prefix and words[-1] != "lo":
            base = int(words[0], 16) >> (128 - prefix) << (128 - prefix)
            found.append(Range(base, prefix, 128))
    return found
