"""The program of the DNS process: answers queries of containers on the sockets that the holder has bound to the
gateways, and forwards other names to name servers.

Messages of the holder are packets of JSON:

    zone        the members of a network have changed; with the first one come the sockets of its gateway
    removed     the id of a network that is no more
    servers     the host's name servers
"""

from __future__ import annotations

import asyncio
import gc
import os
import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn

from rootless.light_json import loads
from rootless.network.dns.answers import Query, warm_up
from rootless.network.dns.kept import KeptAnswers
from rootless.network.dns.table import Names, zone_of
from rootless.syscalls import descriptors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from rootless.network.dns.table import Zone

_PACKET = 65535
_DESCRIPTORS = 4
_MESSAGE = 1 << 20
_PORT = 53
_TRIES = (2.0, 3.0)
"""Seconds that a name server has to answer, for each time that it is asked."""
_IDLE = 10.0
"""Seconds after which a connection without a query is closed (RFC 7766, section 6.2.3)."""
_MAX_FORWARDED, _MAX_FORWARDED_EACH = 512, 128
"""Queries that wait for name servers at one time, of all containers and of one; more are answered with a failure."""
_MAX_CONNECTIONS, _MAX_CONNECTIONS_EACH = 512, 64
"""More are closed."""
_PREPARE_AFTER = 0.05
"""Seconds after a container has come in which its start is not disturbed."""
_BATCH = 32
"""Datagrams taken from one socket before the others are served."""


def main(control: int) -> NoReturn:
    """Serve until the holder, at the other end of the connection, ends."""
    warm_up()
    gc.freeze()
    asyncio.run(_Server(socket.socket(fileno=control)).run())
    os._exit(0)


class _Shares:
    """What the clients have at one time of something that is limited, for all and for each."""

    def __init__(self, most: int, most_each: int) -> None:
        self._most, self._most_each = most, most_each
        self._all = 0
        self._each: dict[tuple[str, str], int] = {}

    @contextmanager
    def share(self, client: tuple[str, str]) -> Iterator[bool]:
        """For the length of a block; whether there is one left."""
        used = self._each.get(client, 0)
        if self._all >= self._most or used >= self._most_each:
            yield False
            return
        self._all += 1
        self._each[client] = used + 1
        try:
            yield True
        finally:
            self._all -= 1
            self._each[client] -= 1
            if not self._each[client]:
                del self._each[client]


