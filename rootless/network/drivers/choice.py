"""Chooses the driver of a container's private network."""

from __future__ import annotations

import os

from rootless.errors import HostSupportError
from rootless.network.driver import Host
from rootless.network.options import BRIDGE, PASTA, SLIRP4NETNS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from rootless.network.driver import HelperDriver
    from rootless.network.options import NetworkOptions
    from rootless.network.setup import NetworkSetup

PREFERRED = (PASTA, SLIRP4NETNS)
"""The faster first."""
_SYSTEM = "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"


def driver_of(name: str) -> HelperDriver:
    """The driver of a name in PREFERRED."""
    if name == PASTA:
        from rootless.network.drivers import pasta

        return pasta
    from rootless.network.drivers import slirp4netns

    return slirp4netns


def find_program(name: str, environ: Mapping[str, str]) -> str:
    """The absolute path of a program; empty if it is not installed."""
    for directory in f"{environ.get('PATH', '')}:{_SYSTEM}".split(":"):
        path = f"{directory}/{name}"
        if directory.startswith("/") and os.access(path, os.X_OK):
            return path
    return ""


def available(environ: Mapping[str, str]) -> str:
    """The driver that connects a container on this machine; empty if none can.

    pasta needs a default route, of which it takes the interface.
    """
    installed = [name for name in PREFERRED if find_program(name, environ)]
    if installed == list(PREFERRED) and not (has_ipv4_route() or has_ipv6_route()):
        return SLIRP4NETNS
    return installed[0] if installed else ""


def prepare(options: NetworkOptions, environ: Mapping[str, str]) -> NetworkSetup:
    """How a private network is made. Raises UsageError, HostSupportError.

    `bridge` has IPv4 alone, as docker's: pasta opens half as many sockets then, and starts a fifth sooner.
    """
    name = available(environ) if options.name == BRIDGE else options.name
    if not name:
        raise HostSupportError(
            "--network bridge: neither pasta nor slirp4netns is installed",
            hint="install the package passt or slirp4netns, or use --network host",
        )
    has_ipv6 = options.name != BRIDGE and has_ipv6_route()
    host = Host(find_program(name, environ), has_ipv6)
    return driver_of(name).prepare(options, host)


def has_ipv4_route() -> bool:
    """Whether there is a default route: one with destination and mask 0 (net/ipv4/fib_trie.c, fib_route_seq_show)."""
    return any(
        words[1] == words[7] == "00000000"
        for words in route_rows("/proc/net/route")
        if len(words) > 7
    )


def has_ipv6_route() -> bool:
    """As `has_ipv4_route`; the kernel lists a reject route of `lo` too (net/ipv6/route.c, rt6_fill_node)."""
    return any(
        words[0] == "0" * 32 and words[1] == "00" and words[-1] != "lo"
        for words in route_rows("/proc/net/ipv6_route")
        if len(words) > 9
    )


def route_rows(path: str) -> list[list[str]]:
    """The lines of a table of routes, as words (proc_pid_net(5)); none if there is no such table."""
    try:
        with open(path, encoding="ascii") as file:
            return [line.split() for line in file]
    except OSError:
        return []
