"""The life of a container as a table. Pure."""

from __future__ import annotations

from rootless.errors import UsageError
from unionfs.light_types import Enum


class Status(Enum):
    """Docker's words for where a container is."""

    CREATED = "created"
    RUNNING = "running"
    EXITED = "exited"


# A container that failed to start goes from created to exited; an exited one can be started again.
TRANSITIONS: dict[Status, frozenset[Status]] = {
    Status.CREATED: frozenset({Status.RUNNING, Status.EXITED}),
    Status.RUNNING: frozenset({Status.EXITED}),
    Status.EXITED: frozenset({Status.RUNNING}),
}


def check_transition(name: str, old: Status, new: Status) -> None:
    """Raises UsageError if a container in `old` cannot become `new`."""
    if new not in TRANSITIONS[old]:
        raise UsageError(f"container {name} is {old.value} and cannot become {new.value}")
