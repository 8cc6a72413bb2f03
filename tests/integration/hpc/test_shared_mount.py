"""Processes of `hpc` that have one image share one mount of it, and one file server."""

import io
import json
import os
import signal
import sys
import tarfile

import pytest

from tests.support.command import run_command
from tests.support.file_servers import open_files, volume_servers
from tests.support.waiting import wait_until

pytestmark = pytest.mark.needs("userns", "fuse", "busybox")

LOOP = 'echo "$(stat -c %i /bin/busybox)"; while read -r line; do sh -c "$line"; done'


@pytest.fixture
def shell(cluster):
    """Starts shells in containers; each executes the lines that it reads."""
    started = []

    def start(*options, image="box:1"):
        process = cluster.popen("exec", *options, image, "sh", "-c", LOOP, stdin=-1)
        started.append(process)
        process.place = process.stdout.readline()
        return process

    yield start
    for process in started:
        process.stdin.close()
        process.wait(120)


def answer(process, line):
    process.stdin.write(f"{line}\n".encode())
    process.stdin.flush()
    return process.stdout.readline().decode()


def monitors(cluster):
    """The PID of the monitor of each process."""
    records = (cluster.rootless.data / "rootless/containers").glob("*/container.json")
    found = [json.loads(each.read_text()) for each in records]
    return {record["pid"]: record["monitor_pid"] for record in found}


def has_device(pid):
    """Whether a monitor has what another server needs."""
    return any(name.endswith("/fuse") for name in open_files(pid))


def has_no_server(cluster):
    return not list((cluster.rootless.runtime / "rootless").glob("volumes*/*/control.sock"))


def test_processes_of_one_image_have_one_server_and_one_mount(cluster, shell):
    running = [shell() for _ in range(3)]
    assert len({process.place for process in running}) == 1
    assert len(volume_servers(cluster.rootless)) == 1
    for process in running:
        process.stdin.close()
        assert process.wait(120) == 0
    wait_until(lambda: has_no_server(cluster))


def test_run_and_hpc_share_in_an_account_with_one_id(cluster, shell):
    with open("/etc/subuid") as file:
        if any(line.startswith(f"{os.environ['USER']}:") for line in file):
            pytest.skip("this account has subordinate ids, whose owners a mount of `run` shows")
    shell()
    cluster.rootless("run", "-d", "--read-only", "box:1", "sleep", "1000").ok()
    assert len(volume_servers(cluster.rootless)) == 1
    cluster.rootless.remove_containers()


def test_a_killed_server_is_replaced(cluster, shell):
    running = [shell() for _ in range(2)]
    wait_until(lambda: all(has_device(pid) for pid in monitors(cluster).values()))
    (server,) = volume_servers(cluster.rootless)
    os.kill(server, signal.SIGKILL)
    for process in running:
        assert answer(process, "wc -c </etc/group").strip() != "0"
    wait_until(lambda: volume_servers(cluster.rootless) not in ([], [server]))


def test_processes_go_on_without_the_monitor_that_started_the_server(cluster, shell):
    first, second = shell(), shell()
    os.kill(monitors(cluster)[first.pid], signal.SIGKILL)
    for process in (first, second):
        assert answer(process, "tail -n 1 /etc/group") == "worker:x:1000:\n"


def test_files_of_all_owners_are_the_users_own(cluster, busybox_image, tmp_path):
    image = tmp_path / "owners.tar"
    with tarfile.open(busybox_image) as old, tarfile.open(image, "w") as new:
        for member in old:
            new.addfile(member, old.extractfile(member) if member.isreg() else None)
        member = tarfile.TarInfo("srv/secret")
        member.size, member.mode, member.uid, member.gid = 7, 0o600, 33, 33
        new.addfile(member, io.BytesIO(b"secret\n"))
    cluster.rootless("import", image, "owners:1").ok()
    script = "stat -c %u /srv/secret; cat /srv/secret"
    assert cluster.text("exec", "owners:1", "sh", "-c", script) == f"{os.getuid()}\nsecret\n"


