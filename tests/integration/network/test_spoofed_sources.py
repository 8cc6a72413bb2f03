"""Packets with the address of a container of another network: they do not leave the network, so that no answers to them
come to that container.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from tests.support.rootless import Rootless
from tests.support.traffic import ROOT
from tests.support.waiting import wait_until

pytestmark = pytest.mark.needs("userns", "fuse", "tun", "pasta")

SEND = r"""
import socket, struct, sys
name, source, target, port = sys.argv[1:]
family = socket.AF_INET6 if ":" in target else socket.AF_INET
packed = [socket.inet_pton(family, each) for each in (source, target)]
payload = name.encode()

def checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total >> 16) + (total & 0xFFFF)
    return ~(total + (total >> 16)) & 0xFFFF

length = 8 + len(payload)
ports = struct.pack("!HHH", 5001, int(port), length)
pseudo = b"".join(packed) + struct.pack("!II", length, 17)
datagram = ports + struct.pack("!H", checksum(pseudo + ports + b"\0\0" + payload)) + payload
if family == socket.AF_INET6:
    header = struct.pack("!IHBB", 6 << 28, length, 17, 64)
else:
    header = struct.pack("!BBHHHBBH", 0x45, 0, 20 + length, 1, 0, 64, 17, 0)
raw = socket.socket(family, socket.SOCK_RAW, socket.IPPROTO_RAW)
for _ in range(5):
    raw.sendto(header + b"".join(packed) + datagram, (target, 0))
"""
"""Sends datagrams of an even length (RFC 768), with the source that it is given."""
LISTEN = r"""
import socket
udp = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
udp.bind(("::", 5001))
print("listening", flush=True)
while True:
    print(udp.recv(100).decode(), flush=True)
"""


class Echo(NamedTuple):
    """A UDP echo at an address of the host that is not a loopback one. `received` is what came."""

    address: str
    port: int
    received: list[bytes]


@pytest.fixture(params=["192.0.2.1", "2001:db8::1"], ids=["ipv4", "ipv6"])
def echo(request: pytest.FixtureRequest) -> Iterator[Echo]:
    family = socket.AF_INET6 if ":" in request.param else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as look:
        try:
            look.connect((request.param, 9))  # a range for documentation: the host's way out
        except OSError:
            pytest.skip("the host has no way out for this family")
        address = look.getsockname()[0]
    received: list[bytes] = []
    with socket.socket(family, socket.SOCK_DGRAM) as udp:
        udp.bind((address, 0))

        def answer() -> None:
            while True:
                data, client = udp.recvfrom(100)
                if data == b"end":
                    return
                received.append(data)
                udp.sendto(data, client)

        thread = threading.Thread(target=answer)
        thread.start()
        yield Echo(address, udp.getsockname()[1], received)
        with socket.socket(family, socket.SOCK_DGRAM) as last:
            last.sendto(b"end", udp.getsockname())
        thread.join(60)


def test_answers_come_to_the_own_network_alone(rootless: Rootless, echo: Echo) -> None:
    for number, name in ((71, "one"), (72, "two")):
        subnets = ("--subnet", f"10.{number}.0.0/24", "--subnet", f"fd00:{number}::/64", "--ipv6")
        rootless("network", "create", *subnets, name).ok()
    listen = (*ROOT, "python3", "-c", LISTEN)
    rootless("run", "-d", "--name", "victim", "--network", "two", *listen).ok()
    wait_until(lambda: "listening" in rootless("logs", "victim").stdout)
    victim = "fd00:72::2" if ":" in echo.address else "10.72.0.2"

    def send(network: str, name: str) -> None:
        words = (name, victim, echo.address, str(echo.port))
        run = ("run", "--rm", "--network", network, *ROOT, "python3", "-c", SEND, *words)
        rootless(*run).ok()

    send("one", "from another network")
    # What its own network lets pass shows that the others would have been seen.
    send("two", "from its own network")
    wait_until(lambda: "own" in rootless("logs", "victim").stdout)
    assert "another" not in rootless("logs", "victim").stdout
    assert b"from another network" not in echo.received


def test_internal_network_sends_nothing_outside(rootless: Rootless, echo: Echo) -> None:
    """Not by the way out of the others either, with a route to it: the holder passes no packet on."""
    subnets = ("--subnet", "10.71.0.0/24", "--subnet", "fd00:71::/64", "--ipv6")
    rootless("network", "create", "--internal", *subnets, "inside").ok()
    rootless("network", "create", "--subnet", "fd00:72::/64", "--ipv6", "open").ok()
    rootless("run", "-d", "--network", "open", *ROOT, "sleep", "1000").ok()
    script = """
import socket, subprocess, sys
family, option, gateway = socket.AF_INET, "-4", "10.71.0.1"
if ":" in sys.argv[1]:
    family, option, gateway = socket.AF_INET6, "-6", "fd00:71::1"
subprocess.run(["ip", option, "route", "add", "default", "via", gateway], check=True)
udp = socket.socket(family, socket.SOCK_DGRAM)
udp.sendto(b"from inside", (sys.argv[1], int(sys.argv[2])))
udp.settimeout(1)
try:
    print(udp.recv(100))
except TimeoutError:
    print("nothing")
"""
    options = ("--cap-add", "NET_ADMIN", "--network", "inside")
    run = ("run", "--rm", *options, *ROOT, "python3", "-c", script)
    assert rootless(*run, echo.address, str(echo.port)).ok().stdout == "nothing\n"
    assert echo.received == []


def test_first_packet_of_a_network_is_answered(rootless: Rootless, echo: Echo) -> None:
    """Within the second for which a new address of IPv6 is tentative (RFC 4862, section 5.4)."""
    rootless("network", "create", "--subnet", "fd00:71::/64", "--ipv6", "one").ok()
    script = """
import socket, sys
family = socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET
udp = socket.socket(family, socket.SOCK_DGRAM)
udp.settimeout(120)
udp.sendto(b"first", (sys.argv[1], int(sys.argv[2])))
print(udp.recv(100).decode())
"""
    run = ("run", "--rm", "--network", "one", *ROOT, "python3", "-c", script)
    assert rootless(*run, echo.address, str(echo.port)).ok().stdout == "first\n"
