"""The way out of all networks: one helper program for the network namespace of the bridges, which is started with the first
network that has a way out, and again if it is killed.

The program has to be started in the host's network namespace, which the holder has left for good. So a process does that
which has not: the holder forks it before, and it ends with the holder.
"""

from __future__ import annotations

import os
import select
import time

from rootless.errors import RootlessError
from rootless.light_json import dumps, loads
from rootless.light_stdlib import signal, socket
from rootless.network.drivers.choice import driver_of
from rootless.network.helper import end_child
from rootless.network.holder.bridges import WAY_OUT_IPV4, WAY_OUT_IPV6
from rootless.network.namespaces import Namespaces
from rootless.network.setup import NetworkSetup, plain_setup, setup_of
from rootless.run_in_child import error_fields, error_from
from rootless.syscalls import descriptors, processes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

    from rootless.network.driver import Connection

_MAX_STARTS, _PERIOD = 10, 60.0
"""Starts of the program at most, in a number of seconds: after more something keeps it from working."""
_PACKET = 1 << 16


class WayOut:
    """The holder's half, made in the host's network namespace. `pidfd` and `fileno` become readable when `advance` has
    something to do.
    """

    def __init__(self, log: Callable[[str], None]) -> None:
        self._end, theirs = descriptors.pair()
        pid = os.fork()
        if pid == 0:
            _run(theirs, log)
        theirs.close()
        self._pidfd = os.pidfd_open(pid)
        self._is_needed = False
        self.is_pending = False
        """The program is configuring the interface."""
        self.failure: RootlessError | OSError | None = None
        self.has_ended = False
        """The process was killed, and the program with it. No other process can start the program."""

    def fileno(self) -> int:
        return self._end.fileno()

    def need(self, setup: NetworkSetup, namespace: int) -> None:
        """Start the program for a network namespace, if it has not been."""
        if self._is_needed:
            return
        self._is_needed = self.is_pending = True
        self.failure = None
        setup = setup._replace(
            ipv4=WAY_OUT_IPV4,
            ipv6=WAY_OUT_IPV6 if setup.ipv6 is not None else None,
            mac_address="",
            host_loopback=True,  # for those that the rules let pass
            ports=(),
        )
        descriptors.send(self._end, dumps(plain_setup(setup)), [namespace])

    @property
    def resolvers(self) -> tuple[str, ...]:
        """Where the host's name servers answer."""
        return (WAY_OUT_IPV4.resolver,) if self._is_needed else ()

    def advance(self) -> None:
        """The interface is configured, or that failed: then the next network tries again."""
        try:
            data = self._end.recv(_PACKET)
        except OSError:
            data = b""
        self.has_ended = not data
        answer = loads(data) if data else error_fields(RootlessError("the way out was killed"))
        self.is_pending = False
        if "error" in answer:
            self.failure = error_from(answer)
            self._is_needed = False

    def end(self) -> None:
        """Kill the process, which takes the program with it."""
        end_child(self._pidfd)
        os.close(self._pidfd)
        self._end.close()


def _run(end: socket.socket, log: Callable[[str], None]) -> NoReturn:
    """The program of the process that starts the helper program."""
    try:
        holder = os.getppid()
        processes.prctl(processes.PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != holder:
            os._exit(1)
        low = end.fileno()
        os.closerange(3, low)
        os.closerange(low + 1, os.sysconf("SC_OPEN_MAX"))
        while True:
            data, received = descriptors.receive(end, _PACKET, 1)
            if not data:
                break
            _keep(setup_of(loads(data)), received[0], end, log)
            os.close(received[0])
    except BaseException as error:  # noqa: BLE001 - the holder's program must not go on twice
        import traceback

        os.write(2, "".join(traceback.format_exception(error)).encode(errors="backslashreplace"))
    finally:
        os._exit(1)


def _keep(
    setup: NetworkSetup, namespace: int, end: socket.socket, log: Callable[[str], None]
) -> None:
    """Have the program run until it cannot be started or the holder ends. What happens first, that it is ready or cannot
    be started, is reported.
    """
    driver = driver_of(setup.driver)
    starts: list[float] = []
    is_reported = False
    while len(starts) < _MAX_STARTS:
        starts = [at for at in starts if time.monotonic() - at < _PERIOD] + [time.monotonic()]
        connection: Connection | None = None
        try:
            connection = driver.attach(setup, Namespaces(None, namespace, (0, 0), False))
            connection.wait_until_ready()
        except (OSError, RootlessError) as error:
            if connection is not None:
                driver.detach(connection)
            log(f"way out of the networks: {error}")
            if not is_reported:
                end.send(dumps(error_fields(error)))
                return
            continue
        if not is_reported:
            end.send(dumps({"ready": True}))
            is_reported = True
        poll = select.poll()
        for descriptor in (connection.pidfd, end.fileno()):
            poll.register(descriptor, select.POLLIN)
        ready = {descriptor for descriptor, _ in poll.poll()}
        if connection.pidfd in ready:
            log(f"way out of the networks: {connection.reason()}")
        driver.detach(connection)
        if end.fileno() in ready:
            return
    log("way out of the networks: the program ends again and again")
