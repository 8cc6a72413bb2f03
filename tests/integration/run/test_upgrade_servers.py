"""`system upgrade-servers`: another file server takes over while the container runs."""

import os

import pytest

from rootless.errors import RootlessError
from rootless.supervisor.client import MonitorClient
from rootless.supervisor.protocol import Kind
from tests.support.file_servers import server_of
from tests.support.releases import copied_tree, start_from
from tests.support.waiting import wait_until

pytestmark = pytest.mark.needs("userns", "fuse", "fuse-resend")


def start(rootless, script):
    running = rootless.popen("run", "-i", "--name", "c1", "--rootfs", "/", "sh", "-c", script)
    assert running.stdout.readline() == b"up\n"
    return running


def test_container_goes_on_with_another_server(rootless):
    script = "exec 5<>/f; rm /f; echo held >&5; echo up; read x; cat /proc/self/fd/5; ls /f"
    running = start(rootless, script)
    before = server_of(rootless)
    assert rootless("system", "upgrade-servers").ok().stdout == "c1\n"
    after = server_of(rootless)
    assert after != before
    with open(f"/proc/{after}/cmdline", "rb") as file:
        assert b"rootless.supervisor.file_servers.executed" in file.read()
    output, errors = running.communicate(b"\n", timeout=120)
    assert output == b"held\n"
    assert b"No such file" in errors
    wait_until(lambda: not os.path.exists(f"/proc/{after}"))


@pytest.mark.parametrize(
    ("executable", "message"),
    [("/bin/false", "ended"), ("/nosuch", "cannot execute /nosuch: no such file or directory")],
)
def test_server_that_does_not_come_up_leaves_the_old_one(rootless, executable, message):
    running = start(rootless, "echo up; read x; cat /etc/hostname > /copy && echo fine")
    before = server_of(rootless)
    (socket,) = rootless.runtime.rglob("control.sock")
    client = MonitorClient.connect(str(socket.parent))
    client.upgrade(executable, "")
    with pytest.raises(RootlessError, match=message):
        client.receive_until(Kind.DONE)
    client.close()
    assert server_of(rootless) == before
    output, _ = running.communicate(b"\n", timeout=120)
    assert output == b"fine\n"


def test_server_that_does_not_understand_the_description_is_replaced_by_one_that_does(
    rootless, tmp_path
):
    running = start(rootless, "echo up; read x; cat /etc/hostname > /copy && echo fine")
    tree = copied_tree(tmp_path)
    with open(tree / "rootless/containers/launch_description.py", "a") as module:
        module.write("def unpack(_): raise TypeError('of another release')\n")
    before = server_of(rootless)
    upgrade = start_from(rootless, tree, "system", "upgrade-servers")
    assert upgrade.communicate(timeout=120)[0] == b"c1\n"
    wait_until(lambda: is_own_server(server_of(rootless), before))
    output, _ = running.communicate(b"\n", timeout=120)
    assert output == b"fine\n"


def is_own_server(pid, before):
    """It has been forked by the monitor."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return pid != before and b"file_servers.executed" not in file.read()
    except FileNotFoundError:
        return False  # the record still has the one that has failed


def test_container_that_does_not_run_is_refused(rootless):
    rootless("create", "--name", "c1", "--rootfs", "/", "true").ok()
    result = rootless("system", "upgrade-servers", "c1", "nosuch")
    assert result.status == 1
    assert "is not running" in result.stderr
    assert "No such container: nosuch" in result.stderr
    assert rootless("system", "upgrade-servers").ok().stdout == ""
