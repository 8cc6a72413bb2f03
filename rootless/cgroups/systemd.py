"""Asks the user's systemd for a transient scope, over D-Bus on a plain socket.

org.freedesktop.systemd1(5), StartTransientUnit; D-Bus specification, "Authentication Protocol"
(EXTERNAL). systemd moves the processes itself and, where it may not (they stand in a session of the
system's), asks the system's systemd to.
"""

from __future__ import annotations

import os
import socket
import time
from typing import Any, Self

from rootless.cgroups import dbus_wire
from rootless.cgroups.dbus_wire import DbusMessage, Value
from rootless.errors import HostSupportError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

_SYSTEMD = "org.freedesktop.systemd1"
_MANAGER_PATH = "/org/freedesktop/systemd1"
_MANAGER = "org.freedesktop.systemd1.Manager"
_BUS = "org.freedesktop.DBus"
_BUS_PATH = "/org/freedesktop/DBus"
_JOB_REMOVED = f"type='signal',interface='{_MANAGER}',member='JobRemoved'"


class SystemdError(HostSupportError):
    """systemd did not answer, or refused."""

    code = "systemd"


class Connection:
    """One authenticated connection, to the bus or to systemd's own socket.

    Use as a context manager.
    """

    def __init__(self, path: str, *, timeout: float) -> None:
        """Raises SystemdError.

        `timeout` bounds everything that is done with the connection, in seconds.
        """
        self._deadline = time.monotonic() + timeout
        self._serial = 0
        self._buffer = bytearray()
        self._path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        try:
            self._socket.settimeout(timeout)
            self._socket.connect(path)
            self._authenticate()
            # systemd's own socket is no bus: it knows no Hello, and sends signals without AddMatch.
            if not path.endswith("/systemd/private"):
                self.call(_BUS, _BUS_PATH, _BUS, "Hello")
                self.call(_BUS, _BUS_PATH, _BUS, "AddMatch", "s", _JOB_REMOVED)
        except (OSError, dbus_wire.WireError) as error:
            self._socket.close()
            raise SystemdError(f"cannot connect to {path}: {error}") from None
        except SystemdError:
            self._socket.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def _authenticate(self) -> None:
        identity = str(os.geteuid()).encode().hex()
        self._socket.sendall(f"\0AUTH EXTERNAL {identity}\r\n".encode())
        while b"\r\n" not in self._buffer:
            self._receive()
        line, _, rest = bytes(self._buffer).partition(b"\r\n")
        if not line.startswith(b"OK "):
            raise SystemdError(
                f"{self._path} refused authentication: {line.decode(errors='replace')}"
            )
        self._buffer = bytearray(rest)
        self._socket.sendall(b"BEGIN\r\n")

    def _receive(self) -> None:
        remaining = self._deadline - time.monotonic()
        if remaining <= 0:
            raise SystemdError(f"{self._path} did not answer in time")
        self._socket.settimeout(remaining)
        try:
            data = self._socket.recv(65536)
        except TimeoutError:
            raise SystemdError(f"{self._path} did not answer in time") from None
        if not data:
            raise SystemdError(f"{self._path} closed the connection")
        self._buffer += data

    def next_message(self) -> DbusMessage:
        while (decoded := dbus_wire.decode(self._buffer)) is None:
            self._receive()
        message, length = decoded
        del self._buffer[:length]
        return message

    def call(
        self,
        destination: str,
        path: str,
        interface: str,
        member: str,
        signature: str = "",
        *body: Value,
    ) -> tuple[tuple[Any, ...], list[DbusMessage]]:
        """The answer's values, and the signals that came before it.

        Raises SystemdError for an error answer.
        """
        self._serial += 1
        request = DbusMessage(
            kind=dbus_wire.METHOD_CALL,
            destination=destination,
            path=path,
            interface=interface,
            member=member,
            signature=signature,
            body=body,
        )
        self._socket.sendall(dbus_wire.encode(request, self._serial))
        signals = []
        while True:
            message = self.next_message()
            if message.kind == dbus_wire.SIGNAL:
                signals.append(message)
            elif message.reply_serial == self._serial and message.kind == dbus_wire.METHOD_RETURN:
                return message.body, signals
            elif message.reply_serial == self._serial and message.kind == dbus_wire.ERROR:
                reason = message.body[0] if message.body else message.error_name
                raise SystemdError(f"systemd refused {member}: {reason}")


def start_scope(
    socket_path: str,
    name: str,
    pids: Sequence[int],
    *,
    description: str,
    slice_name: str | None = None,
    timeout: float,
) -> None:
    """Put processes into a new scope that this user may divide; returns when they are there.

    Raises SystemdError.
    """
    properties: list[tuple[str, tuple[str, Any]]] = [
        ("Description", ("s", description)),
        ("PIDs", ("au", list(pids))),
        # With Delegate= the out-of-memory policy is "continue": one killed process does not end the
        # scope (systemd.scope(5)).
        ("Delegate", ("b", True)),
        # Without this a scope whose process was killed for memory stays listed as failed.
        ("CollectMode", ("s", "inactive-or-failed")),
    ]
    if slice_name is not None:
        properties.append(("Slice", ("s", slice_name)))
    with Connection(socket_path, timeout=timeout) as connection:
        try:
            (job,), signals = connection.call(
                _SYSTEMD,
                _MANAGER_PATH,
                _MANAGER,
                "StartTransientUnit",
                "ssa(sv)a(sa(sv))",
                name,
                "fail",
                properties,
                [],
            )
            # systemd sends the signal because this process queued the job, without Subscribe().
            while True:
                for signal in signals:
                    if signal.member == "JobRemoved" and signal.body[1] == job:
                        return _check_result(name, signal.body[3])
                signals = [connection.next_message()]
        except (OSError, dbus_wire.WireError, ValueError, IndexError) as error:
            raise SystemdError(f"systemd's reply about {name} is truncated: {error}") from None


def _check_result(name: str, result: str) -> None:
    if result != "done":
        raise SystemdError(f"systemd could not start {name}: {result}")
