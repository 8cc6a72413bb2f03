"""The connection to the host's journal, and the entries that it takes.

An entry is a datagram of the journal's native protocol, or, if it is too large for one, a sealed memory
file that a datagram passes (systemd: "Native Journal Protocol").
"""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import stat
import struct
import termios
import time

from rootless.errors import HostSupportError

SOCKET = "/run/systemd/journal/socket"
PRIORITIES = {1: b"6", 2: b"3"}
"""info and err (syslog(3)), by the number of the stream."""
_SEND_WAIT = 2
"""Seconds that `send` waits for a journal that reads nothing."""
_READ_WAIT = 1.0
"""Seconds that `close` waits for the journal to have read every entry."""


def require_journal(path: str = SOCKET) -> None:
    """Raise HostSupportError unless there is a journal to write to."""
    try:
        if stat.S_ISSOCK(os.stat(path).st_mode):
            return
    except OSError:
        pass
    raise HostSupportError(
        "failed to initialize logging driver: journald is not enabled on this host",
        hint=f"there is no socket {path}; use --log-driver json-file",
    )


def field(name: bytes, value: bytes) -> bytes:
    """A field of an entry: a line, or, for a value of several lines, with its size before it."""
    if b"\n" not in value:
        return b"%b=%b\n" % (name, value)
    return b"%b\n%b%b\n" % (name, struct.pack("<Q", len(value)), value)


def field_name(text: str) -> str:
    """The name of a label or a variable as the name of a field, which has capital letters, digits and
    underscores and does not begin with one.
    """
    name = (each if each.isascii() and each.isalnum() else "_" for each in text.upper())
    return "".join(name).lstrip("_")


class JournalConnection:
    """Raises OSError, as its methods do."""

    def __init__(self, path: str = SOCKET) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        try:
            # A journal that is stopped keeps its socket: the monitor must not wait for it for ever.
            wait = struct.pack("ll", _SEND_WAIT, 0)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, wait)
            self._socket.connect(path)
        except OSError:
            self._socket.close()
            raise

    def send(self, entry: bytes, *, wait: bool) -> None:
        """Send an entry, a sequence of fields. Without `wait` the error is EAGAIN if there is no room."""
        try:
            self._socket.sendmsg([entry], [], 0 if wait else socket.MSG_DONTWAIT)
        except OSError as error:
            if error.errno not in {errno.EMSGSIZE, errno.ENOBUFS}:
                raise
            self._send_file(entry)

    def _send_file(self, entry: bytes) -> None:
        file = os.memfd_create("journal-entry", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            os.write(file, entry)
            seals = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE
            fcntl.fcntl(file, fcntl.F_ADD_SEALS, seals | fcntl.F_SEAL_SEAL)
            socket.send_fds(self._socket, [b""], [file])
        finally:
            os.close(file)

    def wait_until_read(self) -> None:
        """Until the journal has taken every datagram out of the socket, so that a reader of the journal finds
        what a container wrote that has ended.
        """
        end = time.monotonic() + _READ_WAIT
        while time.monotonic() < end:
            unread = fcntl.ioctl(self._socket, termios.TIOCOUTQ, bytes(4))
            if not any(unread):
                return
            time.sleep(0.001)

    def close(self) -> None:
        """Idempotent."""
        self._socket.close()
