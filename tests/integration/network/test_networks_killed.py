"""Processes of networks that are killed, many containers at once, and what is left afterwards."""

import concurrent.futures
import contextlib
import json
import os
import signal
from functools import partial

import pytest

from tests.support.named_processes import processes_named
from tests.support.traffic import CONNECT, ROOT, serving
from tests.support.waiting import settled, wait_until

pytestmark = pytest.mark.needs("userns", "fuse", "tun", "pasta", "slirp4netns")

HOLDER, DNS = "rootless-nets", "rootless-dns"


@pytest.fixture
def web(rootless):
    """A server in a network, and a client that stays."""
    rootless("network", "create", "--subnet", "10.77.0.0/24", "net").ok()
    rootless("run", "-d", "--name", "web", "--network", "net", *ROOT, *serving(80)).ok()
    rootless("run", "-d", "--name", "side", "--network", "net", *ROOT, "sleep", "1000").ok()
    wait_until(lambda: "listening" in rootless("logs", "web").stdout)


def answer(rootless):
    return rootless("exec", "side", "python3", "-c", CONNECT, "web", "80").stdout


@pytest.mark.parametrize("which", [HOLDER, DNS])
def test_killed_process_is_replaced(rootless, web, which):
    assert answer(rootless) == "10.77.0.3\n"
    before = processes_named(rootless, which)
    os.kill(before[0], signal.SIGKILL)
    wait_until(lambda: set(processes_named(rootless, which)) - set(before))
    wait_until(lambda: answer(rootless) == "10.77.0.3\n")
    rootless("run", "--rm", "--network", "net", *ROOT, "python3", "-c", CONNECT, "web", "80").ok()


def test_holder_that_hangs_does_not_keep_a_container_from_ending(rootless, web):
    holder, *_ = processes_named(rootless, HOLDER)
    os.kill(holder, signal.SIGSTOP)
    try:
        rootless("stop", "-t", "0", "side", timeout=20).ok()
        rootless("rm", "-f", "web", timeout=20).ok()
    finally:
        os.kill(holder, signal.SIGCONT)
    wait_until(lambda: not processes_named(rootless, HOLDER))


def test_killed_monitor_takes_its_container_s_place_with_it(rootless, web):
    shown = json.loads(rootless("inspect", "web").ok().stdout)[0]
    record = rootless.data / "rootless/containers" / shown["Id"] / "container.json"
    os.kill(json.loads(record.read_text())["monitor_pid"], signal.SIGKILL)
    # Its address is free again for another container.
    result = wait_until(
        lambda: (
            (
                found := rootless(
                    "run", "--rm", "--network", "net", "--ip", "10.77.0.2", *ROOT, "true"
                )
            ).status
            == 0
            and found
        )
    )
    assert result.stderr == ""
    assert rootless("network", "inspect", "-f", "{{len .Containers}}", "net").ok().stdout == "1\n"


def test_containers_that_start_at_once_have_addresses_of_their_own(rootless):
    rootless("network", "create", "--internal", "--subnet", "10.77.0.0/24", "net").ok()

    def start(number):
        name = f"c{number:02}"
        return rootless(
            "run", "-d", "--name", name, "--network", "net", *ROOT, "sleep", "1000", timeout=300
        )

    count = int(os.environ.get("ROOTLESS_TEST_CONTAINERS", "12"))
    with concurrent.futures.ThreadPoolExecutor(count) as pool:
        for result in pool.map(start, range(count)):
            result.ok()
    document = json.loads(rootless("network", "inspect", "net").ok().stdout)[0]
    addresses = [each["IPv4Address"] for each in document["Containers"].values()]
    assert len(set(addresses)) == count
    last = f"c{count - 1:02}"
    script = "import socket, sys; print(*sorted({socket.gethostbyname(n) + '/24' for n in sys.argv[1:]}))"
    names = [f"c{number:02}" for number in range(count)]
    found = rootless("exec", last, "python3", "-c", script, *names).ok().stdout.split()
    assert found == sorted(addresses)
    rootless("rm", "-f", *names, timeout=300).ok()
    wait_until(lambda: not processes_named(rootless, HOLDER))


def test_starts_and_stops_leave_nothing(rootless, web):
    (first, *_) = processes_named(rootless, HOLDER)

    def counts():
        interfaces = rootless("exec", "side", "cat", "/proc/net/arp").ok()
        return len(os.listdir(f"/proc/{first}/fd")), interfaces.status

    before = settled(counts)
    for _ in range(int(os.environ.get("ROOTLESS_TEST_STARTS", "5"))):
        rootless("run", "--rm", "--network", "net", *ROOT, "true").ok()
    wait_until(lambda: counts() == before)
    links = os.path.join(rootless.runtime, "rootless/networks.json")
    with open(links, encoding="utf-8") as file:
        (places,) = json.load(file).values()
    assert sorted(places) == ["10.77.0.2", "10.77.0.3"]
    rootless("rm", "-f", "web", "side").ok()
    wait_until(lambda: not processes_named(rootless, HOLDER) and not processes_named(rootless, DNS))
    assert not os.path.exists(links)


def is_there_or_over(rootless, name, start):
    return processes_named(rootless, name) or start.poll() is not None


@pytest.mark.parametrize("victim", [HOLDER, DNS, "pasta"])
def test_process_that_is_killed_during_a_start_leaves_nothing(rootless, victim):
    """The container runs, or the start ends with one line."""
    rootless("network", "create", "net").ok()
    for _ in range(3):
        run = ("run", "--rm", "--network", "net", "-p", "127.0.0.1::80", *ROOT, "true")
        start = rootless.popen(*run)
        wait_until(partial(is_there_or_over, rootless, victim, start))
        for pid in processes_named(rootless, victim):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        _, error = start.communicate(timeout=120)
        assert start.returncode == 0 or error.count(b"\n") == 1, error
        assert b"Traceback" not in error
        assert not rootless("ps", "-aq").ok().stdout
        wait_until(lambda: not processes_named(rootless, HOLDER))
        wait_until(lambda: not processes_named(rootless, DNS))
