"""The protocol between a container's monitor and its clients: the kinds of messages, and their order. Pure.
docs/monitor-protocol.md explains it.

The two directions are independent: a client may send HELLO, ATTACH and START at once and read the
answers later, as `run` does. So there is a table for each direction. A message that the table does
not allow is a defect of its sender, and ends the connection. A request that comes at the wrong time
(START of a container that runs) is answered by REFUSED, and the connection goes on.
"""

from __future__ import annotations

from unionfs.light_types import Enum

VERSION = 1
"""Sent in HELLO and WELCOME. Raised when an older side would misunderstand a message."""


PAUSED = "the container is paused"
"""The text of REFUSED to a JOIN meanwhile."""


class Kind(Enum):
    # Of a client:
    HELLO = "hello"  # its version; first of all
    ATTACH = "attach"  # it asks for the container's standard streams
    DETACH = "detach"  # it leaves them, and its end no longer ends the container
    START = "start"  # the container, which is ready, is to execute its command
    SIGNAL = "signal"  # a signal that a client got, for the container's first process
    KILL = "kill"  # a signal of a user for the container's first process, as kill(2) sends it
    STOP = "stop"  # the container is to end, and, if asked for, to be started again
    PAUSE = "pause"  # its processes are to be stopped
    UNPAUSE = "unpause"  # its processes are to go on
    UPDATE = "update"  # other limits, another restart policy
    CHECK = "check"  # its health is to be checked now
    LISTENER = "listener"  # beside it that of a seccomp filter: the owners that its processes set are recorded
    CONNECT = "connect"  # it is to be in one more network
    DISCONNECT = "disconnect"  # it is to leave a network
    RENAME = "rename"  # it has another name
    JOIN = "join"  # beside it a pidfd of the client, which becomes a rank of the container
    UPGRADE = "upgrade"  # its file server is to be replaced by one of the client's release
    # Of the monitor:
    WELCOME = "welcome"  # its version; answers HELLO
    ATTACHED = "attached"  # answers ATTACH; beside it the monitor's ends of the streams
    DETACHED = "detached"  # answers DETACH
    READY = "ready"  # everything is in place but the command; namespaces can be configured
    RUNNING = "running"  # the command has been executed
    DONE = "done"  # answers KILL, PAUSE, UNPAUSE, UPDATE, CHECK, LISTENER, JOIN, UPGRADE, CONNECT, DISCONNECT, RENAME, and STOP
    # with a restart
    NOTICE = "notice"  # a line for the user
    STOPPED = "stopped"  # the command has stopped; to a client that has attached with `job_control`
    REFUSED = "refused"  # answers a request that cannot be carried out
    FAILED = "failed"  # the container could not be started, and why; nothing follows
    EXITED = "exited"  # it has ended and has been cleaned up; nothing follows


class ClientState(Enum):
    """Where a client is, by the messages that it has sent."""

    CONNECTED = "connected"
    GREETED = "greeted"
    ATTACHED = "attached"


_REQUESTS = (
    Kind.START,
    Kind.SIGNAL,
    Kind.KILL,
    Kind.STOP,
    Kind.PAUSE,
    Kind.UNPAUSE,
    Kind.UPDATE,
    Kind.CHECK,
    Kind.LISTENER,
    Kind.JOIN,
    Kind.CONNECT,
    Kind.DISCONNECT,
    Kind.RENAME,
    Kind.UPGRADE,
)

CLIENT_ORDER: dict[ClientState, dict[Kind, ClientState]] = {
    ClientState.CONNECTED: {Kind.HELLO: ClientState.GREETED},
    ClientState.GREETED: {
        **dict.fromkeys(_REQUESTS, ClientState.GREETED),
        Kind.ATTACH: ClientState.ATTACHED,
    },
    ClientState.ATTACHED: {
        **dict.fromkeys(_REQUESTS, ClientState.ATTACHED),
        Kind.DETACH: ClientState.GREETED,
    },
}
"""The legal messages of a client and where they lead. An ATTACH that is refused counts as sent."""


class MonitorState(Enum):
    """Where the container is, by the messages that its monitor has sent to one client."""

    CONNECTED = "connected"
    CREATING = "creating"
    READY = "ready"
    RUNNING = "running"
    RESTARTING = "restarting"  # it has ended, and is created again after a delay
    ENDED = "ended"


