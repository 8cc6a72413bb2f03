"""Passes what comes to published ports on to the container: a process in the container's user and network namespaces, with
the sockets that the monitor has bound in the host's. It ends with the monitor, which starts another if it is killed: the
ports stay bound meanwhile. When the container ends, clients still get what it has sent.
"""

from __future__ import annotations

import errno
import gc
import os
import resource
import select
import time

from rootless.light_stdlib import signal, socket
from rootless.network.helper import become_root_of, end_child
from rootless.network.publishing.source_address import SourceAddresses
from rootless.network.publishing.tcp_relay import Pipes, TcpRelay
from rootless.network.publishing.udp_relay import UdpRelay
from rootless.syscalls import processes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import NoReturn

    from rootless.network.driver import Target
    from rootless.network.namespaces import Namespaces
    from rootless.network.publishing.listening import PublishedSocket
    from rootless.network.publishing.udp_relay import Flow

NAME = b"rootless-ports"
_TICK = 10.0
"""Seconds between two looks for idle clients of UDP ports."""
_ACCEPTED = 64
"""Connections taken from one port before the others are served."""
_MAX_DRAIN, _MAX_STALL = 2.0, 0.2
"""Seconds in which clients of a container that has ended can take what it has sent, and in which one of them has to take
some of it."""
_FIRST_FREE = 3
_NO_DESCRIPTORS = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


class Forwarder:
    """The process. `pidfd` becomes readable when it has ended."""

    def __init__(
        self, sockets: Sequence[PublishedSocket], target: Target, namespaces: Namespaces
    ) -> None:
        """Start it. Raises OSError."""
        monitor = os.pidfd_open(os.getpid())
        self._stop = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        try:
            pid = os.fork()
            if pid == 0:
                _run(sockets, target, namespaces, monitor, self._stop)
        except BaseException:
            os.close(self._stop)
            raise
        finally:
            os.close(monitor)
        self.pidfd = os.pidfd_open(pid)

    def drain(self) -> None:
        """Accept no more connections, and wait until the clients of a container that has ended have what it has sent; not
        for clients that do not take it. Then `end` it.
        """
        os.eventfd_write(self._stop, 1)
        poll = select.poll()
        poll.register(self.pidfd, select.POLLIN)
        poll.poll((_MAX_DRAIN + _MAX_STALL) * 1000)

    def end(self) -> None:
        """Kill it and wait for its end."""
        end_child(self.pidfd)
        for descriptor in (self.pidfd, self._stop):
            os.close(descriptor)


