"""The program of the holder: it keeps the network namespace of the networks, serves monitors one request after the other,
and ends when the last container has ended. docs/networks.md draws it.
"""

from __future__ import annotations

import os
import select
import time

from rootless.durable import write_atomically
from rootless.errors import RootlessError, failure_of
from rootless.light_json import dumps, loads
from rootless.light_stdlib import signal, socket
from rootless.network.dns.process import DnsProcess
from rootless.network.holder import protocol
from rootless.network.holder.bridges import Bridges
from rootless.network.holder.membership import Membership, in_order
from rootless.network.holder.way_out import WayOut
from rootless.network.setup import INTERFACE
from rootless.run_in_child import error_fields
from rootless.syscalls import descriptors, processes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from rootless.network.endpoint import Assigned
    from rootless.network.holder.protocol import Guest, Wanted
    from rootless.network.setup import NetworkSetup

_FIRST_CLIENT_WAIT = 30.0
"""Seconds after which a holder ends that no container has come to: its starter was killed."""
_RETURN_WAIT = 5.0
"""Seconds that the containers of a holder that was killed have to come back for their addresses."""


class _Client:
    """A connection. `guest` is there once its container has been attached."""

    def __init__(self, end: socket.socket) -> None:
        self.end = end
        self.guest: Guest | None = None
        self.namespace = -1
        self.waits_for_way_out = False

    def close(self) -> None:
        self.end.close()
        if self.namespace >= 0:
            os.close(self.namespace)
            self.namespace = -1


