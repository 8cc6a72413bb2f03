"""The life of a container as a table. Pure."""

from __future__ import annotations

from rootless.errors import UsageError
from unionfs.light_types import Enum


class Status(Enum):
    """The status of a container, in Docker's words."""

    CREATED = "created"
    RUNNING = "running"
    EXITED = "exited"
    DEAD = "dead"
    """Its record cannot be read. Never written; it can only be removed."""


# A container that failed to start goes from created to exited; an exited one can be started again.
TRANSITIONS: dict[Status, frozenset[Status]] = {
    Status.CREATED: frozenset({Status.RUNNING, Status.EXITED}),
    Status.RUNNING: frozenset({Status.EXITED}),
    Status.EXITED: frozenset({Status.RUNNING}),
    Status.DEAD: frozenset(),
}


def check_transition(name: str, old: Status, new: Status) -> None:
    """Raises UsageError if a container in `old` cannot become `new`."""
    if new not in TRANSITIONS[old]:
        raise UsageError(f"container {name} is {old.value} and cannot become {new.value}")