def test_root_of_hpc_shares_with_run(cluster, shell):
    inside = shell("--fakeroot")
    cluster.rootless("run", "-d", "--read-only", "box:1", "sleep", "1000").ok()
    assert len(volume_servers(cluster.rootless)) == 1
    assert answer(inside, "id -u") == "0\n"
    cluster.rootless.remove_containers()


@pytest.mark.parametrize("options", [(), ("--writable-tmpfs",)])
def test_a_command_that_cannot_be_executed_is_an_error_at_once(cluster, options):
    """The process that is to become the command has the mount itself: nothing waits for its end before it knows."""
    process = cluster.popen("exec", *options, "box:1", "/no/such/program", stderr=-1)
    _, error = process.communicate(timeout=15)
    assert process.returncode == 127
    assert error == b'rootless: exec: "/no/such/program": no such file or directory\n'
    wait_until(lambda: has_no_server(cluster))


FAILING = """
import errno
from rootless.runtime import nested
from rootless.syscalls import processes

def fail(*arguments):
    raise OSError(errno.ENOSPC, "No space left on device")

{function} = fail
from rootless.__main__ import main
main()
"""
"""The program with a system call that fails, as it does where a limit of the account has been reached."""


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        pytest.param(
            "processes.unshare",
            "rootless: cannot create the container's namespaces: No space left on device",
            id="in the process that becomes the command",
        ),
        pytest.param(
            "nested.write_maps_below",
            "rootless: cannot run the container: no space left on device",
            id="in the monitor",
        ),
    ],
)
def test_namespaces_that_cannot_be_made_are_an_error_at_once(cluster, function, expected):
    """The process that is to become the command has the mount, for whose end the monitor waits."""
    program = FAILING.format(function=function)
    argv = [sys.executable, "-c", program, "hpc", "exec", "box:1", "true"]
    result = run_command(argv, env=cluster.env, cwd=cluster.cwd, timeout=120)
    assert result.status == 125
    assert result.stderr.splitlines()[0] == expected
    wait_until(lambda: has_no_server(cluster))


KILLED = """
import os
from rootless.syscalls import processes

def fork_and_end(*arguments):
    pid, pidfd = fork_into(*arguments)
    if pid:
        os._exit(1)
    return pid, pidfd

fork_into, processes.fork_into = processes.fork_into, fork_and_end
from rootless.__main__ import main
main()
"""
"""The program in which a process that has forked a server into a user namespace ends before it has written the maps."""


def test_a_server_without_id_maps_ends_and_the_container_has_another_root(cluster):
    argv = [sys.executable, "-c", KILLED, "hpc", "exec", "box:1", "echo", "done"]
    result = run_command(argv, env=cluster.env, cwd=cluster.cwd, timeout=120)
    assert result.ok().stdout == "done\n"


def test_a_client_that_comes_while_the_server_ends_starts_another(cluster, shell):
    """A process that has left the container keeps the mount, and so the server's process, after the last client."""
    first = shell()
    first.stdin.write(b"sleep 1000 >/dev/null & echo $!\n")
    first.stdin.flush()
    kept = int(first.stdout.readline())
    (server,) = volume_servers(cluster.rootless)
    os.kill(server, signal.SIGSTOP)
    try:
        first.stdin.close()
        first.wait(120)
        late = cluster.popen("exec", "box:1", "echo", "done")
        wait_until(
            lambda: list((cluster.rootless.runtime / "rootless").glob("volumes*/image-*.lock"))
        )
        os.kill(server, signal.SIGCONT)
        assert late.communicate(timeout=120)[0] == b"done\n"
    finally:
        os.kill(server, signal.SIGCONT)
        os.kill(kept, signal.SIGKILL)
    wait_until(lambda: has_no_server(cluster))
