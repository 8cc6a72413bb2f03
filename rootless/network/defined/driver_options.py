"""Docker's options of the driver bridge (`network create -o`, and `driver-opt` of a container), with docker's checks. Pure.

Those that are not here are kept and have no effect.
"""

from __future__ import annotations

from rootless.errors import HostSupportError, UsageError
from rootless.network.cidr import parse_address

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

_BRIDGE = "com.docker.network.bridge."
MTU = "com.docker.network.driver.mtu"
"""The size of packets, in bytes."""
INTERFACE_PREFIX = "com.docker.network.container_iface_prefix"
"""What the names of the containers' interfaces begin with, in place of `eth`."""
HOST_ADDRESS = f"{_BRIDGE}host_binding_ipv4"
"""Where ports are published that name no address."""
INTERFACE_NAME = "com.docker.network.endpoint.ifname"
"""Of a container: the name of its interface."""
SYSCTLS = "com.docker.network.endpoint.sysctls"
"""Of a container: sysctls of the interface, whose name is written IFNAME, separated by commas."""
_BETWEEN_CONTAINERS = f"{_BRIDGE}enable_icc"
_MASQUERADE = f"{_BRIDGE}enable_ip_masquerade"
_NAME = f"{_BRIDGE}name"
_GATEWAY_MODES = (f"{_BRIDGE}gateway_mode_ipv4", f"{_BRIDGE}gateway_mode_ipv6")
_MODES = frozenset({"", "nat", "nat-unprotected", "routed", "isolated"})
_TRUTH = {
    **dict.fromkeys(("1", "t", "T", "true", "TRUE", "True"), True),
    **dict.fromkeys(("0", "f", "F", "false", "FALSE", "False"), False),
}
"""strconv.ParseBool"""
_MIN_MTU, _MAX_MTU = 68, 65535
_MAX_NAME = 15
"""IFNAMSIZ, without the byte at its end."""


def check_options(options: Mapping[str, str]) -> None:
    """Of a network. Raises UsageError in docker's words, HostSupportError for what an ordinary user cannot have."""
    mtu = options.get(MTU, "0")
    try:
        size = int(mtu)
    except ValueError:
        raise _unparsed(MTU, mtu, f'strconv.Atoi: parsing "{mtu}": invalid syntax') from None
    if size < 0:
        raise UsageError(f"invalid MTU number: {size}")
    if size and not _MIN_MTU <= size <= _MAX_MTU:
        raise UsageError(f"{MTU}: {size} is not from {_MIN_MTU} to {_MAX_MTU}")
    for name in (_BETWEEN_CONTAINERS, _MASQUERADE):
        value = options.get(name, "true")
        if value not in _TRUTH:
            raise _unparsed(name, value, f'strconv.ParseBool: parsing "{value}": invalid syntax')
    address = options.get(HOST_ADDRESS, "0.0.0.0")
    if not _is_ipv4(address):
        raise _unparsed(HOST_ADDRESS, address, "nil ip")
    for name in _GATEWAY_MODES:
        mode = options.get(name, "")
        if mode not in _MODES:
            raise _unparsed(name, mode, f"unknown gateway mode {mode}")
        if mode == "routed":
            raise HostSupportError(
                f"{name}: an ordinary user cannot have the host route packets to a network",
                hint="publish ports with -p",
            )
    for name in (_NAME, INTERFACE_PREFIX):
        if len(options.get(name, "").encode()) > _MAX_NAME:
            raise UsageError("numerical result out of range")


def _unparsed(name: str, value: str, reason: str) -> UsageError:
    return UsageError(f"failed to parse {name} value: {value} ({reason})")


def _is_ipv4(text: str) -> bool:
    try:
        return parse_address(text)[1] == 32
    except ValueError:
        return False


def connects_containers(options: Mapping[str, str]) -> bool:
    """Whether containers of the network reach each other."""
    return _TRUTH.get(options.get(_BETWEEN_CONTAINERS, "true"), True)


def masquerades(options: Mapping[str, str]) -> bool:
    """Whether what leaves the network gets the address of the way out, without which nothing comes back."""
    return _TRUTH.get(options.get(_MASQUERADE, "true"), True)


def sysctls_of(options: Mapping[str, str], interface: str) -> dict[str, str]:
    """What SYSCTLS asks for, by path below /proc/sys. Raises UsageError."""
    found = {}
    for each in filter(None, options.get(SYSCTLS, "").split(",")):
        name, equals, value = each.partition("=")
        words = name.split(".")
        if not equals or words[:1] != ["net"] or len(words) != 5 or words[3] != "IFNAME":
            raise UsageError(
                f'invalid config for interface sysctl "{each}": it should be net.FAMILY.KIND.IFNAME.NAME=VALUE'
            )
        if not all(word.replace("_", "").isalnum() for word in words):
            raise UsageError(f'invalid config for interface sysctl "{each}"')
        found["/".join((*words[:3], interface, words[4]))] = value
    return found