_ANSWERS = (Kind.ATTACHED, Kind.DETACHED, Kind.DONE, Kind.NOTICE, Kind.STOPPED, Kind.REFUSED)

MONITOR_ORDER: dict[MonitorState, dict[Kind, MonitorState]] = {
    MonitorState.CONNECTED: {
        Kind.WELCOME: MonitorState.CREATING,
        Kind.REFUSED: MonitorState.ENDED,
        Kind.FAILED: MonitorState.ENDED,
    },
    MonitorState.CREATING: {
        **dict.fromkeys(_ANSWERS, MonitorState.CREATING),
        Kind.READY: MonitorState.READY,
        Kind.FAILED: MonitorState.ENDED,
        Kind.EXITED: MonitorState.ENDED,
    },
    MonitorState.READY: {
        **dict.fromkeys(_ANSWERS, MonitorState.READY),
        Kind.RUNNING: MonitorState.RUNNING,
        Kind.FAILED: MonitorState.ENDED,
        Kind.EXITED: MonitorState.ENDED,
    },
    MonitorState.RUNNING: {
        **dict.fromkeys(_ANSWERS, MonitorState.RUNNING),
        Kind.READY: MonitorState.READY,
        Kind.EXITED: MonitorState.ENDED,
        Kind.FAILED: MonitorState.ENDED,
    },
    MonitorState.RESTARTING: {},  # of the monitor alone: to its clients the container has ended
    MonitorState.ENDED: {},
}
"""The legal messages of the monitor and where they lead. To a client that comes late it repeats
READY and RUNNING after WELCOME; to the one that asked for a restart, in place of EXITED."""

WHEN: dict[Kind, frozenset[MonitorState]] = {
    Kind.ATTACH: frozenset({MonitorState.READY, MonitorState.RUNNING}),
    Kind.DETACH: frozenset({MonitorState.READY, MonitorState.RUNNING}),
    Kind.START: frozenset({MonitorState.READY}),
    Kind.SIGNAL: frozenset({MonitorState.RUNNING, MonitorState.RESTARTING}),
    Kind.KILL: frozenset({MonitorState.READY, MonitorState.RUNNING, MonitorState.RESTARTING}),
    Kind.STOP: frozenset({MonitorState.READY, MonitorState.RUNNING, MonitorState.RESTARTING}),
    Kind.PAUSE: frozenset({MonitorState.RUNNING}),
    Kind.UNPAUSE: frozenset({MonitorState.RUNNING}),
    Kind.CHECK: frozenset({MonitorState.RUNNING}),
    Kind.LISTENER: frozenset({MonitorState.RUNNING}),
    Kind.JOIN: frozenset({MonitorState.RUNNING}),
    Kind.UPGRADE: frozenset({MonitorState.RUNNING}),
    Kind.CONNECT: frozenset({MonitorState.RUNNING}),
    Kind.DISCONNECT: frozenset({MonitorState.RUNNING}),
    Kind.RENAME: frozenset({MonitorState.READY, MonitorState.RUNNING, MonitorState.RESTARTING}),
    Kind.UPDATE: frozenset({MonitorState.READY, MonitorState.RUNNING, MonitorState.RESTARTING}),
}
"""Where a container has to be for a request to be carried out."""


class ProtocolError(Exception):
    """The other side sent what the protocol does not allow."""


def after_client(state: ClientState, kind: Kind) -> ClientState:
    """The state of a client that sends `kind`. Raises ProtocolError."""
    try:
        return CLIENT_ORDER[state][kind]
    except KeyError:
        raise ProtocolError(f"{kind.value} from a client that is {state.value}") from None


def after_monitor(state: MonitorState, kind: Kind) -> MonitorState:
    """The state after `kind` from the monitor. Raises ProtocolError."""
    try:
        return MONITOR_ORDER[state][kind]
    except KeyError:
        raise ProtocolError(f"{kind.value} from a monitor that is {state.value}") from None


def refusal(kind: Kind, state: MonitorState) -> str | None:
    """Why a request cannot be carried out now; None if it can."""
    if state in WHEN[kind]:
        return None
    if kind is Kind.START and state is MonitorState.RUNNING:
        return "the container has been started already"
    return f"{kind.value}: the container is {state.value}"
