"""The words of --publish and --expose, and lists of ports as docker shows them. Pure.

The grammar and the messages are those of docker's command line (go-connections, nat.ParsePortSpec).
"""

from __future__ import annotations

from rootless.errors import UsageError
from rootless.network.options import ExposedPort, PortRequest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from rootless.network.options import PublishedPort

_PROTOCOLS = ("tcp", "udp", "sctp")
_LAST = 65535


def parse_publish(text: str, is_address: Callable[[str], bool]) -> list[PortRequest]:
    """`[ADDRESS:][HOST_PORT[-LAST]:]PORT[-LAST][/PROTOCOL]`; an IPv6 address is in brackets. Raises UsageError."""
    spec, slash, protocol = text.rpartition("/")
    if not slash:
        spec, protocol = text, "tcp"
    address, host, container = _parts(spec)
    if address.startswith("[") and address.endswith("]"):
        address = address[1:-1]
    elif ":" in address:
        raise UsageError(
            f"Invalid ip address {address}: address {address}:: too many colons in address"
        )
    if address and not is_address(address):
        raise UsageError(f"Invalid ip address: {address}")
    if not container:
        raise UsageError(f"No port specified: {text}<empty>")
    first, last = _range(container, "Invalid containerPort")
    host_first, host_last = _range(host, "Invalid hostPort") if host else (0, 0)
    # A range of the host's ports for one port of the container: the first of them that is free.
    is_choice = first == last
    if host and host_last - host_first != last - first and not is_choice:
        raise UsageError(
            f"Invalid ranges specified for container and host Ports: {container} and {host}"
        )
    protocol = (protocol or "tcp").lower()
    if protocol not in _PROTOCOLS:
        raise UsageError(f"Invalid proto: {protocol}")
    if is_choice:
        return [PortRequest(first, protocol, address, host_first, host_last)]
    return [
        PortRequest(number, protocol, address, host_port, host_port)
        for number, host_port in zip(
            range(first, last + 1),
            range(host_first, host_last + 1) if host_first else [0] * (last - first + 1),
            strict=True,
        )
    ]


def _parts(spec: str) -> tuple[str, str, str]:
    """Address, port of the host and port of the container; the first two may be empty."""
    parts = spec.split(":")
    if len(parts) == 1:
        return "", "", parts[0]
    if len(parts) == 2:
        return "", parts[0], parts[1]
    return ":".join(parts[:-2]), parts[-2], parts[-1]


def _range(text: str, what: str) -> tuple[int, int]:
    first, dash, last = text.partition("-")
    numbers = (first, last if dash else first)
    if not all(word.isascii() and word.isdecimal() and int(word) <= _LAST for word in numbers):
        raise UsageError(f"{what}: {text}")
    start, end = map(int, numbers)
    if end < start:
        raise UsageError(f"{what}: {text}")
    return start, end


def parse_expose(text: str) -> list[ExposedPort]:
    """`PORT[-LAST][/PROTOCOL]`. Raises UsageError."""
    if ":" in text:
        raise UsageError(f"invalid port format for --expose: {text}")
    ports, _, protocol = text.partition("/")
    first, dash, last = ports.partition("-")
    numbers = []
    for word in (first, last if dash else first):
        if not word.isascii() or not word.isdecimal():
            raise _invalid_expose(text, f'strconv.ParseUint: parsing "{word}": invalid syntax')
        if int(word) > _LAST:
            raise _invalid_expose(text, f'strconv.ParseUint: parsing "{word}": value out of range')
        numbers.append(int(word))
    start, end = numbers
    if end < start:
        raise _invalid_expose(text, f"Invalid range specified for the Port: {ports}")
    return [ExposedPort(number, protocol.lower() or "tcp") for number in range(start, end + 1)]


def _invalid_expose(text: str, why: str) -> UsageError:
    return UsageError(f"invalid range format for --expose: {text}, error: {why}")


def exposed_by(image: Iterable[str]) -> tuple[ExposedPort, ...]:
    """The ports that the image's ExposedPorts names, such as `80/tcp`. Raises UsageError."""
    return tuple(port for text in image for port in parse_expose(text))


def with_all_published(
    requests: Sequence[PortRequest], exposed: Iterable[ExposedPort]
) -> tuple[PortRequest, ...]:
    """The requests, and one for each exposed port that none of them publishes (--publish-all)."""
    named = {each.exposed for each in requests}
    more = sorted(set(exposed) - named)
    return (*requests, *(PortRequest(*each) for each in more))


def shown_address(address: str, port: int) -> str:
    """An address and a port; an IPv6 address is in brackets."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def ports_column(published: Sequence[PublishedPort], exposed: Sequence[ExposedPort]) -> str:
    """The column PORTS of `ps`: exposed ports, those with neighbours as ranges, then published ones."""
    open_ports = sorted(
        set(exposed) - {each.exposed for each in published}, key=lambda each: (each[1], each[0])
    )
    words: list[str] = []
    start = 0
    for index, port in enumerate(open_ports):
        following = open_ports[index + 1] if index + 1 < len(open_ports) else None
        if following == ExposedPort(port.number + 1, port.protocol):
            continue
        first = open_ports[start]
        numbers = f"{first.number}-{port.number}" if first != port else f"{port.number}"
        words.append(f"{numbers}/{port.protocol}")
        start = index + 1
    words = sorted(words)
    for each in sorted(published):
        words.append(f"{shown_address(each.address, each.host_port)}->{each.exposed}")
    return ", ".join(words)