class Holder:
    """Made in the user namespace that the containers' lie below, as its root, and in the host's network namespace.

    `listener` takes connections of this user; `accept` makes one of them a socket. `assigned` is the path of the
    document of the addresses in use, and `log` writes a line.
    """

    def __init__(
        self,
        listener: socket.socket,
        accept: Callable[[socket.socket], socket.socket | None],
        assigned: str,
        log: Callable[[str], None],
    ) -> None:
        self._listener, self._accept = listener, accept
        self._assigned = assigned
        self._log = log
        self._user = os.open("/proc/self/ns/user", os.O_RDONLY | os.O_CLOEXEC)
        self._way_out = WayOut(log)
        processes.unshare(processes.CLONE_NEWNET)
        self._bridges = Bridges()
        self._dns = DnsProcess()
        self._membership = Membership()
        self._clients: dict[int, _Client] = {}
        self._until = time.monotonic() + _FIRST_CLIENT_WAIT
        self._kept_until = time.monotonic() + _RETURN_WAIT
        self._membership.kept = _read_assigned(assigned)

    def serve(self, stop: Callable[[], None]) -> None:
        """Until the last container has ended; `stop` is called when no more connections are taken.

        Return without that when the process of the way out has been killed, which this one cannot start again: the monitors
        then start another holder, as if this one had been killed.
        """
        while not self._is_done():
            ready = self._wait()
            if self._way_out.has_ended:
                self._log("way out of the networks: the process that starts its program was killed")
                return
            for descriptor in ready:
                if descriptor == self._listener.fileno():
                    self._connect()
                elif descriptor in self._clients:
                    self._hear(self._clients[descriptor])
        # First: a holder that is started meanwhile would wait for containers to come back.
        try:
            os.unlink(self._assigned)
        except OSError:
            pass
        stop()
        self._listener.close()
        self._way_out.end()
        self._dns.end()

    def _is_done(self) -> bool:
        if not self._membership.is_empty() or any(
            client.guest is not None for client in self._clients.values()
        ):
            return False
        return not self._clients if self._until == 0 else time.monotonic() > self._until

    def _wait(self) -> set[int]:
        poll = select.poll()
        watched = (
            self._listener.fileno(),
            self._dns.pidfd,
            self._way_out.fileno(),
            *self._clients,
        )
        for descriptor in watched:
            poll.register(descriptor, select.POLLIN)
        limit = None if not self._until else max(0.0, self._until - time.monotonic()) * 1000 + 1
        ready = {descriptor for descriptor, _ in poll.poll(limit)}
        if self._dns.pidfd in ready:
            self._dns.restart()
        if self._way_out.fileno() in ready:
            self._way_out.advance()
        if not self._way_out.is_pending:
            for client in self._clients.values():
                if client.waits_for_way_out:
                    client.waits_for_way_out = False
                    failure = self._way_out.failure
                    self._send(
                        client, {"ready": True} if failure is None else error_fields(failure)
                    )
        return ready

    def _connect(self) -> None:
        end = self._accept(self._listener)
        if end is not None:
            end.setblocking(True)
            self._clients[end.fileno()] = _Client(end)

    def _hear(self, client: _Client) -> None:
        try:
            data, received = descriptors.receive(client.end, protocol.PACKET, 1)
        except OSError:
            data, received = b"", []
        if not data:
            self._leave(client)
            return
        if data == protocol.NAMESPACE:
            descriptors.send(client.end, protocol.OK, [self._user])
            return
        try:
            answer = self._carry_out(client, loads(data), received)
        except (RootlessError, OSError) as error:
            answer = error_fields(error)
        except (AttributeError, LookupError, TypeError, ValueError) as error:
            answer = error_fields(RootlessError(f"not a request of the networks: {error}"))
        finally:
            for descriptor in received:
                os.close(descriptor)
        if answer is not None:
            self._send(client, answer)

    def _send(self, client: _Client, message: dict[str, Any]) -> None:
        try:
            protocol.send(client.end, message)
        except OSError:
            pass  # its end is seen next

    def _carry_out(
        self, client: _Client, message: dict[str, Any], received: list[int]
    ) -> dict[str, Any] | None:
        """The answer; None if it comes later."""
        request = message["request"]
        if request == "ready":
            client.waits_for_way_out = self._way_out.is_pending
            if client.waits_for_way_out:
                return None
            failure = self._way_out.failure
            return {"ready": True} if failure is None else error_fields(failure)
        if request == "attach":
            client.guest = protocol.guest_of(message["guest"])
            client.namespace = received.pop()
            self._until = 0
            wanted = protocol.wanted_of(message["wanted"])
            self._add(client, wanted, protocol.way_out_of(message["way_out"]))
        elif request == "connect":
            wanted = protocol.wanted_of(message["wanted"])
            self._add(client, wanted, protocol.way_out_of(message["way_out"]))
        elif request == "disconnect":
            self._remove(client, message["network"])
            self._set_route(client)
        elif request == "rename":
            self._rename(client, str(message["name"]))
        elif request == "end":
            self._end_names(client)
        elif request == "default":
            self._change_default(client, has_default=bool(message["has_default"]))
        else:
            raise ValueError(request)
        assert client.guest is not None
        places = self._membership.places(client.guest.id)
        return {"places": [each._asdict() for each in places]}

    def _add(self, client: _Client, wanted: Sequence[Wanted], way_out: NetworkSetup | None) -> None:
        """Connect a container to networks; to none if one of them cannot be."""
        guest = client.guest
        if guest is None:
            raise ValueError("no container")
        if self._kept_until and time.monotonic() > self._kept_until:
            self._kept_until, self._membership.kept = 0, {}
        added: list[str] = []
        try:
            for each in in_order(wanted):
                names = self._bridges.interfaces(client.namespace)
                if guest.has_default:
                    names.add(INTERFACE)
                place = self._membership.choose(guest, each, names)
                network = each.record.id
                if network not in self._membership.records:
                    self._bridges.add(each.record)
                    self._membership.records[network] = each.record
                    sockets = self._bridges.listen(each.record)
                    self._dns.add(self._membership.zone(each.record), sockets)
                self._membership.add(guest, place)
                added.append(network)
                # Recorded before the kernel has it.
                self._record()
                options = dict(each.attachment.driver_options)
                self._bridges.connect(each.record, place.assigned, client.namespace, options)
                self._allow_host(guest, place.assigned, allowed=True)
                self._dns.replace(self._membership.zone(each.record))
            self._set_route(client)
            if way_out is not None:
                self._way_out.need(way_out, self._bridges.namespace)
                self._dns.set_servers(self._way_out.resolvers)
        except BaseException:
            for network in added:
                self._remove(client, network)
            raise

    def _allow_host(self, guest: Guest, place: Assigned, *, allowed: bool) -> None:
        if guest.reaches_host and place.address:
            self._bridges.allow_host(place.address, allowed=allowed)

    def _set_route(self, client: _Client) -> None:
        """Have the container's default route lead to the network that comes first."""
        assert client.guest is not None
        if client.guest.has_default:
            return
        for each in self._membership.places(client.guest.id)[:1]:
            if each.gateway or each.ipv6_gateway:
                self._bridges.route(each, client.namespace)

    def _rename(self, client: _Client, name: str) -> None:
        if client.guest is None:
            raise ValueError("no container")
        client.guest = client.guest._replace(name=name)
        for record in self._membership.rename(client.guest):
            self._dns.replace(self._membership.zone(record))

    def _end_names(self, client: _Client) -> None:
        """The container is about to have ended. Its places go when its connection does."""
        if client.guest is None:
            raise ValueError("no container")
        for record in self._membership.end(client.guest.id):
            self._dns.replace(self._membership.zone(record))

    def _change_default(self, client: _Client, *, has_default: bool) -> None:
        """The container has the default network too from now on, or no longer."""
        if client.guest is None:
            raise ValueError("no container")
        client.guest = client.guest._replace(has_default=has_default)
        if not has_default:
            self._set_route(client)
            return
        for each in self._membership.places(client.guest.id)[:1]:
            self._bridges.unroute(each, client.namespace)

    def _remove(self, client: _Client, network: str) -> None:
        """Take a container's place in a network away, and the network with its last container."""
        assert client.guest is not None
        place = self._membership.remove(client.guest.id, network)
        record = self._membership.records[network]
        self._bridges.disconnect(place)
        try:
            self._allow_host(client.guest, place, allowed=False)
        except OSError:
            pass  # it was connected in part
        if self._membership.members(network):
            self._dns.replace(self._membership.zone(record))
        else:
            self._dns.remove(network)
            self._bridges.remove(record)
            del self._membership.records[network]
        try:
            self._record()
        except OSError as error:
            self._log(f"the addresses in use cannot be written down: {failure_of(error)}")

    def _leave(self, client: _Client) -> None:
        """The other side has gone: its container has ended."""
        del self._clients[client.end.fileno()]
        if client.guest is not None:
            for each in self._membership.places(client.guest.id):
                self._remove(client, each.network_id)
            self._membership.forget(client.guest.id)
        client.close()

    def _record(self) -> None:
        """Write down which addresses are in use, for a holder that takes this one's place."""
        document = self._membership.assignments()
        for network, kept in self._membership.kept.items():
            document[network] = {**kept, **document.get(network, {})}
        write_atomically(self._assigned, dumps(document), 0o600, durable=False)


def _read_assigned(path: str) -> dict[str, dict[str, str]]:
    """What a holder that was killed has left."""
    try:
        with open(path, "rb") as file:
            document = loads(file.read())
    except (OSError, ValueError):
        return {}
    return document if isinstance(document, dict) else {}


def default_signals() -> None:
    """A signal ends the holder, but for those that a terminal sends."""
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_IGN)
    for number in (signal.SIGTERM, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
