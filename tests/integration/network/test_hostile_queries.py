"""What a container sends to the DNS of its network, other than queries: names stay there for the others, and the processes of
the networks go on.
"""

from __future__ import annotations

import json

import pytest

from tests.support.named_processes import processes_named
from tests.support.rootless import Rootless
from tests.support.traffic import ROOT, serving
from tests.support.waiting import wait_until

pytestmark = pytest.mark.needs("userns", "fuse", "tun", "pasta", "slirp4netns")

DATAGRAMS = r"""
import os, random, socket, struct
HEADER = struct.pack("!HHHHHH", 7, 0x0100, 1, 0, 0, 0)
QUESTION = b"\3web\0" + struct.pack("!HH", 1, 1)
packets = [
    b"", b"\0", HEADER, HEADER[:11], HEADER + b"\xc0\x0c" + struct.pack("!HH", 1, 1),  # a name that is its own tail
    HEADER + b"\xc0\x0e\xc0\x0c" + struct.pack("!HH", 1, 1),  # two names that are each other's tails
    HEADER + b"\xc0\xff" + struct.pack("!HH", 1, 1), HEADER + b"\x3f" + b"a" * 20,
    HEADER + b"\x80\0" + struct.pack("!HH", 1, 1), HEADER + b"\3web",
    HEADER + (b"\x3f" + b"a" * 63) * 5 + b"\0" + struct.pack("!HH", 1, 1),  # longer than a name can be
    HEADER + b"\1\0\0" + struct.pack("!HH", 1, 1), HEADER + b"\2\xff\xfe\0" + struct.pack("!HH", 1, 1),
    struct.pack("!HHHHHH", 7, 0x0100, 65535, 65535, 65535, 65535) + QUESTION,
    struct.pack("!HHHHHH", 7, 0x0100, 0, 0, 0, 0), struct.pack("!HHHHHH", 7, 0x8180, 1, 0, 0, 0) + QUESTION,
    struct.pack("!HHHHHH", 7, 0x7900, 1, 0, 0, 0) + QUESTION,  # an opcode that there is not
    struct.pack("!HHHHHH", 7, 0x2800, 1, 0, 1, 0) + QUESTION + QUESTION,  # an update
    struct.pack("!HHHHHH", 7, 0x0100, 1, 0, 0, 1) + QUESTION + b"\0" + struct.pack("!HHIH", 41, 65535, 0xffffffff, 65535),
    struct.pack("!HHHHHH", 7, 0x0100, 1, 0, 0, 1) + QUESTION + b"\0" + struct.pack("!HHIH", 250, 255, 0, 3) + b"\0\0\0",
    HEADER + QUESTION + os.urandom(60000), os.urandom(65000),
    HEADER + b"\1x" * 60 + b"\7in-addr\4arpa\0" + struct.pack("!HH", 12, 1),
    HEADER + b"\3web\0" + struct.pack("!HH", 252, 1), HEADER + b"\3web\0" + struct.pack("!HH", 255, 255),
]
random.seed(1)
for _ in range(3000):
    whole = bytearray(HEADER + QUESTION)
    for _ in range(random.randint(1, 6)):
        whole[random.randrange(len(whole))] = random.randrange(256)
    packets.append(bytes(whole[: random.randint(0, len(whole))]))
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
    udp.connect(("10.77.0.1", 53))
    for number, packet in enumerate(packets):
        udp.send(packet)
        if number % 64 == 0:  # the queue of the socket is not to be what keeps them away
            udp.settimeout(0.01)
            try:
                while True:
                    udp.recv(65535)
            except OSError:
                pass
print("sent", len(packets))
"""

CONNECTIONS = r"""
import resource, socket, struct, sys
_, most = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
QUERY = struct.pack("!HHHHHH", 7, 0x0100, 1, 0, 0, 0) + b"\3web\0" + struct.pack("!HH", 1, 1)
open_ones = []
for number in range(400):
    one = socket.socket()
    one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
    one.settimeout(10)
    open_ones.append(one)
    try:
        one.connect(("10.77.0.1", 53))
        kind = number % 5
        if kind == 1:
            one.send(b"\0")  # half of a length
        elif kind == 2:
            one.send(b"\xff\xff" + b"x")  # a message that never comes
        elif kind == 3:
            one.send(b"\0\1x")  # too short for one
        elif kind == 4:
            one.setblocking(False)
            for _ in range(2000):  # answers that are not read
                one.send(len(QUERY).to_bytes(2, "big") + QUERY)
    except OSError:
        pass  # closed by the other side
print("open", flush=True)
sys.stdin.readline()
"""

