"""The PID, IPC and UTS namespaces of another container."""

import pytest

from tests.support.traffic import ROOT

pytestmark = pytest.mark.needs("userns", "fuse")


@pytest.fixture
def main(rootless):
    options = ("--network", "none", "--hostname", "box")
    rootless("run", "-d", "--name", "main", *options, *ROOT, "sleep", "1000").ok()
    return "container:main"


def namespaces(*names):
    return ("sh", "-c", f"for n in {' '.join(names)}; do readlink /proc/self/ns/$n; done")


def test_namespaces_are_those_of_the_other_container(rootless, main):
    names = ("pid", "ipc", "uts", "net")
    shared = ("--pid", main, "--ipc", main, "--uts", main, "--network", main)
    inside = rootless("exec", "main", *namespaces(*names)).ok().stdout
    assert rootless("run", "--rm", *shared, *ROOT, *namespaces(*names)).ok().stdout == inside
    own = rootless("run", "--rm", "--network", "none", *ROOT, *namespaces(*names)).ok().stdout
    assert not set(own.split()) & set(inside.split())


def test_processes_of_the_other_container_are_seen_and_signalled(rootless, main):
    shared = ("run", "--rm", "--network", "none", "--pid", main, *ROOT)
    assert "sleep\x001000" in rootless(*shared, "cat", "/proc/1/cmdline").ok().stdout
    rootless(*shared, "kill", "-0", "1").ok()
    rootless("stop", "-t", "0", "main").ok()
    refused = rootless(*shared, "true")
    assert refused.status == 125
    assert "cannot join pid namespace of a non running container" in refused.stderr


def test_shared_memory_is_that_of_the_other_container(rootless, main):
    shared = ("run", "--rm", "--network", "none", "--ipc", main, *ROOT)
    rootless(*shared, "sh", "-c", "echo text > /dev/shm/file").ok()
    assert rootless("exec", "main", "cat", "/dev/shm/file").ok().stdout == "text\n"
    assert rootless(*shared, "ls", "-d", "/dev/mqueue").ok().stdout == "/dev/mqueue\n"


def test_host_name_is_that_of_the_other_container(rootless, main):
    shared = ("run", "--rm", "--network", "none", "--uts", main, *ROOT)
    assert rootless(*shared, "sh", "-c", "uname -n; cat /etc/hostname").ok().stdout == "box\nbox\n"


def test_end_of_a_container_leaves_the_other_one(rootless, main):
    rootless(
        "run", "-d", "--name", "side", "--network", "none", "--pid", main, *ROOT, "sleep", "999"
    ).ok()
    assert rootless("exec", "side", "cat", "/proc/1/cmdline").ok().stdout == "sleep\x001000\x00"
    shown = rootless("inspect", "-f", "{{.HostConfig.PidMode}}", "side").ok().stdout
    assert shown == f"container:{rootless('inspect', '-f', '{{.Id}}', 'main').ok().stdout}"
    rootless("rm", "-f", "side").ok()
    assert rootless("exec", "main", "true").ok().stdout == ""


def test_volume_of_the_other_container_and_its_namespaces(rootless):
    rootless(
        "run",
        "-d",
        "--name",
        "main",
        "--network",
        "none",
        "-v",
        "data:/data",
        *ROOT,
        "sleep",
        "1000",
    ).ok()
    shared = ("run", "--rm", "--network", "container:main", "--volumes-from", "main", *ROOT)
    rootless(*shared, "sh", "-c", "echo text > /data/file").ok()
    assert rootless("exec", "main", "cat", "/data/file").ok().stdout == "text\n"


def test_namespaces_of_two_containers_are_refused(rootless, main):
    result = rootless("run", "--rm", "--pid", main, "--ipc", "container:other", *ROOT, "true")
    assert result.status == 125
    assert "the namespaces of two containers cannot be shared" in result.stderr
