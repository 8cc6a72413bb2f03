"""What `run` and its monitor say to each other: one packet a message, descriptors beside it.

    monitor -> run    RUNNING  the command has been executed; beside it the master of its terminal
                      FAILED   it could not be started, and why; nothing follows
                      NOTICE   something the user should know
                      EXITED   it has ended and everything of it has been cleaned away; nothing
                      follows run -> monitor    SIGNAL   pass this signal on

The end of the run's side, however it came, means: kill the container.
"""

from __future__ import annotations

import os

from rootless.light_json import dumps, loads
from rootless.light_stdlib import socket
from rootless.syscalls import descriptors as packets
from unionfs.light_types import Enum, NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_LIMIT = 1 << 16
_DESCRIPTORS = 4


class Kind(Enum):
    RUNNING = "running"
    FAILED = "failed"
    EXITED = "exited"
    NOTICE = "notice"
    SIGNAL = "signal"


class Message(NamedTuple):
    """`fields` are what the kind needs, as JSON."""

    kind: Kind
    fields: dict[str, Any]
    descriptors: tuple[int, ...] = ()


class Channel:
    """One end. The descriptor is close-on-exec."""

    def __init__(self, end: socket.socket) -> None:
        self._socket = end

    @classmethod
    def pair(cls) -> tuple[Channel, Channel]:
        """Two connected ends."""
        left, right = packets.pair()
        return cls(left), cls(right)

    def fileno(self) -> int:
        return self._socket.fileno()

    def send(self, kind: Kind, *descriptors: int, **fields: object) -> bool:
        """False if the other side is gone."""
        data = dumps({"kind": kind.value, **fields})
        try:
            packets.send(self._socket, data, descriptors)
        except (BrokenPipeError, ConnectionResetError):
            return False
        return True

    def receive(self) -> Message | None:
        """The next message; None when the other side is gone."""
        try:
            data, descriptors = packets.receive(self._socket, _LIMIT, _DESCRIPTORS)
        except ConnectionResetError:
            data, descriptors = b"", []
        if not data:
            return None
        fields = loads(data)
        return Message(Kind(fields.pop("kind")), fields, tuple(descriptors))

    def close(self) -> None:
        """Idempotent."""
        self._socket.close()


def close_all_but(kept: tuple[int, ...]) -> None:
    """Close every descriptor above standard error but these; for a process that was just forked."""
    low = 3
    for descriptor in sorted(kept):
        os.closerange(low, descriptor)
        low = max(low, descriptor + 1)
    os.closerange(low, os.sysconf("SC_OPEN_MAX"))
