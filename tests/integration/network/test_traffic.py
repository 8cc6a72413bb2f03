"""A lot of traffic, and traffic of unusual shapes, between containers of a network and through published ports."""

from __future__ import annotations

import hashlib
import os
import resource
import socket
import threading
from collections.abc import Iterator

import pytest

from tests.support.rootless import Rootless
from tests.support.traffic import ROOT, ask
from tests.support.waiting import wait_until

pytestmark = pytest.mark.needs("userns", "fuse", "tun", "pasta", "slirp4netns")

CONNECTIONS = 2000
MEBIBYTES = 256
BLOCK = os.urandom(1 << 20)

UDP_ECHO = r"""
import selectors, socket
selector = selectors.DefaultSelector()
for family, address in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):
    udp = socket.socket(family, socket.SOCK_DGRAM)
    if family == socket.AF_INET6:
        udp.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    udp.bind((address, 7))
    selector.register(udp, selectors.EVENT_READ)
print("listening", flush=True)
while True:
    for key, _ in selector.select():
        data, peer = key.fileobj.recvfrom(65535)
        key.fileobj.sendto(data, peer)
"""

UDP_CLIENT = r"""
import os, socket, sys
for family in (socket.AF_INET, socket.AF_INET6):
    target = socket.getaddrinfo("echo", 7, family, socket.SOCK_DGRAM)[0][4]
    with socket.socket(family, socket.SOCK_DGRAM) as udp:
        udp.settimeout(120)
        udp.connect(target)
        for size in (0, 1, 512, 1400, 9000, 60000):  # the last are sent in fragments
            data = os.urandom(size)
            udp.send(data)
            assert udp.recv(65535) == data, size
    print(target[0])
"""

SUM = r"""
import socket
with socket.create_server(("0.0.0.0", 80)) as listener:
    print("listening", flush=True)
    while True:
        with listener.accept()[0] as connection:
            total = 0
            while data := connection.recv(1 << 16):
                total += len(data)
            connection.sendall(str(total).encode())
"""
"""Answers only when the client has ended its half."""

FIRST_TO_END = r"""
import socket
with socket.create_server(("0.0.0.0", 81)) as listener:
    print("listening", flush=True)
    while True:
        connection, _ = listener.accept()
        connection.sendall(b"ready")
        connection.shutdown(socket.SHUT_WR)
        total = 0
        while data := connection.recv(1 << 16):
            total += len(data)
        connection.close()
        print("received", total, flush=True)
"""
"""Ends its half first, and reads on."""

HALF_CLIENT = r"""
import socket
with socket.create_connection(("server", 80), 120) as connection:
    connection.sendall(bytes(3_000_000))
    connection.shutdown(socket.SHUT_WR)
    print(connection.recv(99).decode())
"""

KEEP = r"""
import asyncio

async def echo(reader, writer):
    while data := await reader.read(1 << 16):
        writer.write(data)
        await writer.drain()
    writer.close()

async def main():
    server = await asyncio.start_server(echo, None, 80, backlog=4096)
    print("listening", flush=True)
    await server.serve_forever()

asyncio.run(main())
"""

DIGEST = r"""
import hashlib, os, socket, sys
block, count = os.urandom(1 << 20), int(sys.argv[1])
with socket.create_server(("0.0.0.0", 80)) as listener:
    print("listening", flush=True)
    connection, _ = listener.accept()
    digest, buffer = hashlib.sha256(), bytearray(1 << 20)
    while size := connection.recv_into(buffer):
        digest.update(memoryview(buffer)[:size])
    connection.sendall(digest.digest())
    digest = hashlib.sha256()
    for number in range(count):
        for part in (number.to_bytes(8, "big"), block):
            digest.update(part)
            connection.sendall(part)
    connection.sendall(digest.digest())
"""
"""Answers what it receives with the digest of that, and with a stream whose end is the digest of it. Then it ends, with
megabytes of that on their way."""


