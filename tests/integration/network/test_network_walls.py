"""What containers of a network cannot do, and what passes its DNS and its bridge."""

import subprocess
import sys

import pytest

from tests.support.named_processes import processes_named
from tests.support.traffic import CONNECT, ROOT, greeter, serving
from tests.support.waiting import wait_until

pytestmark = pytest.mark.needs("userns", "fuse", "tun", "pasta", "slirp4netns")

SPOOF = r"""
import socket, struct, sys
source, target = map(socket.inet_aton, sys.argv[1:3])
payload = struct.pack("!HHHH", 5000, 5001, 12, 0) + b"evil"
header = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(payload), 1, 0, 64, 17, 0, source, target)
raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
for _ in range(5):
    raw.sendto(header + payload, (sys.argv[2], 0))
print("sent")
"""
"""Sends datagrams to a port with a source address that is not its own."""
LISTEN = r"""
import socket
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
udp.bind(("0.0.0.0", 5001))
print("listening", flush=True)
while True:
    print(*udp.recvfrom(100), flush=True)
"""
NAME_SERVER = r"""
import socket, struct, threading
RECORDS = 1000

def answer(query, whole):
    question = query[12:query.index(b"\0", 12) + 5]
    if not whole:
        return query[:2] + struct.pack("!HHHHH", 0x8380, 1, 0, 0, 0) + question
    kind = question[-4:-2]
    count = RECORDS if kind == b"\0\1" else 0
    records = b"".join(
        struct.pack("!HHHIH", 0xC00C, 1, 1, 60, 4) + bytes([10, 9, n >> 8, n & 255]) for n in range(count)
    )
    return query[:2] + struct.pack("!HHHHH", 0x8180, 1, count, 0, 0) + question + records

def serve_tcp(listener):
    while True:
        with listener.accept()[0] as connection:
            size = int.from_bytes(connection.recv(2), "big")
            found = answer(connection.recv(size), True)
            connection.sendall(len(found).to_bytes(2, "big") + found)

udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
udp.bind(("0.0.0.0", 53))
threading.Thread(target=serve_tcp, args=(socket.create_server(("0.0.0.0", 53)),), daemon=True).start()
print("listening", flush=True)
while True:
    query, client = udp.recvfrom(512)
    udp.sendto(answer(query, False), client)
"""
"""A name server whose answers do not fit into a datagram."""
SUM = r"""
import hashlib, socket, sys
size = int(sys.argv[2])
block = hashlib.sha256(b"block").digest() * 2048
found = hashlib.sha256()
with socket.create_connection((sys.argv[1], 80)) as connection:
    import threading
    def send():
        for _ in range(size // len(block)):
            connection.sendall(block)
        connection.shutdown(socket.SHUT_WR)
    threading.Thread(target=send).start()
    while connection.recv(1) != b"\n":
        pass
    length = 0
    while part := connection.recv(1 << 20):
        found.update(part)
        length += len(part)
expected = hashlib.sha256(block * (size // len(block))).digest()
print(length == size, found.digest() == expected)
"""
"""Sends bytes through an echo that ends each direction by itself, and checks what comes back."""


@pytest.fixture
def nets(rootless):
    rootless("network", "create", "--subnet", "10.77.0.0/24", "one").ok()
    rootless("network", "create", "--subnet", "10.78.0.0/24", "two").ok()


def start(rootless, name, network, *command, options=()):
    rootless("run", "-d", "--name", name, "--network", network, *options, *ROOT, *command).ok()
    wait_until(lambda: "listening" in rootless("logs", name).stdout)


def run(rootless, network, *command, options=()):
    return rootless("run", "--rm", "--network", network, *options, *ROOT, *command)


def test_packet_with_another_s_address_does_not_leave_its_network(rootless, nets):
    start(rootless, "target", "two", "python3", "-c", LISTEN)
    for source in ("10.78.0.9", "10.77.0.9", "198.18.255.2"):
        sent = run(rootless, "one", "python3", "-c", SPOOF, source, "10.78.0.2")
        assert sent.ok().stdout == "sent\n"
    # A datagram of the network's own shows that the others would have been seen.
    run(rootless, "two", "python3", "-c", SPOOF, "10.78.0.9", "10.78.0.2").ok()
    wait_until(lambda: "evil" in rootless("logs", "target").stdout)
    logged = rootless("logs", "target").stdout
    assert "10.77.0.9" not in logged
    assert "198.18.255.2" not in logged
    assert logged.count("10.78.0.9") <= 5


STRAY = r"""
import socket, struct, sys
raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_TCP)
raw.connect(("192.0.2.1", 0))
for flags, port in ((3, 81), (2, 82)):
    segment = struct.pack("!HHIIBBHHH", 4444, port, 0, 0, 0x50, flags, 1024, 0, 0)
    address = socket.inet_aton(raw.getsockname()[0]) + socket.inet_aton("192.0.2.1")
    words = struct.unpack("!16H", address + struct.pack("!HH", 6, len(segment)) + segment)
    total = sum(words)
    total = (total & 0xFFFF) + (total >> 16)
    raw.send(segment[:16] + struct.pack("!H", ~(total + (total >> 16)) & 0xFFFF) + segment[18:])
"""
"""Sends a segment with SYN and FIN, which begins no connection, to one port, and the first one of a connection to another."""
WATCH = r"""
import socket
link = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM)
link.bind(("eth0", 3))  # what is sent is seen at ETH_P_ALL alone: packet(7)
print("watching", flush=True)
link.settimeout(120)
port = 0
while port != 82:
    packet, (_, _, kind, *_) = link.recvfrom(2000)
    port = int.from_bytes(packet[22:24], "big") if packet[0] == 0x45 and packet[9] == 6 else 0
    if kind == socket.PACKET_OUTGOING and port in (81, 82):
        print(port, socket.inet_ntoa(packet[12:16]), flush=True)
"""
"""Prints the port and the source of the segments above that leave through the interface of the way out."""


