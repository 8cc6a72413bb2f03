"""The protocol between monitors and the holder of the networks: packets of JSON, with descriptors beside them. Pure,
but for reading and writing a packet.

    namespace   (the word alone) Answer: `ok`, and a descriptor of the user namespace that the container's own has to lie
                below
    attach      the container and its attachments, with its network namespace beside it. Answer: `places`
    ready       Answer, when the way out is there: `ready`
    connect     one more attachment. Answer: `places`, all that the container has
    disconnect  the id of a network. Answer: `places`, those that remain
    default     `has_default`: whether the container has the default network too. Answer: `places`
    rename      `name`, by which DNS knows the container from now on. Answer: `places`
    (end)       The container has ended.

An answer may be an error in place of these (`rootless.run_in_child.error_fields`).
"""

from __future__ import annotations

from rootless.light_json import dumps, loads
from rootless.network.defined.record import NetworkRecord, plain_record, record_of
from rootless.network.endpoint import Assigned
from rootless.network.options import Attachment, attachment_of
from rootless.network.setup import NetworkSetup, plain_setup, setup_of
from rootless.syscalls import descriptors
from unionfs.light_types import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from rootless.light_stdlib import socket

NAMESPACE, OK = b"namespace", b"ok"
PACKET = 1 << 18


class Wanted(NamedTuple):
    """One attachment. `previous` is the place that the container had with a holder that was killed."""

    attachment: Attachment
    record: NetworkRecord
    previous: Assigned | None = None


class Guest(NamedTuple):
    """A container. `reaches_host`: it may reach the host's loopback addresses. `servers` are its own name servers.
    `has_default`: it has the default network too, whose interface is eth0, and its default route.
    """

    id: str
    name: str
    hostname: str
    reaches_host: bool = False
    servers: tuple[str, ...] = ()
    has_default: bool = False


def send(end: socket.socket, message: dict[str, Any], *passed: int) -> None:
    """Raises BrokenPipeError if the other side has gone."""
    descriptors.send(end, dumps(message), passed)


def receive(end: socket.socket) -> tuple[dict[str, Any], list[int]]:
    """The next message, and descriptors that are the caller's. Raises ConnectionResetError if the other side has gone,
    ValueError for what is no message.
    """
    data, received = descriptors.receive(end, PACKET, 1)
    if not data:
        raise ConnectionResetError
    message = loads(data)
    if not isinstance(message, dict):
        raise ValueError("not an object")
    return message, received


def plain_wanted(wanted: Sequence[Wanted]) -> list[dict[str, Any]]:
    """As JSON has it."""
    return [
        {
            "attachment": each.attachment._asdict(),
            "record": plain_record(each.record),
            "previous": None if each.previous is None else each.previous._asdict(),
        }
        for each in wanted
    ]


def wanted_of(plain: list[dict[str, Any]]) -> list[Wanted]:
    """The inverse. Raises LookupError, TypeError, ValueError."""
    return [
        Wanted(
            attachment_of(each["attachment"]),
            record_of(each["record"]),
            None if each["previous"] is None else Assigned(**each["previous"]),
        )
        for each in plain
    ]


def guest_of(plain: dict[str, Any]) -> Guest:
    """The inverse of `_asdict`. Raises TypeError."""
    return Guest(**{**plain, "servers": tuple(plain["servers"])})


def plain_way_out(setup: NetworkSetup | None) -> dict[str, Any] | None:
    return None if setup is None else plain_setup(setup)


def way_out_of(plain: dict[str, Any] | None) -> NetworkSetup | None:
    return None if plain is None else setup_of(plain)
