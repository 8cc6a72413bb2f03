"""The network of a container for which none is asked: $ROOTLESS_NETWORK, else what containers.conf(5) says, else a private
network where the machine has what that needs, and the host's where not.
"""

from __future__ import annotations

import os

from rootless.errors import InvalidDocumentError, UsageError
from rootless.network.drivers import available
from rootless.network.options import BRIDGE, HOST, NONE, PASTA, PRIVATE, SLIRP4NETNS
from unionfs.light_types import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

VARIABLE = "ROOTLESS_NETWORK"
_NAMES = (HOST, NONE, *PRIVATE)
_TUN = "/dev/net/tun"
_SYSTEM_FILES = ("/usr/share/containers/containers.conf", "/etc/containers/containers.conf")
_KEYS = (b"netns", b"default_rootless_network_cmd")


class DefaultNetwork(NamedTuple):
    """`reason`: why it is the host's, where nobody asked for that."""

    name: str
    reason: str = ""


def default_network(environ: Mapping[str, str]) -> DefaultNetwork:
    """Raises UsageError for a name that does not exist, InvalidDocumentError for a file that cannot be read."""
    name = environ.get(VARIABLE, "")
    if name:
        return DefaultNetwork(_known(name, f"${VARIABLE}"))
    name = _configured(environ)
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
    """The network that the last file with one of the keys names; empty if none does."""
    network, driver = "", ""
    for path in _files(environ):
        try:
            with open(path, "rb") as file:
                data = file.read()
        except OSError:
            continue
        if not any(_is_set(data, key) for key in _KEYS):
            continue
        netns, command = _values(data, path)
        network, driver = netns or network, command or driver
    if network in {"", "private", BRIDGE} and driver:
        return driver
    return BRIDGE if network == "private" else network


def _files(environ: Mapping[str, str]) -> tuple[str, ...]:
    """The files of containers.conf(5), the one that counts most last."""
    if chosen := environ.get("CONTAINERS_CONF"):
        return (chosen,)
    home = environ.get("XDG_CONFIG_HOME") or f"{environ.get('HOME', '')}/.config"
    return (*_SYSTEM_FILES, f"{home}/containers/containers.conf")


def _is_set(data: bytes, key: bytes) -> bool:
    """Whether a line begins with the key. Reading the whole document would cost a start more than a private network."""
    return any(line.lstrip().startswith(key) for line in data.splitlines())


def _values(data: bytes, path: str) -> tuple[str, str]:
    """`netns` and `default_rootless_network_cmd`."""
    import tomllib

    try:
        document = tomllib.loads(data.decode())
        netns = document.get("containers", {}).get("netns", "")
        command = document.get("network", {}).get("default_rootless_network_cmd", "")
    except (AttributeError, ValueError) as error:
        raise InvalidDocumentError(f"{path} cannot be read: {error}") from error
    if netns not in {"", "private"}:
        netns = _known(netns, f"{path}: netns")
    if command not in {"", PASTA, SLIRP4NETNS}:
        raise UsageError(f"{path}: default_rootless_network_cmd: {command!r} is not known")
    return netns, command


def _known(name: str, where: str) -> str:
    if name not in _NAMES:
        raise UsageError(f"{where}: network {name} not found", hint=f"use {', '.join(_NAMES)}")
    return name
