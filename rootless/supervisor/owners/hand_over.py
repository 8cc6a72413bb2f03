"""Passes the seccomp listener of a further process to the monitor of its container."""

from __future__ import annotations

import select

from rootless.errors import RootlessError
from rootless.supervisor.control_socket import connect
from rootless.supervisor.engine_log import log
from rootless.supervisor.protocol import VERSION, Kind

_ANSWER_WAIT = 5
"""Seconds that a monitor has to answer; it takes a millisecond."""


def hand_over(control_directory: str, listener: int) -> None:
    """Give a listener to the monitor whose socket is in the directory, and return when it has it. Where that cannot be,
    chown fails with ENOSYS in the process."""
    try:
        _send(control_directory, listener)
    except (OSError, RootlessError) as error:
        log(f"rootless: the owners that the command sets are not recorded: {error}")


def _send(control_directory: str, listener: int) -> None:
    """Raises RootlessError, OSError."""
    connection = connect(control_directory)
    poll = select.poll()
    poll.register(connection, select.POLLIN)
    try:
        connection.send(Kind.HELLO, version=VERSION)
        connection.send(Kind.LISTENER, listener)
        while poll.poll(_ANSWER_WAIT * 1000):
            message = connection.receive()
            if message is None or message.kind is Kind.DONE:
                return
            if message.kind is Kind.REFUSED:
                raise RootlessError(str(message.fields["text"]))
        raise RootlessError("the monitor of the container does not answer")
    finally:
        connection.close()
