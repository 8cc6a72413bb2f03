"""Chooses the network of a container without --network: $ROOTLESS_NETWORK, rootless.toml, containers.conf(5), else a
private network where the machine can make one, else the host's.
"""

from __future__ import annotations

import os

from rootless.errors import UsageError
from rootless.network.drivers.choice import available
from rootless.network.options import BRIDGE, HOST, NONE, PRIVATE
from rootless.paths import containers_conf_files
from unionfs.light_types import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

VARIABLE = "ROOTLESS_NETWORK"
_NAMES = (HOST, NONE, *PRIVATE)
_TUN = "/dev/net/tun"


class DefaultNetwork(NamedTuple):
    """`reason`: why it is the host's, where no option asked for that."""

    name: str
    reason: str = ""


def default_network(environ: Mapping[str, str], configured: str = "") -> DefaultNetwork:
    """`configured`: what rootless.toml names. Raises UsageError for a name that does not exist, InvalidDocumentError for a
    file that cannot be read."""
    name = environ.get(VARIABLE, "")
    if name:
        return DefaultNetwork(_known(name, f"${VARIABLE}"))
    name = configured or _configured(environ)
    if name:
        return DefaultNetwork(name)
    reason = obstacle(environ)
    return DefaultNetwork(HOST, reason) if reason else DefaultNetwork(BRIDGE)


def obstacle(environ: Mapping[str, str]) -> str:
    """Why no private network can be made here; empty if nothing is known to be in the way."""
    if not available(environ):
        return "neither pasta nor slirp4netns is installed"
    if not os.access(_TUN, os.R_OK | os.W_OK):
        return f"{_TUN} cannot be opened"
    try:
        with open("/proc/sys/user/max_net_namespaces", encoding="ascii") as file:
            forbidden = file.read().strip() == "0"
    except OSError:
        forbidden = False
    return "network namespaces are forbidden (sysctl user.max_net_namespaces)" if forbidden else ""


def _configured(environ: Mapping[str, str]) -> str:
    """The network that containers.conf(5) names; empty if it names none."""
    files = [path for path in containers_conf_files(environ) if os.path.exists(path)]
    if not files:
        return ""
    from rootless.configuration.containers_conf import network

    return network(files)


def _known(name: str, where: str) -> str:
    if name not in _NAMES:
        raise UsageError(f"{where}: network {name} not found", hint=f"use {', '.join(_NAMES)}")
    return name
