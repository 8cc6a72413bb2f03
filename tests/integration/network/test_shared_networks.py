"""A container in the network of another one."""

import pytest

from tests.support.traffic import CONNECT, ROOT, serving
from tests.support.waiting import wait_until

pytestmark = pytest.mark.needs("userns", "fuse", "tun", "pasta", "slirp4netns")


@pytest.fixture
def web(rootless):
    rootless(
        "run",
        "-d",
        "--name",
        "web",
        "--network",
        "bridge",
        "--hostname",
        "box",
        *ROOT,
        *serving(80),
    ).ok()
    wait_until(lambda: "listening" in rootless("logs", "web").stdout)
    return "container:web"


def test_loopback_and_names_are_shared(rootless, web):
    shared = ("run", "--rm", "--network", web, *ROOT)
    result = rootless(*shared, "python3", "-c", CONNECT, "127.0.0.1", "80").ok()
    assert result.stdout == "127.0.0.1\n"
    script = "uname -n; cat /etc/hosts; stat -Lc %i /proc/self/ns/net; cat /proc/net/route"
    inside = rootless("exec", "web", "sh", "-c", script).ok().stdout
    assert rootless(*shared, "sh", "-c", script).ok().stdout == inside


def test_low_ports_are_bound_by_every_user(rootless, web):
    script = "import socket; socket.create_server(('0.0.0.0', 81)); print('bound')"
    result = rootless(
        "run", "--rm", "--network", web, "--user", "1000", *ROOT, "python3", "-c", script
    )
    assert result.ok().stdout == "bound\n"


def test_exec_enters_the_network(rootless, web):
    rootless("run", "-d", "--name", "side", "--network", web, *ROOT, "sleep", "1000").ok()
    script = "stat -Lc %i /proc/self/ns/net"
    found = {rootless("exec", name, "sh", "-c", script).ok().stdout for name in ("web", "side")}
    assert len(found) == 1
    shown = rootless(
        "inspect",
        "side",
        "--format",
        "{{.HostConfig.NetworkMode}} {{json .NetworkSettings.Networks}}",
    )
    identity = rootless("inspect", "web", "--format", "{{.Id}}").ok().stdout.strip()
    assert shown.ok().stdout == f"container:{identity} {{}}\n"


def test_mistakes_are_dockers(rootless):
    rootless("create", "--name", "never", *ROOT, "true").ok()
    for words, message in {
        ("container:nosuch",): "joining network namespace of container: No such container: nosuch",
        (
            "container:never",
        ): "cannot join network namespace of a non running container: container never is created",
        (
            "container:never",
            "--hostname",
            "h",
        ): "conflicting options: hostname and the network mode",
        ("container:never", "--dns", "1.1.1.1"): "conflicting options: dns and the network mode",
        ("container:never", "--add-host", "a:1.2.3.4"): (
            "conflicting options: custom host-to-IP mapping and the network mode"
        ),
    }.items():
        result = rootless("run", "--rm", "--network", *words, *ROOT, "true")
        assert (result.status, message in result.stderr) == (125, True), result.stderr


def test_volumes_are_refused_beside_it(rootless, web):
    result = rootless("run", "--rm", "--network", web, "-v", "data:/data", *ROOT, "true")
    assert (result.status, "cannot mount a volume" in result.stderr) == (125, True)
