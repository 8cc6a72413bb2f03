"""The states of a container as two tables: the allowed transitions, and the effect of each verb in each state. Pure."""

from __future__ import annotations

from rootless.errors import ConflictError, UsageError
from unionfs.light_types import Enum

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping


class Status(Enum):
    """The status of a container, in Docker's words."""

    CREATED = "created"
    RUNNING = "running"
    PAUSED = "paused"
    RESTARTING = "restarting"
    """It has ended, and its monitor starts it again after a delay."""
    EXITED = "exited"
    REMOVING = "removing"
    """Its files are being removed. A container whose removal was interrupted keeps this status."""
    DEAD = "dead"
    """Its record cannot be read. Never written; it can only be removed."""


ALIVE = frozenset({Status.RUNNING, Status.PAUSED})
"""It has processes."""
MONITORED = frozenset({Status.RUNNING, Status.PAUSED, Status.RESTARTING})
"""It has a monitor. A created container has one as well while `run` starts it."""

TRANSITIONS: Mapping[Status, frozenset[Status]] = {
    Status.CREATED: frozenset({Status.RUNNING, Status.EXITED, Status.REMOVING}),
    Status.RUNNING: frozenset({Status.PAUSED, Status.RESTARTING, Status.EXITED}),
    Status.PAUSED: frozenset({Status.RUNNING, Status.RESTARTING, Status.EXITED}),
    Status.RESTARTING: frozenset({Status.RUNNING, Status.RESTARTING, Status.EXITED}),
    Status.EXITED: frozenset({Status.RUNNING, Status.EXITED, Status.REMOVING}),
    Status.REMOVING: frozenset(),
    Status.DEAD: frozenset(),
}
"""The statuses that may follow. A start that fails leads from created or exited to exited."""


def check_transition(name: str, old: Status, new: Status) -> None:
    """Raises UsageError if a container in `old` cannot become `new`."""
    if new not in TRANSITIONS[old]:
        raise UsageError(f"container {name} is {old.value} and cannot become {new.value}")


class Verb(Enum):
    """An operation on a container, by the name of its command."""

    START = "start"
    STOP = "stop"
    RESTART = "restart"
    KILL = "kill"
    PAUSE = "pause"
    UNPAUSE = "unpause"
    REMOVE = "rm"
    ATTACH = "attach"
    EXEC = "exec"
    UPDATE = "update"
    TOP = "top"
    LOGS = "logs"


_NOT_RUNNING = "container {id} is not running"
_NOT_PAUSED = "container {id} is not paused"
_WAIT = "container {id} is restarting, wait until the container is running"
_BEING_REMOVED = "container is marked for removal and cannot be {past}"
_PAST = {
    Verb.START: "started",
    Verb.RESTART: "started",
    Verb.UPDATE: '"update"',
}
_UNLESS_ALIVE = {
    Status.CREATED: _NOT_RUNNING,
    Status.EXITED: _NOT_RUNNING,
    Status.REMOVING: _NOT_RUNNING,
    Status.DEAD: _NOT_RUNNING,
}
_UNLESS_PAUSED = dict.fromkeys(set(Status) - {Status.PAUSED}, _NOT_PAUSED)
_ATTACH_TO_ENDED = "you cannot attach to a stopped container, start it first"
_CANNOT_KILL = "cannot kill container: {name}: container {id} is not running"
_CANNOT_START = {
    Status.REMOVING: _BEING_REMOVED,
    Status.DEAD: "container is dead and cannot be started: {error}",
}

REFUSED: Mapping[Verb, Mapping[Status, str]] = {
    Verb.START: {
        **_CANNOT_START,
        Status.PAUSED: "cannot start a paused container, try unpause instead",
    },
    Verb.RESTART: {
        **_CANNOT_START,
        Status.REMOVING: f"Cannot restart container {{name}}: {_BEING_REMOVED}",
    },
    Verb.STOP: {},
    Verb.KILL: dict.fromkeys(_UNLESS_ALIVE, _CANNOT_KILL),
    Verb.PAUSE: {
        **_UNLESS_ALIVE,
        Status.PAUSED: "container {id} is already paused",
        Status.RESTARTING: _WAIT,
    },
    Verb.UNPAUSE: _UNLESS_PAUSED,
    Verb.REMOVE: {
        Status.RUNNING: 'cannot remove container "{name}": container is running: stop the '
        "container before removing or force remove",
        Status.PAUSED: 'cannot remove container "{name}": container is paused and must be '
        "unpaused first",
        Status.RESTARTING: 'cannot remove container "{name}": container is restarting: stop the '
        "container before removing or force remove",
    },
    Verb.ATTACH: {
        **dict.fromkeys(_UNLESS_ALIVE, _ATTACH_TO_ENDED),
        Status.PAUSED: "you cannot attach to a paused container, unpause it first",
        Status.RESTARTING: "you cannot attach to a restarting container, wait until it is running",
    },
    Verb.EXEC: {
        **_UNLESS_ALIVE,
        Status.PAUSED: "container {name} is paused, unpause the container before exec",
        Status.RESTARTING: _WAIT,
    },
    Verb.TOP: {**_UNLESS_ALIVE, Status.RESTARTING: _WAIT},
    Verb.LOGS: {
        Status.REMOVING: "can not get logs from container which is dead or marked for removal",
    },
    Verb.UPDATE: {
        Status.REMOVING: f"Cannot update container {{id}}: {_BEING_REMOVED}",
        Status.DEAD: "container is dead and cannot be updated: {error}",
    },
}
"""Docker's message for a verb where the status does not allow it; every other status does."""

NOTHING_TO_DO: Mapping[Verb, frozenset[Status]] = {
    Verb.START: frozenset({Status.RUNNING, Status.RESTARTING}),
    Verb.STOP: frozenset({Status.CREATED, Status.EXITED, Status.REMOVING, Status.DEAD}),
}
"""Where the container is as the verb would make it: it succeeds and changes nothing."""


def check_verb(verb: Verb, status: Status, *, container_id: str, name: str, error: str) -> None:
    """Raises ConflictError with Docker's message if a container in `status` does not allow `verb`.

    Args:
        error: Why the container is dead.
    """
    message = REFUSED[verb].get(status)
    if message is not None:
        past = _PAST.get(verb, "")
        raise ConflictError(message.format(id=container_id, name=name, error=error, past=past))


def has_nothing_to_do(verb: Verb, status: Status) -> bool:
    """Whether the verb succeeds without an effect."""
    return status in NOTHING_TO_DO.get(verb, ())