def start(
    rootless: Rootless, name: str, script: str, *options: str, arguments: tuple[str, ...] = ()
) -> None:
    command = ("python3", "-c", script, *arguments)
    rootless("run", "-d", "--name", name, *options, *ROOT, *command).ok()
    wait_until(lambda: "listening" in rootless("logs", name).stdout)


def read_all(connection: socket.socket) -> bytes:
    received = bytearray()
    while part := connection.recv(1 << 20):
        received += part
    return bytes(received)


def port_of(rootless: Rootless, name: str, port: str) -> int:
    return int(rootless("port", name, port).ok().stdout.splitlines()[0].rpartition(":")[2])


@pytest.fixture
def network(rootless: Rootless) -> str:
    options = ("--subnet", "10.77.0.0/24", "--subnet", "fd00:77::/64", "--ipv6")
    rootless("network", "create", *options, "net").ok()
    return "net"


@pytest.fixture
def descriptors() -> Iterator[None]:
    """As many open files as the connections of a test need."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 2 * CONNECTIONS + 500
    if hard != resource.RLIM_INFINITY and hard < wanted:
        pytest.skip(f"a process can have {hard} open files here")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_udp_of_every_size_is_echoed_in_a_network(rootless: Rootless, network: str) -> None:
    ports = ("-p", "127.0.0.1::7/udp", "-p", "[::1]::7/udp")
    start(rootless, "echo", UDP_ECHO, "--network", network, *ports)
    run = ("run", "--rm", "--network", network, *ROOT, "python3", "-c", UDP_CLIENT)
    assert rootless(*run).ok().stdout == "10.77.0.2\nfd00:77::2\n"
    for line in rootless("port", "echo").ok().stdout.splitlines():
        address, _, port = line.partition(" -> ")[2].rpartition(":")
        for size in (1, 1400, 9000):
            data = os.urandom(size)
            assert ask(address.strip("[]"), int(port), data) == data


def test_either_side_ends_its_half_first(rootless: Rootless, network: str) -> None:
    start(rootless, "server", SUM, "--network", network, "-p", "127.0.0.1::80")
    run = ("run", "--rm", "--network", network, *ROOT, "python3", "-c", HALF_CLIENT)
    assert rootless(*run).ok().stdout == "3000000\n"
    with socket.create_connection(
        ("127.0.0.1", port_of(rootless, "server", "80")), 20
    ) as connection:
        connection.sendall(bytes(3_000_000))
        connection.shutdown(socket.SHUT_WR)
        assert connection.recv(99) == b"3000000"
        assert connection.recv(99) == b""
    start(rootless, "first", FIRST_TO_END, "--network", network, "-p", "127.0.0.1::81")
    with socket.create_connection(
        ("127.0.0.1", port_of(rootless, "first", "81")), 20
    ) as connection:
        assert read_all(connection) == b"ready"
        connection.sendall(bytes(3_000_000))
    wait_until(lambda: "received 3000000" in rootless("logs", "first").stdout)


@pytest.mark.usefixtures("descriptors")
@pytest.mark.parametrize("kind", ["bridge", "net"])
def test_many_connections_through_one_port_at_once(
    rootless: Rootless, network: str, kind: str
) -> None:
    start(rootless, "server", KEEP, "--network", kind, "-p", "127.0.0.1::80")
    port = port_of(rootless, "server", "80")
    connections: list[socket.socket] = []
    try:
        while len(connections) < CONNECTIONS:
            connections.append(socket.create_connection(("127.0.0.1", port), 120))
        # All are open before the first is used.
        for number, connection in enumerate(connections):
            connection.sendall(b"%08d" % number)
        for number, connection in enumerate(connections):
            assert connection.recv(8, socket.MSG_WAITALL) == b"%08d" % number
    finally:
        for connection in connections:
            connection.close()
    with socket.create_connection(("127.0.0.1", port), 120) as connection:
        connection.sendall(b"once more")
        assert connection.recv(9, socket.MSG_WAITALL) == b"once more"


TWICE = r"""
import socket, sys
for number in range(2):
    for address in sys.argv[1:]:
        with socket.create_connection((address, 80), 5) as connection:
            connection.sendall(b"data")
            assert connection.recv(4) == b"data"
    print("answered", number, flush=True)
    if not number:
        sys.stdin.readline()
