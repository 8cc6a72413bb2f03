"""The server of a shared image, forked before it is known which image that is and whether it has a server.

It makes the user namespace of the servers and imports what it serves with while the container is prepared. The
monitor forks it; it is not a child of the monitor's once it serves.
"""

from __future__ import annotations

import os
import select

from rootless.light_stdlib import socket
from rootless.supervisor.messages import close_all_but
from rootless.syscalls import descriptors, processes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from rootless.containers.launch_description import LaunchDescription
    from rootless.runtime.idmap import IdMaps
    from rootless.supervisor.file_servers.claim import ServerClaim

_MAXIMUM = 1 << 17
"""Bytes of a description, as in `file_server`."""


class FirstServer:
    """The monitor's side. Leave it by `start` or `end`."""

    def __init__(self, pid: int, end: socket.socket) -> None:
        self._starter = pid
        self._socket: socket.socket | None = end
        self._pid = 0

    @classmethod
    def fork(cls, claim: ServerClaim) -> FirstServer:
        """Start the process, which holds the lock of the claim while it waits. The caller must have one thread."""
        ours, theirs = descriptors.pair()
        pid = os.fork()
        if pid == 0:
            _fork_server(theirs, claim)
        theirs.close()
        return cls(pid, ours)

    def pids(self) -> tuple[int, ...]:
        """The PIDs of the processes."""
        if self._socket is None:
            return ()
        self._pid = self._pid or int(self._socket.recv(16) or 0)
        return (self._starter, self._pid) if self._pid else ()

    @property
    def waits(self) -> bool:
        """Whether it can be started."""
        return self._socket is not None

    def start(self, description: LaunchDescription) -> socket.socket:
        """Have it serve the image of the container in a user namespace that it has made. It reports as a server of
        `volume_server.fork_server`.
        """
        self.pids()
        end, self._socket = self._socket, None
        assert end is not None  # it waits
        try:
            descriptors.send(end, description._replace(spec={}, extra={}).packed())
        except (BrokenPipeError, ConnectionResetError):
            pass  # it has ended, which the end of its reports tells
        os.waitpid(self._starter, 0)
        return end

    def end(self) -> None:
        """End it, if it waits."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
            os.waitpid(self._starter, 0)


def _fork_server(end: socket.socket, claim: ServerClaim) -> NoReturn:
    """The program of the process that forks the server, writes its id maps and ends."""
    try:
        from rootless.runtime.account import read_id_maps
        from rootless.runtime.idmap import UserNamespaceMode
        from rootless.runtime.idmap_writer import write_maps

        close_all_but((end.fileno(), *claim.lock.descriptors))
        maps = read_id_maps(UserNamespaceMode(single=claim.single))
        ready, mapped = os.pipe2(os.O_CLOEXEC)
        pid, _ = processes.fork_into(processes.CLONE_NEWUSER | processes.CLONE_NEWNS)
        if pid == 0:
            os.close(mapped)
            _wait(end, ready, maps, single=claim.single)
        end.send(str(pid).encode(), socket.MSG_NOSIGNAL)
        write_maps(pid, maps)
        os.write(mapped, b"1")
    except OSError:
        pass  # the server, if there is one, ends without its maps, and the monitor forks another
    finally:
        os._exit(0)


def _wait(end: socket.socket, ready: int, maps: IdMaps, *, single: bool) -> NoReturn:
    """The program of the server."""
    try:
        from rootless.containers.launch_description import unpack
        from rootless.supervisor.file_servers.shared_image import serve_image
        from rootless.supervisor.file_servers.volume_server import IMPORTS

        poll = select.poll()
        poll.register(end, select.POLLIN)
        for import_some in IMPORTS:
            if poll.poll(0):
                break  # `serve_image` loads the rest when clients have their mounts
            import_some()
        # First the maps: if their writer is killed before it has sent the PID of this process, the monitor waits for that
        # until this process has closed its end.
        is_mapped = os.read(ready, 1)
        packed = descriptors.receive(end, _MAXIMUM, 0)[0] if is_mapped else b""
        if packed:
            serve_image(unpack(packed), maps, end, single=single)
    finally:
        os._exit(1)
