"""Passes the seccomp listener of a further process to the monitor of its container."""

from __future__ import annotations

from rootless.errors import RootlessError
from rootless.supervisor.control_socket import connect
from rootless.supervisor.engine_log import log
from rootless.supervisor.protocol import VERSION, Kind


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
    try:
        connection.send(Kind.HELLO, version=VERSION)
        connection.send(Kind.LISTENER, listener)
        while (message := connection.receive()) is not None:
            if message.kind is Kind.DONE:
                return
            if message.kind is Kind.REFUSED:
                raise RootlessError(str(message.fields["text"]))
    finally:
        connection.close()