class _Server:
    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._names = Names()
        self._servers: tuple[str, ...] = ()
        self._sockets: dict[str, list[socket.socket]] = {}
        self._listening: dict[str, list[asyncio.Server]] = {}
        self._kept = KeptAnswers(self._names)
        self._turn = 0
        self._forwarded = _Shares(_MAX_FORWARDED, _MAX_FORWARDED_EACH)
        self._connections = _Shares(_MAX_CONNECTIONS, _MAX_CONNECTIONS_EACH)
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        self._ended = loop.create_future()
        self._control.setblocking(False)
        loop.add_reader(self._control, self._hear)
        await self._ended

    def _hear(self) -> None:
        """Take what the holder has sent. Names are there before a container that asks for them: this is called before
        queries are answered, because the loop may find both at once.
        """
        while not self._ended.done():
            try:
                data, received = descriptors.receive(self._control, _MESSAGE, _DESCRIPTORS)
            except BlockingIOError:
                return
            except OSError:
                data, received = b"", []
            if not data:
                asyncio.get_running_loop().remove_reader(self._control)
                self._ended.set_result(None)
                return
            self._take(loads(data), received)

    def _take(self, message: dict[str, Any], received: list[int]) -> None:
        if "zone" in message:
            zone = zone_of(message["zone"])
            before = self._names.zone(zone.id)
            self._names.replace(zone)
            self._change(before, zone)
            for descriptor in received:
                self._serve(zone.id, socket.socket(fileno=descriptor))
        elif "removed" in message:
            self._remove(message["removed"])
        else:
            self._servers = tuple(message["servers"])

    def _serve(self, network: str, one: socket.socket) -> None:
        one.setblocking(False)
        loop = asyncio.get_running_loop()
        if one.type == socket.SOCK_DGRAM:
            self._sockets.setdefault(network, []).append(one)
            loop.add_reader(one, lambda: self._receive(network, one))
            return

        async def listen() -> None:
            async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                await self._converse(network, reader, writer)

            listening = await asyncio.start_server(serve, sock=one)
            self._listening.setdefault(network, []).append(listening)

        self._spawn(listen())

    def _spawn(self, work: object) -> None:
        task = asyncio.ensure_future(work)  # type: ignore[call-overload]
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _change(self, before: Zone | None, after: Zone | None) -> None:
        was_prepared = self._kept.is_prepared
        self._kept.change(before, after)
        if was_prepared and not self._kept.is_prepared:
            asyncio.get_running_loop().call_later(_PREPARE_AFTER, self._prepare)

    def _prepare(self) -> None:
        """A name at a time, so that no query waits for more."""
        self._kept.prepare()
        if not self._kept.is_prepared:
            asyncio.get_running_loop().call_soon(self._prepare)

    def _remove(self, network: str) -> None:
        before = self._names.zone(network)
        self._names.remove(network)
        self._change(before, None)
        for one in self._sockets.pop(network, ()):
            asyncio.get_running_loop().remove_reader(one)
            one.close()
        for listening in self._listening.pop(network, ()):
            listening.close()

    def _receive(self, network: str, one: socket.socket) -> None:
        for _ in range(_BATCH):
            try:
                wire, client = one.recvfrom(_PACKET)
            except OSError:
                return
            self._hear()
            self._answer_datagram(network, one, wire, client)

    def _answer_datagram(
        self, network: str, one: socket.socket, wire: bytes, client: tuple[str, int]
    ) -> None:
        view = self._names.view(network, client[0])
        kept = self._kept.find(view, wire)
        if kept is not None:
            _send(one, kept, client)
            return
        try:
            query = Query(wire, network, client[0])
            answer = query.answer(self._names, self._turn)
        except ValueError:
            return
        if answer is None:

            def reply(found: bytes) -> None:
                _send(one, found if len(found) <= query.size else query.truncated(), client)

            self._spawn(self._forward(query, wire, reply, tcp=False))
            return
        self._turn += 1
        if len(answer) > query.size:
            answer = query.truncated()
        else:
            self._kept.keep(view, wire, query.subject, answer)
        _send(one, answer, client)

    async def _converse(
        self, network: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Answer the queries of one connection, in their order (RFC 7766)."""
        try:
            client = writer.get_extra_info("peername")[0]
            with self._connections.share((network, client)) as has_share:
                while has_share:
                    async with asyncio.timeout(_IDLE):
                        wire = await _read(reader)
                    found = await self._answer_message(wire, network, client)
                    writer.write(len(found).to_bytes(2, "big") + found)
                    async with asyncio.timeout(_IDLE):
                        await writer.drain()
        except TimeoutError:
            writer.transport.abort()  # the client asks nothing more, or does not read
        except (OSError, TypeError, ValueError, asyncio.IncompleteReadError):
            pass  # the client has gone, or does not speak DNS
        finally:
            writer.close()

    async def _answer_message(self, wire: bytes, network: str, client: str) -> bytes:
        """The answer to a query that came by TCP. Raises ValueError for what is none."""
        self._hear()
        kept = self._kept.find(self._names.view(network, client), wire)
        if kept is not None:
            return kept
        query = Query(wire, network, client)
        answer = query.answer(self._names, self._turn)
        self._turn += 1
        found = [] if answer is None else [answer]
        if answer is None:
            await self._forward(query, wire, found.append, tcp=True)
        return found[0]

    async def _forward(
        self, query: Query, wire: bytes, reply: Callable[[bytes], None], *, tcp: bool
    ) -> None:
        """Reply with what a name server answers, with a failure if none does."""
        servers = self._names.servers(query.network, query.client, self._servers)
        with self._forwarded.share((query.network, query.client)) as has_share:
            for seconds in _TRIES if has_share else ():
                for server in servers:
                    try:
                        async with asyncio.timeout(seconds):
                            answer = await (_ask_tcp if tcp else _ask_udp)(server, wire[2:])
                    except (OSError, TimeoutError, asyncio.IncompleteReadError):
                        continue
                    reply(wire[:2] + answer[2:])
                    return
        reply(query.failure())


def _send(one: socket.socket, answer: bytes, client: tuple[str, int]) -> None:
    try:
        one.sendto(answer, client)
    except OSError:
        pass  # the client has gone, or its queue is full: it asks again


async def _read(reader: asyncio.StreamReader) -> bytes:
    """One message of a connection (RFC 1035, section 4.2.2)."""
    return await reader.readexactly(int.from_bytes(await reader.readexactly(2), "big"))


async def _ask_udp(server: str, query: bytes) -> bytes:
    """The answer to a query without its id. The socket is connected, on a port that the kernel has chosen, and the id is
    random: an answer of another is not taken (RFC 5452).
    """
    loop = asyncio.get_running_loop()
    family = socket.AF_INET6 if ":" in server else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as one:
        await loop.sock_connect(one, (server, _PORT))
        identity = os.urandom(2)
        await loop.sock_sendall(one, identity + query)
        while True:
            answer = await loop.sock_recv(one, _PACKET)
            if answer[:2] == identity and len(answer) >= 12:
                return answer


async def _ask_tcp(server: str, query: bytes) -> bytes:
    reader, writer = await asyncio.open_connection(server, _PORT)
    try:
        identity = os.urandom(2)
        writer.write((len(query) + 2).to_bytes(2, "big") + identity + query)
        return await _read(reader)
    finally:
        writer.close()
