"""A client's side of the connection to a monitor."""

from __future__ import annotations

from rootless.errors import RootlessError
from rootless.supervisor.protocol import (
    VERSION,
    ClientState,
    Kind,
    MonitorState,
    ProtocolError,
    after_client,
    after_monitor,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    from rootless.network.options import Attachment
    from rootless.supervisor.messages import Connection, Message


class MonitorEndedError(RootlessError):
    """The monitor ended without a last message."""


class RefusedError(RootlessError):
    """The monitor cannot carry out a request now."""


class MonitorClient:
    """A connection to the monitor of a container.

    `ended_because` gives the message of the error when the monitor ends without a last message.
    Requests are sent without waiting; `receive` gives what the monitor sends. All raise RootlessError
    when the monitor has ended.
    """

    def __init__(self, connection: Connection, ended_because: Callable[[], str]) -> None:
        self._connection = connection
        self._ended_because = ended_because
        self._state = ClientState.CONNECTED
        self._monitor = MonitorState.CONNECTED

    @classmethod
    def connect(cls, directory: str) -> MonitorClient:
        """Connect to the monitor whose socket is in the directory, and say HELLO.

        Raises NotFoundError if there is no monitor.
        """
        from rootless.supervisor.control_socket import connect

        client = cls(connect(directory), _ended_because)
        client.hello()
        return client

    @property
    def has_started(self) -> bool:
        """Whether the monitor has said that the command runs."""
        return self._monitor in {MonitorState.RUNNING, MonitorState.ENDED}

    def fileno(self) -> int:
        return self._connection.fileno()

    def hello(self) -> None:
        """Send the version of the protocol. The first message."""
        self._send(Kind.HELLO, version=VERSION)

    def attach(self, streams: Sequence[int] = (0, 1, 2), *, job_control: bool = False) -> None:
        """Ask for standard streams of the container by their numbers; ATTACHED has them. With `job_control` STOPPED
        comes each time the command stops, if it is on a terminal.
        """
        self._send(Kind.ATTACH, streams=list(streams), job_control=job_control)

    def detach(self) -> None:
        """Leave the streams and let the container go on."""
        self._send(Kind.DETACH)

    def start(self) -> None:
        """Ask for the execution of the container's command, as soon as the container is ready."""
        self._send(Kind.START)

    def signal(self, number: int) -> None:
        """Send a signal to the container's first process. One that has ended is no error."""
        self._connection.send(Kind.SIGNAL, number=number)

    def kill(self, number: int) -> None:
        """Send a signal of the user's to the container's first process; answered by DONE."""
        self._send(Kind.KILL, number=number)

    def stop(
        self,
        number: int | None,
        timeout: int | None,
        *,
        restart: bool = False,
        by_user: bool = True,
    ) -> None:
        """End the container, and its restarts: by a signal (None: its stop signal), and `timeout`
        seconds later by SIGKILL (None: its own timeout, -1: never). EXITED answers it; with `restart`
        DONE does, when the container runs again. `by_user`: a boot does not start it again where the
        policy is unless-stopped.
        """
        self._send(Kind.STOP, number=number, timeout=timeout, restart=restart, by_user=by_user)

    def pause(self) -> None:
        """Stop every process of the container; answered by DONE when they have stopped."""
        self._send(Kind.PAUSE)

    def unpause(self) -> None:
        """Resume the processes; answered by DONE."""
        self._send(Kind.UNPAUSE)

    def update(self, resources: Mapping[str, Any], restart: tuple[str, int] | None) -> None:
        """Set limits, as OCI `linux.resources` has them, and the restart policy; answered by DONE."""
        self._send(Kind.UPDATE, resources=resources, restart=restart)

    def connect_network(self, attachment: Attachment) -> None:
        """Connect the container to one more network; answered by DONE."""
        self._send(Kind.CONNECT, attachment=attachment._asdict())

    def disconnect_network(self, network_id: str) -> None:
        """Take the container out of a network; answered by DONE."""
        self._send(Kind.DISCONNECT, network=network_id)

    def rename(self, name: str) -> None:
        """Give the container another name in its networks; answered by DONE."""
        self._send(Kind.RENAME, name=name)

    def check_health(self) -> None:
        """Check the health of the container now; answered by DONE with `healthy`."""
        self._send(Kind.CHECK)

    def join(self, pidfd: int) -> None:
        """Become a rank of the container; answered by DONE. The descriptor, of the calling process, stays the
        caller's.
        """
        self._send(Kind.JOIN, pidfd)

    def hand_over(self, listener: int) -> None:
        """Have the monitor record the owners that processes set under a seccomp filter, without an answer."""
        self._connection.send(Kind.LISTENER, listener)

    def upgrade(self, executable: str, path: str) -> None:
        """Replace the file server by one that this interpreter executes with this PYTHONPATH; answered by
        DONE.
        """
        self._send(Kind.UPGRADE, executable=executable, path=path)

    def receive(self) -> Message:
        """The next message of the monitor, waiting for it.

        Raises:
            RootlessError: the container could not be started (FAILED), the monitor is of another
                version, or it has ended without a last message.
        """
        try:
            message = self._connection.receive()
            if message is None:
                raise MonitorEndedError(self._ended_because())
            self._monitor = after_monitor(self._monitor, message.kind)
        except ProtocolError as error:
            raise RootlessError(f"protocol error of the container's monitor: {error}") from None
        if message.kind is Kind.FAILED:
            from rootless.run_in_child import error_from

            raise error_from(message.fields)
        if message.kind is Kind.REFUSED:
            raise RefusedError(str(message.fields["text"]))
        return message

    def receive_until(self, *kinds: Kind) -> Message:
        """The next message that is one of the kinds; the others are dropped."""
        while (message := self.receive()).kind not in kinds:
            pass
        return message

    def close(self) -> None:
        """End the connection. Idempotent."""
        self._connection.close()

    def _send(self, kind: Kind, *descriptors: int, **fields: object) -> None:
        self._state = after_client(self._state, kind)
        if not self._connection.send(kind, *descriptors, **fields):
            # The monitor may have sent why before it ended.
            while True:
                self.receive()


def _ended_because() -> str:
    """Of a monitor that this process has not started."""
    return "the monitor of the container has ended"
