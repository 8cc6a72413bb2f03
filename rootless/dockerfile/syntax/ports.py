"""Ports of EXPOSE. Pure.

Docker's Dockerfile reference, "EXPOSE": `PORT[-PORT][/PROTOCOL]`. BuildKit also takes what -p of `docker run` takes,
`[[IP:]HOSTPORT:]`, and drops it.
"""

from __future__ import annotations

from rootless.dockerfile.errors import DockerfileError, quoted
from unionfs.light_types import NamedTuple

_PROTOCOLS = frozenset(("tcp", "udp", "sctp"))
_LAST = 65535


class ExposedPorts(NamedTuple):
    """One word of EXPOSE."""

    ports: tuple[str, ...]
    """`NUMBER/PROTOCOL`, as in the image's config."""
    has_host_part: bool
    protocol_is_lower_case: bool


def exposed_ports(word: str) -> ExposedPorts:
    """The ports that one word names. Raises DockerfileError."""
    before, _, container = word.rpartition(":")
    address, _, host = before.rpartition(":")
    numbers, _, protocol = container.partition("/")
    if not numbers:
        raise DockerfileError(f"invalid port: {quoted(word)}: no port specified")
    if protocol and protocol.lower() not in _PROTOCOLS:
        raise DockerfileError(f"invalid port: {quoted(word)}: invalid proto: {protocol}")
    if address and not _is_address(address):
        raise DockerfileError(f"invalid IP address: {address}")
    found = _range(numbers)
    if found is None:
        raise DockerfileError(f"invalid containerPort: {numbers}")
    on_host = _range(host) if host else found
    if on_host is None:
        raise DockerfileError(f"invalid hostPort: {host}")
    if len(found) not in (1, len(on_host)):
        raise DockerfileError(
            f"invalid ranges specified for container and host Ports: {numbers} and {host}"
        )
    name = protocol.lower() or "tcp"
    ports = tuple(f"{port}/{name}" for port in found)
    return ExposedPorts(ports, bool(before), protocol == protocol.lower())


def _range(text: str) -> range | None:
    first_text, dash, last_text = text.partition("-")
    first = _number(first_text)
    last = _number(last_text) if dash else first
    return None if first is None or last is None or last < first else range(first, last + 1)


def _number(text: str) -> int | None:
    digits = text.removeprefix("+")
    if not (digits.isascii() and digits.isdecimal()) or len(digits.lstrip("0")) > len(str(_LAST)):
        return None
    number = int(digits)
    return number if number <= _LAST else None


def _is_address(text: str) -> bool:
    if text.startswith("[") and text.endswith("]"):
        text = text[1:-1]
    from ipaddress import ip_address

    try:
        ip_address(text)
    except ValueError:
        return False
    return True