RESOLVE = "import socket; print(socket.gethostbyname('web'))"


def run(rootless: Rootless, script: str) -> str:
    return rootless("run", "--rm", "--network", "net", *ROOT, "python3", "-c", script).ok().stdout


@pytest.fixture
def pid_of_dns(rootless: Rootless) -> int:
    """A container `web` in the network `net`, whose DNS the process answers."""
    rootless("network", "create", "--subnet", "10.77.0.0/24", "net").ok()
    web = ("run", "-d", "--name", "web", "--network", "net", *ROOT, *serving(80))
    rootless(*web).ok()
    wait_until(lambda: "listening" in rootless("logs", "web").stdout)
    return dns_process(rootless)


def dns_process(rootless: Rootless) -> int:
    return processes_named(rootless, "rootless-dns")[-1]


def test_datagrams_that_are_no_queries_are_survived(rootless: Rootless, pid_of_dns: int) -> None:
    assert run(rootless, DATAGRAMS).startswith("sent ")
    assert run(rootless, RESOLVE) == "10.77.0.2\n"
    assert dns_process(rootless) == pid_of_dns
    log = rootless.runtime / "rootless/networks.log"
    assert "Traceback" not in log.read_text()


def test_connections_that_say_nothing_do_not_keep_others_from_names(
    rootless: Rootless, pid_of_dns: int
) -> None:
    command = ("run", "-i", "--rm", "--network", "net", *ROOT, "python3", "-c", CONNECTIONS)
    slow = rootless.popen(*command)
    assert slow.stdin is not None
    assert slow.stdout is not None
    assert slow.stdout.readline() == b"open\n"
    assert run(rootless, RESOLVE) == "10.77.0.2\n"
    # Nor from answers that are too long for a datagram, and from networks.
    by_tcp = r"""
import socket, struct
query = struct.pack("!HHHHHH", 7, 0x0100, 1, 0, 0, 0) + b"\3web\0" + struct.pack("!HH", 1, 1)
with socket.create_connection(("10.77.0.1", 53), 120) as one:
    one.sendall(len(query).to_bytes(2, "big") + query)
    print(one.recv(512)[-4:].hex())
"""
    assert run(rootless, by_tcp) == "0a4d0002\n"
    shown = rootless("inspect", "-f", "{{json .NetworkSettings.Networks}}", "web").ok().stdout
    assert json.loads(shown)["net"]["IPAddress"] == "10.77.0.2"
    slow.communicate(b"\n", timeout=120)
    assert dns_process(rootless) == pid_of_dns


def test_queries_of_an_internal_network_do_not_leave_it(rootless: Rootless) -> None:
    """Not through its DNS either, whatever name server the container was given."""
    rootless("network", "create", "--subnet", "10.77.0.0/24", "net").ok()
    rootless("network", "create", "--internal", "--subnet", "10.78.0.0/24", "inside").ok()
    names = r"""
import socket
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
udp.bind(("0.0.0.0", 53))
print("listening", flush=True)
while True:
    query, client = udp.recvfrom(512)
    print("asked", query[12:30], flush=True)
"""
    server = ("run", "-d", "--name", "names", "--network", "net", *ROOT, "python3", "-c", names)
    rootless(*server).ok()
    wait_until(lambda: "listening" in rootless("logs", "names").stdout)
    ask = "import socket; socket.gethostbyname('secret.example')"
    for network, asked in (("inside", False), ("net", True)):
        options = ("--network", network, "--dns", "10.77.0.2", "--dns-option", "timeout:1")
        rootless("run", "--rm", *options, *ROOT, "timeout", "5", "python3", "-c", ask)
        if asked:
            wait_until(lambda: "secret" in rootless("logs", "names").stdout)
        else:
            assert "secret" not in rootless("logs", "names").stdout


def test_container_cannot_answer_another_s_name(rootless: Rootless, pid_of_dns: int) -> None:
    """By its host name or an alias it can be found too; the other one's addresses stay among the answers."""
    command = ("run", "-d", "--name", "other", "--hostname", "web", "--network", "net")
    rootless(*command, *ROOT, *serving(80)).ok()
    find = "import socket; print(sorted(socket.gethostbyname_ex('web')[2]))"
    assert "10.77.0.2" in run(rootless, find)
    # The gateway's address cannot be had, from which the answers come.
    taken = rootless("run", "--rm", "--network", "net", "--ip", "10.77.0.1", *ROOT, "true")
    assert taken.status == 125
    assert "Address already in use" in taken.stderr
