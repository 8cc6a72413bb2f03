"""Published ports: real connections from the host to a server in the container."""

import contextlib
import json
import os
import signal
import socket
import threading
from pathlib import Path

import pytest

from tests.support.ports import free_port
from tests.support.traffic import ROOT, ask, children, exchange, is_free, serving
from tests.support.waiting import wait_until

pytestmark = pytest.mark.needs("userns", "fuse", "tun", "pasta", "slirp4netns")

DRIVERS = pytest.mark.parametrize("driver", ["pasta", "slirp4netns"])
GATEWAY = "10.0.2.2"


def started(rootless, *options, ports=(80,)):
    """The id of a container that serves."""
    container = rootless("run", "-d", *options, *ROOT, *serving(*ports)).ok().stdout.strip()
    wait_until(lambda: "listening" in rootless("logs", container).stdout)
    return container


def port_of(rootless, container, port):
    """The first port of the host of a port of the container."""
    first = rootless("port", container, port).ok().stdout.splitlines()[0]
    return int(first.rpartition(":")[2])


def monitor_of(rootless, container_id):
    path = rootless.data / "rootless/containers" / container_id / "container.json"
    return int(json.loads(path.read_text())["monitor_pid"])


def own_addresses():
    """An address of this machine that is not a loopback one, if it has any."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe, contextlib.suppress(OSError):
        probe.connect(("192.0.2.1", 9))  # sends nothing
        return [probe.getsockname()[0]]
    return []


@DRIVERS
def test_tcp_and_udp_reach_the_container(rootless, driver):
    container = started(
        rootless, "--network", driver, "-p", "80", "-p", "127.0.0.1::80/udp", "-p", "[::1]::81", ports=(80, 81)
    )  # fmt: skip
    port = port_of(rootless, container, "80/tcp")
    assert exchange("127.0.0.1", port, b"data") == (GATEWAY, b"data")
    assert exchange("::1", port, b"data") == (GATEWAY, b"data")
    assert exchange("::1", port_of(rootless, container, "81"), b"data") == (GATEWAY, b"data")
    udp = port_of(rootless, container, "80/udp")
    assert ask("127.0.0.1", udp, b"data") == f"{GATEWAY} data".encode()
    listed = rootless("ps", "--format", "{{.Ports}}").ok().stdout
    assert f"127.0.0.1:{udp}->80/udp" in listed
    assert f"0.0.0.0:{port}->80/tcp, [::]:{port}->80/tcp" in listed


@DRIVERS
def test_container_sees_the_address_of_its_client(rootless, driver):
    container = started(rootless, "--network", driver, "-p", "80", "-p", "80/udp")
    port = port_of(rootless, container, "80/tcp")
    for address in own_addresses():
        assert exchange("127.0.0.1", port, source=address)[0] == address
        assert exchange(address, port)[0] == address
        udp = port_of(rootless, container, "80/udp")
        assert ask(address, udp, b"x") == f"{address} x".encode()


@DRIVERS
def test_large_transfer_arrives_intact(rootless, driver):
    container = started(rootless, "--network", driver, "-p", "127.0.0.1::80")
    data = os.urandom(1 << 20) * 64
    assert exchange("127.0.0.1", port_of(rootless, container, "80"), data) == (GATEWAY, data)


def test_many_connections_at_once(rootless):
    container = started(rootless, "-p", "127.0.0.1::80")
    port = port_of(rootless, container, "80")
    with contextlib.ExitStack() as stack:
        connections = [
            stack.enter_context(socket.create_connection(("127.0.0.1", port), 60))
            for _ in range(400)
        ]
        for number, connection in enumerate(connections):
            connection.sendall(str(number).encode())
        for number, connection in enumerate(connections):
            expected = f"{GATEWAY}\n{number}".encode()
            received = b""
            while len(received) < len(expected):
                received += connection.recv(len(expected) - len(received))
            assert received == expected


def test_reset_is_passed_on(rootless):
    """A port that nothing listens on."""
    container = started(rootless, "-p", "127.0.0.1::90")
    port = port_of(rootless, container, "90")
    # The reset may come before connect(2) has returned.
    with (
        pytest.raises(ConnectionResetError),
        socket.create_connection(("127.0.0.1", port), 120) as connection,
    ):
        connection.recv(1)


def test_range_and_every_exposed_port(rootless):
    first = free_port()
    rootless(
        "run", "-d", "--name", "web", "-p", f"{first}:80", "-P", "--expose", "90-91/udp", *ROOT, *serving(80)
    ).ok()  # fmt: skip
    lines = rootless("port", "web").ok().stdout.splitlines()
    assert lines[:2] == [f"80/tcp -> 0.0.0.0:{first}", f"80/tcp -> [::]:{first}"]
    assert [line.split()[0] for line in lines[2:]] == ["90/udp", "90/udp", "91/udp", "91/udp"]
    document = json.loads(rootless("inspect", "web").ok().stdout)[0]
    assert document["NetworkSettings"]["Ports"]["80/tcp"][0] == {
        "HostIp": "0.0.0.0",
        "HostPort": str(first),
    }
    assert document["HostConfig"]["PublishAllPorts"] is True
    assert sorted(document["Config"]["ExposedPorts"]) == ["80/tcp", "90/udp", "91/udp"]


def test_port_of_a_range_that_is_free(rootless):
    with socket.create_server(("0.0.0.0", 0)) as taken:
        first = taken.getsockname()[1]
        rootless(
            "run", "-d", "--name", "web", "-p", f"{first}-{first + 5}:80", *ROOT, "sleep", "1000"
        ).ok()
        assert first < port_of(rootless, "web", "80") <= first + 5


def test_taken_port_is_an_error_before_the_start(rootless, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = rootless(
            "run", "--name", "web", "-p", f"127.0.0.1:{port}:80", "-v", f"{tmp_path}:/out", *ROOT, "touch", "/out/ran"
        )  # fmt: skip
    assert result.status == 125
    assert f"Bind for 127.0.0.1:{port} failed: port is already allocated" in result.stderr
    assert f"PID {os.getpid()}" in result.stderr
    assert not (tmp_path / "ran").exists()
    assert rootless("inspect", "web", "--format", "{{.State.Status}}").ok().stdout == "created\n"
    result = rootless("run", "--rm", "-p", f"{port}:80", "-p", f"{port}:81", *ROOT, "true")
    assert (result.status, "already allocated" in result.stderr) == (125, True)


def test_privileged_port_names_the_sysctl(rootless):
    first = int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text())
    if first == 0:
        pytest.skip("every user binds every port here")
    result = rootless("run", "--rm", "-p", f"{first - 1}:80", *ROOT, "true")
    assert result.status == 126
    assert f"net.ipv4.ip_unprivileged_port_start={first - 1}" in result.stderr


def test_ports_go_with_the_container(rootless):
    container = started(rootless, "-p", "127.0.0.1::80")
    port = port_of(rootless, container, "80")
    assert not is_free(port)
    rootless("stop", "-t", "0", container).ok()
    assert is_free(port)
    assert rootless("port", container).ok().stdout == ""


@pytest.mark.parametrize("victim", ["monitor", "container"])
def test_ports_go_whatever_is_killed(rootless, victim):
    container = started(rootless, "-p", "127.0.0.1::80")
    port = port_of(rootless, container, "80")
    monitor = monitor_of(rootless, container)
    pid = (
        monitor
        if victim == "monitor"
        else json.loads(rootless("inspect", container).stdout)[0]["State"]["Pid"]
    )
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: is_free(port))


def test_port_serves_again_when_its_process_is_killed(rootless):
    container = started(rootless, "-p", "127.0.0.1::80")
    port = port_of(rootless, container, "80")
    monitor = monitor_of(rootless, container)

    def forwarder():
        return children(monitor, "rootless-ports")

    first = wait_until(forwarder)
    os.kill(first[0], signal.SIGKILL)
    assert exchange("127.0.0.1", port, b"data") == (GATEWAY, b"data")
    assert forwarder() not in ([], first)


def test_client_that_ends_its_half_still_gets_the_answer(rootless):
    container = started(rootless, "-p", "127.0.0.1::80")
    with socket.create_connection(
        ("127.0.0.1", port_of(rootless, container, "80")), 20
    ) as connection:
        connection.sendall(b"question")
        connection.shutdown(socket.SHUT_WR)
        received = b""
        while part := connection.recv(99):
            received += part
    assert received == f"{GATEWAY}\nquestion".encode()


def test_udp_clients_get_their_own_answers(rootless):
    container = started(rootless, "-p", "127.0.0.1::80/udp")
    port = port_of(rootless, container, "80/udp")
    answers = {}

    def client(number):
        answers[number] = ask("127.0.0.1", port, str(number).encode())

    threads = [threading.Thread(target=client, args=(number,)) for number in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == {number: f"{GATEWAY} {number}".encode() for number in range(40)}


def test_ports_on_the_host_network_are_discarded(rootless):
    result = rootless("run", "--rm", "--network", "host", "-p", "8080:80", *ROOT, "true")
    assert result.status == 0
    assert result.stderr == "WARNING: Published ports are discarded when using host network mode\n"


def test_mistakes_of_port_are_dockers(rootless):
    rootless("run", "-d", "--name", "web", "-p", "127.0.0.1::80", *ROOT, "sleep", "1000").ok()
    for port, message in {
        "99": "No public port '99' published for web",
        "80/udp": "No public port '80/udp' published for web",
        "abc": 'invalid port (abc): strconv.ParseUint: parsing "abc": invalid syntax',
    }.items():
        result = rootless("port", "web", port)
        assert (result.status, message in result.stderr) == (1, True)
    assert rootless("port", "nosuch").status == 1
