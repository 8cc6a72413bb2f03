"""The DNS process, as the holder of the networks sees it. It has no capabilities, because it reads packets of
containers. The holder restarts it if it ends, and sends it all names again.
"""

from __future__ import annotations

import os

from rootless.light_json import dumps
from rootless.light_stdlib import signal, socket
from rootless.network.dns.table import Zone, plain_zone
from rootless.network.helper import end_child
from rootless.syscalls import capabilities, descriptors, processes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import NoReturn

_NAME = b"rootless-dns"
_SEND_BUFFER = 1 << 22
"""Bytes that may wait to be read; the kernel's limit, net.core.wmem_max, may be lower."""


class DnsProcess:
    """`pidfd` becomes readable when it has ended; then `restart`."""

    def __init__(self) -> None:
        self._zones: dict[str, Zone] = {}
        self._sockets: dict[str, Sequence[socket.socket]] = {}
        self._servers: tuple[str, ...] = ()
        self._start()

    def _start(self) -> None:
        self._control, theirs = descriptors.pair()
        self._control.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
        pid = os.fork()
        if pid == 0:
            _run(theirs)
        theirs.close()
        self.pidfd = os.pidfd_open(pid)

    def restart(self) -> None:
        """Start another one in its place."""
        self.end()
        self._start()
        self.set_servers(self._servers)
        for network, zone in self._zones.items():
            self._send({"zone": plain_zone(zone)}, self._sockets[network])

    def add(self, zone: Zone, sockets: Sequence[socket.socket]) -> None:
        """A new network; the sockets are those of its gateway."""
        self._sockets[zone.id] = sockets
        self._zones[zone.id] = zone
        self._send({"zone": plain_zone(zone)}, sockets)

    def replace(self, zone: Zone) -> None:
        """The members of a network have changed."""
        self._zones[zone.id] = zone
        self._send({"zone": plain_zone(zone)})

    def remove(self, network: str) -> None:
        del self._zones[network]
        for each in self._sockets.pop(network):
            each.close()
        self._send({"removed": network})

    def set_servers(self, servers: Sequence[str]) -> None:
        """The host's name servers, as they are reached from here."""
        self._servers = tuple(servers)
        self._send({"servers": list(servers)})

    def _send(self, message: dict[str, object], sockets: Sequence[socket.socket] = ()) -> None:
        try:
            descriptors.send(self._control, dumps(message), [each.fileno() for each in sockets])
        except OSError:
            pass  # it has ended: the next process gets the whole table

    def end(self) -> None:
        """Kill it and wait for its end."""
        end_child(self.pidfd)
        os.close(self.pidfd)
        self._control.close()


def _run(control: socket.socket) -> NoReturn:
    """The program of the process."""
    try:
        holder = os.getppid()
        processes.prctl(processes.PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != holder:
            os._exit(1)
        with open("/proc/self/comm", "wb", buffering=0) as file:
            file.write(_NAME)
        low = control.fileno()
        os.closerange(3, low)
        os.closerange(low + 1, os.sysconf("SC_OPEN_MAX"))
        processes.prctl(processes.PR_SET_NO_NEW_PRIVS, 1)
        capabilities.capset(0, 0, 0)
        from rootless.network.dns.server import main

        main(control.detach())
    except BaseException as error:  # noqa: BLE001 - the holder's program must not go on twice
        import traceback

        os.write(2, "".join(traceback.format_exception(error)).encode(errors="backslashreplace"))
    finally:
        os._exit(1)