def test_segment_of_no_connection_does_not_leave_with_the_address_of_the_container(rootless, nets):
    """The program of the way out would take that address for the one to answer to, in place of its own."""
    start(rootless, "target", "one", *serving(80))
    holder = processes_named(rootless, "rootless-nets")[0]
    enter = ("nsenter", "-t", str(holder), "--user", "--preserve-credentials", "--net")
    with subprocess.Popen(
        (*enter, sys.executable, "-c", WATCH), stdout=subprocess.PIPE, text=True
    ) as watch:
        try:
            assert watch.stdout.readline() == "watching\n"
            run(rootless, "one", "python3", "-c", STRAY).ok()
            assert watch.stdout.readline() == "82 198.18.255.100\n"
        finally:
            watch.kill()


IMPOSTOR = r"""
import socket, struct
own = bytes.fromhex(open("/sys/class/net/eth0/address").read().strip().replace(":", ""))
gateway, victim = map(socket.inet_aton, ("10.77.0.1", "10.77.0.2"))
link = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
link.bind(("eth0", 0x0806))
for _ in range(20):
    for operation in (1, 2):
        body = struct.pack("!HHBBH6s4s6s4s", 1, 0x0800, 6, 4, operation, own, gateway, b"\xff" * 6, victim)
        link.send(b"\xff" * 6 + own + b"\x08\x06" + body)
print("sent")
"""
"""Tells all of its network that the gateway is at its own MAC address (RFC 826)."""
NEIGHBOURS = r"""
import socket
with open("/proc/net/arp") as table:
    print(*(line.split()[3] for line in table if line.startswith("10.77.0.1 ")))
print(socket.gethostbyname("victim"))
"""


def test_container_does_not_pass_for_the_gateway_of_its_network(rootless, nets):
    """Which answers names, and through which the others reach what is outside."""
    start(rootless, "victim", "one", *serving(80))
    look = ("exec", "victim", "python3", "-c", NEIGHBOURS)
    before = rootless(*look).ok().stdout
    assert before == "02:42:0a:4d:00:01\n10.77.0.2\n"
    assert run(rootless, "one", "python3", "-c", IMPOSTOR).ok().stdout == "sent\n"
    assert rootless(*look).ok().stdout == before


def test_capabilities_of_a_container_do_not_lead_out_of_an_internal_network(rootless):
    rootless("network", "create", "--internal", "--subnet", "10.79.0.0/24", "inside").ok()
    with greeter() as port:
        script = f"""
ip route add default via 10.79.0.1
python3 -c '{CONNECT}' 198.18.255.2 {port}
python3 -c '{CONNECT}' 10.79.0.1 {port}
"""
        result = run(rootless, "inside", "sh", "-c", script, options=("--cap-add", "NET_ADMIN"))
    assert "hello" not in result.stdout


def test_container_has_no_capabilities_over_the_bridges(rootless, nets):
    start(rootless, "target", "one", *serving(80))
    script = "ip link; ip link set eth0 master br0 2>&1; ip -o link | wc -l"
    result = run(rootless, "one", "sh", "-c", script, options=("--cap-add", "ALL"))
    assert "br-" not in result.stdout
    assert result.stdout.splitlines()[-1] == "2"


def test_answers_of_any_size_pass_the_dns(rootless, nets):
    start(rootless, "names", "one", "python3", "-c", NAME_SERVER)
    script = "import socket; print(len(socket.gethostbyname_ex('big.example')[2]))"
    asked = ("--dns", "10.77.0.2")
    assert run(rootless, "one", "python3", "-c", script, options=asked).ok().stdout == "1000\n"
    # Names of containers are still found.
    resolve = "import socket; print(socket.gethostbyname('names'))"
    assert (
        run(rootless, "one", "python3", "-c", resolve, options=asked).ok().stdout == "10.77.0.2\n"
    )


def test_many_bytes_pass_the_bridge_intact(rootless, nets):
    start(rootless, "echo", "one", *serving(80))
    size = 256 << 20
    assert (
        run(rootless, "one", "python3", "-c", SUM, "echo", str(size)).ok().stdout == "True True\n"
    )


def test_many_connections_to_a_published_port_of_a_network(rootless, nets):
    start(rootless, "echo", "one", *serving(80), options=("-p", "127.0.0.1:0:80"))
    port = int(rootless("port", "echo", "80").ok().stdout.rpartition(":")[2])
    import contextlib
    import socket

    with contextlib.ExitStack() as stack:
        connections = [
            stack.enter_context(socket.create_connection(("127.0.0.1", port), 120))
            for _ in range(400)
        ]
        for number, each in enumerate(connections):
            each.sendall(f"{number}\n".encode())
            each.shutdown(socket.SHUT_WR)
        for number, each in enumerate(connections):
            with each.makefile("rb") as file:
                assert file.read() == f"10.77.0.1\n{number}\n".encode()
