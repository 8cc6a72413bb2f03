"""A network of the container's own, with a way out by pasta or slirp4netns."""

import json
import os
import signal
import socket
from pathlib import Path
from uuid import uuid4

import pytest

from tests.support.traffic import CONNECT, ROOT, children, greeter
from tests.support.waiting import wait_until

pytestmark = pytest.mark.needs("userns", "fuse", "tun", "pasta", "slirp4netns")

DRIVERS = pytest.mark.parametrize("driver", ["pasta", "slirp4netns"])
FOREVER = (*ROOT, "sleep", "1000")


def inspected(rootless, name):
    return json.loads(rootless("inspect", name).ok().stdout)[0]


def monitor_of(rootless, container_id):
    path = rootless.data / "rootless/containers" / container_id / "container.json"
    return int(json.loads(path.read_text())["monitor_pid"])


def program_of(rootless, container_id, driver):
    name = {"pasta": "passt", "slirp4netns": "slirp4netns"}[driver]
    monitor = monitor_of(rootless, container_id)
    # One that was killed may not have been waited for when the next is there.
    return wait_until(lambda: children(monitor, name) or children(monitor, driver))[-1]


def connect(address, port):
    return ("python3", "-c", CONNECT, address, str(port))


@DRIVERS
def test_interface_and_files_are_dockers(rootless, driver):
    script = "cat /etc/hosts /etc/resolv.conf; cat /sys/class/net/eth0/address; grep eth0 /proc/net/route"
    result = rootless(
        "run", "--rm", "--network", driver, "--hostname", "box.example.com", "--add-host", "a:1.2.3.4",
        "--mac-address", "02:42:ac:11:00:09", "--dns-search", "example.com", *ROOT, "sh", "-c", script,
    ).ok()  # fmt: skip
    lines = result.stdout.splitlines()
    assert "10.0.2.100\tbox.example.com box" in lines
    assert "1.2.3.4\ta" in lines
    assert "nameserver 10.0.2.3" in lines
    assert "search example.com" in lines
    assert "02:42:ac:11:00:09" in lines
    assert any(line.split()[:3] == ["eth0", "00000000", "0202000A"] for line in lines)


@DRIVERS
def test_host_loopback_is_reached_only_where_asked_for(rootless, driver):
    with greeter() as port:
        for address in ("127.0.0.1", "10.0.2.2"):
            result = rootless("run", "--rm", "--network", driver, *ROOT, *connect(address, port))
            assert "hello" not in result.ok().stdout
        asked = ("--add-host", "host.docker.internal:host-gateway")
        result = rootless(
            "run",
            "--rm",
            "--network",
            driver,
            *asked,
            *ROOT,
            *connect("host.docker.internal", port),
        )
        assert result.ok().stdout == "hello from the host\n"


@DRIVERS
def test_abstract_sockets_of_the_host_are_out_of_reach(rootless, driver):
    name = f"rootless-test-{uuid4().hex}"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"\0{name}")
        listener.listen()
        script = f"import socket; socket.socket(socket.AF_UNIX).connect('\\0{name}')"
        assert (
            rootless("run", "--rm", "--network", "host", *ROOT, "python3", "-c", script).status == 0
        )
        result = rootless("run", "--rm", "--network", driver, *ROOT, "python3", "-c", script)
    assert "ConnectionRefusedError" in result.stderr


@pytest.mark.needs("subuid")
def test_any_user_of_the_container_binds_low_ports(rootless):
    script = "import socket; socket.create_server(('0.0.0.0', 80)); print('bound')"
    result = rootless(
        "run", "--rm", "--network", "bridge", "--user", "1000", *ROOT, "python3", "-c", script
    )
    assert result.ok().stdout == "bound\n"


def test_inspect_and_ps_show_the_network(rootless):
    rootless("run", "-d", "--name", "web", "--network", "bridge", *FOREVER).ok()
    document = inspected(rootless, "web")
    settings = document["NetworkSettings"]
    assert document["HostConfig"]["NetworkMode"] == "bridge"
    assert (settings["IPAddress"], settings["IPPrefixLen"]) == ("10.0.2.100", 24)
    assert settings["Gateway"] == "10.0.2.2"
    assert list(settings["Networks"]) == ["bridge"]
    assert settings["Networks"]["bridge"]["MacAddress"].startswith("02:42:")
    listed = rootless("ps", "--filter", "network=bridge", "--format", "{{.Names}} {{.Networks}}")
    assert listed.ok().stdout == "web bridge\n"
    rootless("stop", "-t", "0", "web").ok()
    settings = inspected(rootless, "web")["NetworkSettings"]
    assert (settings["IPAddress"], list(settings["Networks"])) == ("", ["bridge"])


@DRIVERS
def test_helper_program_that_is_killed_is_started_again(rootless, driver):
    container = rootless("run", "-d", "--network", driver, *FOREVER).ok().stdout.strip()
    first = program_of(rootless, container, driver)
    pidfd = os.pidfd_open(first)
    signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    os.close(pidfd)
    wait_until(lambda: program_of(rootless, container, driver) != first)
    script = "grep -c 'eth0.*0202000A' /proc/net/route"
    wait_until(lambda: rootless("exec", container, "sh", "-c", script).stdout == "1\n")
    assert rootless("exec", container, "true").status == 0


@DRIVERS
def test_nothing_is_left_when_the_monitor_is_killed(rootless, driver):
    container = rootless("run", "-d", "--network", driver, *FOREVER).ok().stdout.strip()
    program = program_of(rootless, container, driver)
    os.kill(monitor_of(rootless, container), signal.SIGKILL)
    wait_until(lambda: not Path(f"/proc/{program}").exists())


def test_restarted_container_has_its_network(rootless):
    rootless("run", "-d", "--name", "web", "--network", "bridge", *FOREVER).ok()
    rootless("restart", "-t", "0", "web").ok()
    assert "eth0" in rootless("exec", "web", "cat", "/proc/net/route").ok().stdout
    rootless("stop", "-t", "0", "web").ok()
    rootless("start", "web").ok()
    assert "eth0" in rootless("exec", "web", "cat", "/proc/net/route").ok().stdout


def test_program_that_is_not_installed_is_an_error_before_anything_is_made(rootless, tmp_path):
    result = rootless("run", "--network", "nonsense", *ROOT, "true")
    assert result.status == 125
    assert "network nonsense not found" in result.stderr
    assert rootless("ps", "-aq").ok().stdout == ""


@DRIVERS
@pytest.mark.needs("subuid")
def test_users_keep_their_id(rootless, driver):
    script = "id -u; grep -c 0202000A /proc/net/route"
    result = rootless(
        "run", "--rm", "--network", driver, "--userns", "keep-id", *ROOT, "sh", "-c", script
    )
    assert result.ok().stdout == f"{os.getuid()}\n1\n"
