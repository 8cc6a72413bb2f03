"""The way out of the networks that is killed: containers go on among themselves, and have a way out again."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.rootless import Rootless
from tests.support.traffic import CONNECT, ROOT, children, greeter, serving
from tests.support.waiting import wait_until

pytestmark = pytest.mark.needs("userns", "fuse", "tun", "pasta", "slirp4netns")

TALK = r"""
import socket, sys
connection = socket.create_connection(("web", 80), 120)
stream = connection.makefile("rwb", buffering=0)
stream.readline()  # the address that the server saw
print("talking", flush=True)
for line in sys.stdin.buffer:
    stream.write(line)
    print(stream.readline().decode(), end="", flush=True)
"""
"""Passes lines to a server over one connection, and prints the echo of each."""
LOOPBACK = "host.docker.internal"
TO_HOST = ("--add-host", f"{LOOPBACK}:host-gateway")


def processes(rootless: Rootless, *names: str) -> list[int]:
    """PIDs of the processes with one of the names that come from this store's holder."""
    marker = f"XDG_RUNTIME_DIR={rootless.runtime}".encode()
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            is_one = (entry / "comm").read_text().strip() in names
            if is_one and marker in (entry / "environ").read_bytes().split(b"\0"):
                found.append(int(entry.name))
        except OSError:
            continue
    return found


@pytest.fixture
def port(rootless: Rootless) -> Iterator[int]:
    """Of a server on the host's loopback address; in the network are `web`, which serves, and `side`, which may reach it."""
    rootless("network", "create", "--subnet", "10.77.0.0/24", "net").ok()
    rootless("run", "-d", "--name", "web", "--network", "net", *ROOT, *serving(80)).ok()
    side = ("run", "-d", "--name", "side", "--network", "net", *TO_HOST, *ROOT, "sleep", "1000")
    rootless(*side).ok()
    wait_until(lambda: "listening" in rootless("logs", "web").stdout)
    with greeter() as number:
        yield number


@pytest.mark.parametrize("victim", ["program", "its starter"])
def test_killed_way_out_is_replaced(rootless: Rootless, port: int, victim: str) -> None:
    def outside() -> str:
        return rootless("exec", "side", "python3", "-c", CONNECT, LOOPBACK, str(port)).stdout

    assert outside() == "hello from the host\n"
    client = rootless.popen("exec", "-i", "side", "python3", "-c", TALK)
    assert client.stdin is not None
    assert client.stdout is not None
    assert client.stdout.readline() == b"talking\n"
    nets = processes(rootless, "rootless-nets")
    (starter,) = (pid for holder in nets for pid in children(holder, "rootless-nets"))
    (program,) = children(starter, "")
    os.kill(program if victim == "program" else starter, signal.SIGKILL)
    for word in (b"one\n", b"two\n"):
        client.stdin.write(word)
        client.stdin.flush()
        assert client.stdout.readline() == word
    client.stdin.close()
    assert client.wait(120) == 0
    wait_until(lambda: outside() == "hello from the host\n")
    wait_until(lambda: not Path(f"/proc/{program}").exists())
    log = (rootless.runtime / "rootless/networks.log").read_text().splitlines()
    assert len([line for line in log if "way out of the networks" in line]) == 1
    # New containers have both too.
    run = ("run", "--rm", "--network", "net", *TO_HOST, *ROOT, "python3", "-c", CONNECT)
    assert rootless(*run, LOOPBACK, str(port)).ok().stdout == "hello from the host\n"
    assert rootless(*run, "web", "80").ok().stdout == "10.77.0.4\n"
    rootless("rm", "-f", "web", "side").ok()
    wait_until(lambda: not processes(rootless, "rootless-nets", "rootless-dns"))