"""
"""Exchanges a word with each address, and once more when it has read a line."""


def test_address_of_a_removed_container_is_reached_at_once(
    rootless: Rootless, network: str
) -> None:
    """Although the kernel still knows the addresses as those of another interface."""
    start(rootless, "old", KEEP, "--network", network)
    run = ("run", "-i", "--rm", "--network", network, *ROOT, "python3", "-c", TWICE)
    client = rootless.popen(*run, "10.77.0.2", "fd00:77::2")
    assert client.stdout is not None
    assert client.stdout.readline() == b"answered 0\n"
    rootless("rm", "-f", "old").ok()
    start(rootless, "new", KEEP, "--network", network)
    out, error = client.communicate(b"\n", timeout=120)
    assert (out, error) == (b"answered 1\n", b"")


NEIGHBOUR = r"""
import socket
socket.create_connection(("10.77.0.1", 53), 10).close()
with open("/proc/net/arp") as table:
    print(*(line.split()[3] for line in table if line.startswith("10.77.0.1 ")))
"""


def test_gateway_keeps_its_mac_address_while_containers_come_and_go(
    rootless: Rootless, network: str
) -> None:
    """Those that stay would not reach it, nor names and what is outside, until they had noticed."""
    run = ("run", "--rm", "--network", network, *ROOT, "python3", "-c", NEIGHBOUR)
    first = rootless(*run).ok().stdout  # the only container of the network
    assert first.startswith("02:42:")
    start(rootless, "server", KEEP, "--network", network)
    assert {rootless(*run).ok().stdout for _ in range(3)} == {first}


STUCK = r"""
import socket
with socket.create_server(("0.0.0.0", 80)) as listener:
    print("listening", flush=True)
    connection, _ = listener.accept()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    connection.settimeout(3)
    try:
        while True:
            connection.sendall(bytes(1 << 16))
    except TimeoutError:
        print("full", flush=True)
"""
"""Sends until nothing more is taken, then ends."""


def test_client_that_takes_nothing_does_not_hold_up_the_end(rootless: Rootless) -> None:
    start(rootless, "server", STUCK, "--network", "bridge", "-p", "127.0.0.1::80")
    port = port_of(rootless, "server", "80")
    with socket.create_connection(("127.0.0.1", port), 120) as connection:
        assert connection.recv(1) == b"\0"
        assert rootless("wait", "server").ok().stdout == "0\n"
        # The data is not complete, and must not look as if it were.
        with pytest.raises(ConnectionResetError):
            read_all(connection)


@pytest.mark.parametrize("kind", ["bridge", "net"])
def test_large_stream_arrives_intact(rootless: Rootless, network: str, kind: str) -> None:
    """A quarter of a GiB in each direction, of which neither side keeps more than a block."""
    options = ("--network", kind, "-p", "127.0.0.1::80")
    start(rootless, "server", DIGEST, *options, arguments=(str(MEBIBYTES),))
    port = port_of(rootless, "server", "80")
    with socket.create_connection(("127.0.0.1", port), 60) as connection:
        sent = hashlib.sha256()

        def send() -> None:
            for number in range(MEBIBYTES):
                for part in (number.to_bytes(8, "big"), BLOCK):
                    sent.update(part)
                    connection.sendall(part)
            connection.shutdown(socket.SHUT_WR)

        sender = threading.Thread(target=send)
        sender.start()
        answer = connection.recv(32, socket.MSG_WAITALL)
        sender.join()
        assert answer == sent.digest()
        received, buffer = hashlib.sha256(), bytearray(1 << 20)
        left = MEBIBYTES * (8 + len(BLOCK))
        while left:
            size = connection.recv_into(buffer, min(left, len(buffer)))
            assert size
            received.update(memoryview(buffer)[:size])
            left -= size
        assert connection.recv(32, socket.MSG_WAITALL) == received.digest()
        assert connection.recv(1) == b""
