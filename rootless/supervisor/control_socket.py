"""The socket of a container's monitor: a listening SOCK_SEQPACKET socket that clients connect to.

    RUNROOT/containers/<first 24 digits of the id>/control.sock

Only the user whose container it is reaches it: the directory has mode 0700 and its owner is checked,
and so is the peer of each connection (SO_PEERCRED, unix(7)). The socket is named beneath a descriptor
of its directory, so that no other directory is taken for it between the check and the use, and the
length of RUNROOT does not matter (a socket's path has 107 bytes).
"""

from __future__ import annotations

import errno
import os
import stat

from rootless.containers.directory import CONTROL_SOCKET
from rootless.errors import NotFoundError, RootlessError
from rootless.light_stdlib import socket
from rootless.private_directory import make_private_directory
from rootless.supervisor.messages import Connection

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

_BACKLOG = 16
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def listen(directory: str) -> socket.socket:
    """Make the directory and the socket in it, in place of one whose monitor was killed.

    Raises RootlessError if the directory is another user's or cannot be made.
    """
    try:
        parent = os.path.dirname(directory)
        for each in (os.path.dirname(parent), parent):
            make_private_directory(each, "ROOTLESS_RUNROOT")
        try:
            os.mkdir(directory, 0o700)
        except FileExistsError:
            pass
        opened = _open_private(directory)
    except OSError as error:
        _refuse(directory, error)
    end = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC)
    try:
        _unlink(opened)
        end.bind(f"/proc/self/fd/{opened}/{CONTROL_SOCKET}")
        end.listen(_BACKLOG)
        end.setblocking(False)
    except OSError as error:
        end.close()
        _refuse(directory, error)
    finally:
        os.close(opened)
    return end


def accept(listener: socket.socket) -> Connection | None:
    """A connection of this user or root; None if it was another's, or has gone again."""
    try:
        # `accept` itself is in the standard library's half in Python.
        descriptor, _ = listener._accept()  # type: ignore[attr-defined]  # noqa: SLF001
    except OSError:
        return None
    connection = Connection.inherited(descriptor)
    if connection.peer_uid() in {os.getuid(), 0}:
        return connection
    connection.close()
    return None


def connect(directory: str) -> Connection:
    """Connect to the monitor whose socket is in the directory.

    Raises:
        NotFoundError: there is no monitor (any more).
        RootlessError: the directory is another user's.
    """
    try:
        opened = _open_private(directory)
    except FileNotFoundError:
        raise NotFoundError(f"no monitor listens in {directory}") from None
    except OSError as error:
        _refuse(directory, error)
    end = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC)
    try:
        end.connect(f"/proc/self/fd/{opened}/{CONTROL_SOCKET}")
    except OSError as error:
        end.close()
        # ECONNREFUSED: the socket of a monitor that was killed.
        if error.errno in {errno.ENOENT, errno.ECONNREFUSED}:
            raise NotFoundError(f"no monitor listens in {directory}") from None
        _refuse(directory, error)
    finally:
        os.close(opened)
    return Connection(end)


def remove(directory: str) -> None:
    """Remove the socket and its directory. Removing what is gone is no error."""
    try:
        opened = _open_private(directory)
    except OSError:
        return
    _unlink(opened)
    os.close(opened)
    try:
        os.rmdir(directory)
    except OSError:
        pass  # something else lies in it


def _open_private(directory: str) -> int:
    """The directory as a descriptor. Raises PermissionError unless only this user may enter it."""
    opened = os.open(directory, _DIRECTORY)
    status = os.fstat(opened)
    if status.st_uid != os.getuid() or stat.S_IMODE(status.st_mode) & 0o077:
        os.close(opened)
        raise PermissionError(errno.EPERM, "the directory is accessible to other users", directory)
    return opened


def _unlink(opened: int) -> None:
    try:
        os.unlink(CONTROL_SOCKET, dir_fd=opened)
    except FileNotFoundError:
        pass


def _refuse(directory: str, error: OSError) -> NoReturn:
    raise RootlessError(
        f"cannot use {directory} for the control socket: {(error.strerror or '').lower()}",
        hint="name another directory with --runroot",
    ) from error