def _run(
    sockets: Sequence[PublishedSocket],
    target: Target,
    namespaces: Namespaces,
    monitor: int,
    stop: int,
) -> NoReturn:
    try:
        for number in (signal.SIGTERM, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        _take_name()
        become_root_of(namespaces, monitor)
        processes.setns(namespaces.network, processes.CLONE_NEWNET)
        _close_others({stop, *(each.socket.fileno() for each in sockets)})
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
        gc.disable()  # nothing here is in cycles
        _Loop(sockets, target, stop).serve()
    except BaseException as error:  # noqa: BLE001 - the monitor's program must not go on twice
        import traceback

        os.write(2, "".join(traceback.format_exception(error)).encode(errors="backslashreplace"))
    finally:
        os._exit(1)


def _take_name() -> None:
    """As ps(1) shows it; the ids of the process must not have changed yet (proc_pid_comm(5))."""
    with open("/proc/self/comm", "wb", buffering=0) as file:
        file.write(NAME)


def _close_others(kept: set[int]) -> None:
    """What the monitor has open: a pipe or a connection would not end as long as this process has it too."""
    for name in os.listdir("/proc/self/fd"):
        descriptor = int(name)
        if descriptor >= _FIRST_FREE and descriptor not in kept:
            try:
                os.close(descriptor)
            except OSError:
                pass  # that of the listing itself


class _Loop:
    def __init__(self, sockets: Sequence[PublishedSocket], target: Target, stop: int) -> None:
        self._target = target
        self._stop = stop
        tcp = [each for each in sockets if each.port.protocol == "tcp"]
        self._sources = SourceAddresses(target, (each.port.number for each in tcp))
        self._pipes = Pipes()
        self._epoll = select.epoll()
        self._listeners = {each.socket.fileno(): each for each in tcp}
        address = target.ipv4 or target.ipv6
        self._udp = {
            each.socket.fileno(): UdpRelay(each, (address, each.port.number), self._sources)
            for each in sockets
            if each.port.protocol == "udp" and address
        }
        self._relays: dict[int, TcpRelay] = {}
        self._flows: dict[int, tuple[UdpRelay, Flow]] = {}
        self._registered: dict[int, int] = {}
        self._is_full = False
        """There were no descriptors left: no connection is accepted until one ends."""
        for descriptor in (*self._listeners, *self._udp, stop):
            self._epoll.register(descriptor, select.EPOLLIN)

    def _addresses(self, published: PublishedSocket) -> list[tuple[str, int]]:
        """Where connections to a port are made to: in the family that they came in, then by IPv4, or by IPv6 in a network
        that has that alone. (UDP has the latter two alone: nothing tells whether a datagram arrived.)"""
        target, number = self._target, published.port.number
        addresses = [target.ipv4 or target.ipv6]
        if published.family == socket.AF_INET6 and target.ipv4:
            addresses.insert(0, target.ipv6)
        return [(address, number) for address in addresses if address]

    def serve(self) -> None:
        """Return when `stop` is readable and the clients have what the container has sent."""
        while True:
            events = self._epoll.poll(_TICK if self._udp else None)
            for descriptor, _ in events:
                if descriptor in self._listeners:
                    self._accept(self._listeners[descriptor])
                elif descriptor in self._udp:
                    self._receive(self._udp[descriptor])
                elif descriptor in self._flows:
                    relay, flow = self._flows[descriptor]
                    relay.answer(flow)
                elif descriptor in self._relays:
                    self._advance(self._relays[descriptor])
                elif descriptor == self._stop:
                    self._drain()
                    return
            if not events:
                for each in self._udp.values():
                    self._forget(each.expire())

    def _drain(self) -> None:
        """Pass on what a container has sent that has ended. A client that does not take it is reset: the end of its
        connection must not look like the end of the data.
        """
        self._is_full = False
        for descriptor in (*self._listeners, *self._udp, *self._flows, self._stop):
            self._epoll.unregister(descriptor)
        until = time.monotonic() + _MAX_DRAIN
        while not all(relay.is_delivered for relay in self._relays.values()):
            events = self._epoll.poll(_MAX_STALL)
            if not events or time.monotonic() > until:
                break
            for descriptor, _ in events:
                if descriptor in self._relays:
                    self._advance(self._relays[descriptor])
        for relay in set(self._relays.values()):
            if not relay.is_delivered:
                relay.abort()

    def _accept(self, published: PublishedSocket) -> None:
        for _ in range(_ACCEPTED):
            try:
                # `accept` itself is in the standard library's half in Python.
                descriptor, peer = published.socket._accept()  # type: ignore[attr-defined]  # noqa: SLF001
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in _NO_DESCRIPTORS:
                    self._pause()
                    return
                continue  # the client is gone again (accept(2), ECONNABORTED)
            client = socket.socket(fileno=descriptor)
            client.setblocking(False)
            try:
                relay = TcpRelay(
                    client, peer[:2], self._addresses(published), self._sources, self._pipes
                )
            except OSError:
                client.close()
                self._pause()
                return
            self._watch(relay, ())

    def _pause(self) -> None:
        self._is_full = True
        for descriptor in self._listeners:
            self._epoll.modify(descriptor, 0)

    def _resume(self) -> None:
        if self._is_full:
            self._is_full = False
            for descriptor in self._listeners:
                self._epoll.modify(descriptor, select.EPOLLIN)

    def _advance(self, relay: TcpRelay) -> None:
        before = relay.interest()
        relay.advance()
        self._watch(relay, before)

    def _watch(self, relay: TcpRelay, before: Iterable[int]) -> None:
        """Register with epoll what the relay now waits for."""
        wanted = relay.interest()
        for descriptor in set(before) - set(wanted):
            self._registered.pop(descriptor, None)
            self._relays.pop(descriptor, None)
            if not relay.is_finished:
                try:
                    self._epoll.unregister(descriptor)
                except OSError:
                    pass  # it was closed, which unregisters it (epoll(7))
        for descriptor, events in wanted.items():
            if self._registered.get(descriptor) == events:
                continue
            if descriptor in self._registered:
                self._epoll.modify(descriptor, events)
            else:
                self._epoll.register(descriptor, events)
            self._registered[descriptor] = events
            self._relays[descriptor] = relay
        if relay.is_finished:
            self._resume()

    def _receive(self, relay: UdpRelay) -> None:
        made, ended = relay.receive()
        self._forget(ended)
        for flow in made:
            descriptor = flow.upstream.fileno()
            if descriptor >= 0:  # it has not made room for another already
                self._flows[descriptor] = (relay, flow)
                self._epoll.register(descriptor, select.EPOLLIN)

    def _forget(self, ended: Iterable[Flow]) -> None:
        for flow in ended:
            self._flows.pop(flow.upstream.fileno(), None)
            flow.upstream.close()
