"""The monitor as a program of its own: created here and started there, by fork and by exec, with one
client and with several, and what each does when the other is wrong or gone."""

import json
import os
import select
import signal
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import pytest

from rootless.containers.storage_paths import StoragePaths
from rootless.errors import NotFoundError, RootlessError
from rootless.supervisor.client import MonitorClient
from rootless.supervisor.control_socket import connect
from rootless.supervisor.protocol import VERSION, Kind
from tests.integration.run.test_deaths import WAIT, assert_gone, children, roles, start
from tests.support.command import run_command
from tests.support.waiting import assert_stays, wait_until

pytestmark = pytest.mark.needs("userns", "fuse")

IN_A_THREAD = """
import sys, threading
from rootless import Engine, ContainerOptions
results = []

def work():
    results.append(Engine().run(ContainerOptions(rootfs="/", command=("sh", "-c", sys.argv[1]), remove=True)))

other = threading.Thread(target=threading.Event().wait, daemon=True)
other.start()
if sys.argv[2] == "main":
    work()
else:
    worker = threading.Thread(target=work)
    worker.start()
    worker.join()
sys.exit(results[0].status)
"""

STAYS = """
import os, sys, threading
from rootless import Engine, ContainerOptions

if sys.argv[1] == "several":
    threading.Thread(target=threading.Event().wait, daemon=True).start()
engine = Engine()
engine.run_detached(ContainerOptions(rootfs="/", command=("true",), name="held"))
engine.wait("held")
engine.start("held")
engine.wait("held")
try:
    print("waits for", os.waitpid(-1, os.WNOHANG))
except ChildProcessError:
    print("no child")
"""


@pytest.mark.parametrize("threads", ["one", "several"])
def test_program_that_stays_has_no_monitor_to_wait_for(rootless, threads):
    argv = [sys.executable, "-c", STAYS, threads]
    shown = run_command(argv, env=rootless.env).ok().stdout
    assert shown == "no child\n"
    rootless("rm", "held").ok()


@pytest.fixture
def engine_threads(rootless):
    """Runs a script in a container from a program with several threads."""

    def run(script, where="main", **options):
        return subprocess.run(
            [sys.executable, "-c", IN_A_THREAD, script, where],
            env=rootless.env,
            capture_output=True,
            timeout=120,
            check=False,
            **options,
        )

    return run


@pytest.mark.parametrize("where", ["main", "worker"])
def test_program_with_threads_runs_a_container(rootless, engine_threads, where):
    done = engine_threads("echo out; echo err >&2; exit 7", where)
    assert (done.stdout, done.stderr, done.returncode) == (b"out\n", b"err\n", 7)
    assert rootless("ps", "-aq").ok().stdout == ""


def test_executed_monitor_takes_no_module_of_the_working_directory(rootless, tmp_path):
    (tmp_path / "rootless").mkdir()
    for name in ("rootless/__init__.py", "marshal.py", "select.py", "gc.py"):
        (tmp_path / name).write_text("raise SystemExit('the wrong one')")
    tree = str(Path(__file__).parents[3])
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            f"import sys; sys.path[0] = {tree!r}\n{IN_A_THREAD}",
            "exit 6",
            "main",
        ],
        env=rootless.env,
        cwd=tmp_path,
        capture_output=True,
        timeout=120,
        check=False,
    )
    assert (done.stderr, done.returncode) == (b"", 6)


def test_error_of_an_executed_monitor_keeps_its_status(rootless):
    code = (
        "import threading\nfrom rootless import Engine, ContainerOptions\n"
        "threading.Thread(target=threading.Event().wait, daemon=True).start()\n"
        "from rootless.errors import CommandNotFoundError\n"
        "try:\n    Engine().run(ContainerOptions(rootfs='/', command=('nosuch',), remove=True))\n"
        "except CommandNotFoundError as error:\n    print(error.exit_status, error.message)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=rootless.env,
        capture_output=True,
        timeout=120,
        check=False,
    )
    assert done.stdout.startswith(b'127 exec: "nosuch"'), done.stderr


@pytest.fixture
def connected():
    """Connects to a monitor, and says HELLO."""
    clients = []

    def connect_to(directory):
        clients.append(MonitorClient.connect(directory))
        return clients[-1]

    yield connect_to
    for client in clients:
        client.close()


@pytest.fixture
def created(rootless):
    """Creates a container in a process that then ends: (control directory, container, monitor)."""

    def create(*words):
        done = subprocess.run(
            [sys.executable, "-m", "tests.support.created", *words],
            env=rootless.env,
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        )
        directory, pid, monitor = done.stdout.split()
        monitors.append(os.pidfd_open(int(monitor)))
        return directory, int(pid), int(monitor)

    monitors = []
    yield create
    for each in monitors:
        try:
            signal.pidfd_send_signal(each, signal.SIGTERM)
        except ProcessLookupError:
            pass
        assert select.select([each], [], [], 120)[0]
        os.close(each)


def output_of(message):
    """What the container writes to its standard output, to its end."""
    streams = dict(zip(message.fields["streams"], message.descriptors, strict=True))
    os.set_blocking(streams[1], True)
    data = b""
    while piece := os.read(streams[1], 65536):
        data += piece
    for descriptor in streams.values():
        os.close(descriptor)
    return data


@pytest.mark.parametrize("how", [(), ("--threads",)])
def test_start_comes_from_another_process_than_create(rootless, created, how, connected):
    directory, pid, _ = created(*how, "sh", "-c", "echo started; exit 5")
    assert "Created" in rootless("ps", "-a").ok().stdout
    assert os.readlink(f"/proc/{pid}/ns/user") != os.readlink("/proc/self/ns/user")
    client = connected(directory)
    client.attach()
    client.start()
    attached = client.receive_until(Kind.ATTACHED)
    client.receive_until(Kind.RUNNING)
    assert output_of(attached) == b"started\n"
    assert client.receive_until(Kind.EXITED).fields["status"] == 5
    client.close()
    assert rootless("inspect", "-f", "{{.State.ExitCode}}", "held").ok().stdout == "5\n"
    assert not Path(directory).exists()


def test_request_of_a_client_that_has_ended_is_carried_out(rootless):
    argv = [sys.executable, "-m", "tests.support.created", "--start", "sh", "-c", "exit 5"]
    subprocess.run(argv, env=rootless.env, timeout=120, check=True)
    state = ("inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", "held")
    wait_until(lambda: rootless(*state).ok().stdout == "exited 5\n")


def test_created_container_has_not_run_its_command(rootless, created, tmp_path):
    mark = tmp_path / "mark"
    directory, pid, _ = created("touch", str(mark))
    assert Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0] != b"touch"
    rootless("rm", "-f", "held").ok()
    assert not mark.exists()
    assert not Path(f"/proc/{pid}").exists()
    assert not Path(directory).exists()
    assert rootless("ps", "-aq").ok().stdout == ""


def test_second_start_is_refused_and_the_container_goes_on(created, connected):
    directory, _, _ = created("sh", "-c", WAIT)
    first, second = connected(directory), connected(directory)
    first.start()
    first.receive_until(Kind.RUNNING)
    second.receive_until(Kind.RUNNING)
    second.start()
    with pytest.raises(RootlessError, match="the container has been started already"):
        second.receive()
    first.signal(signal.SIGTERM)
    assert first.receive_until(Kind.EXITED).fields["status"] == 128 + signal.SIGTERM


def test_output_that_no_client_reads_does_not_stop_the_container(created, connected):
    directory, _, _ = created("sh", "-c", "head -c 1000000 /dev/zero; exit 3")
    client = connected(directory)
    client.start()
    assert client.receive_until(Kind.EXITED).fields["status"] == 3


def test_each_attached_client_gets_all_output(created, connected):
    directory, _, _ = created("sh", "-c", "seq 100000")
    clients = [connected(directory) for _ in range(3)]
    for client in clients:
        client.attach([1])
    attached = [client.receive_until(Kind.ATTACHED) for client in clients]
    clients[0].start()
    whole = "".join(f"{number}\n" for number in range(1, 100001)).encode()
    with ThreadPoolExecutor() as readers:
        assert list(readers.map(output_of, attached)) == [whole] * 3


def test_client_that_does_not_read_is_left_behind_by_the_others(created, connected):
    directory, _, _ = created("sh", "-c", "head -c 3000000 /dev/zero")
    reader, stopped = connected(directory), connected(directory)
    for client in (reader, stopped):
        client.attach([1])
    attached = [client.receive_until(Kind.ATTACHED) for client in (reader, stopped)]
    reader.start()
    assert output_of(attached[0]) == bytes(3_000_000)
    assert "not read" in stopped.receive_until(Kind.NOTICE).fields["text"]
    assert reader.receive_until(Kind.EXITED).fields["status"] == 0
    assert len(output_of(attached[1])) < 3_000_000


def test_every_client_learns_of_the_end(rootless, connected):
    process = start(rootless)
    directory = control_directory(rootless)
    clients = [connected(directory) for _ in range(3)]
    for client in clients:
        client.receive_until(Kind.RUNNING)
    clients[0].signal(signal.SIGINT)
    for client in clients:
        assert client.receive_until(Kind.EXITED).fields["status"] == 128 + signal.SIGINT
    process.communicate(timeout=120)
    assert process.returncode == 128 + signal.SIGINT


def control_directory(rootless):
    (entry,) = (rootless.runtime / "rootless/containers").iterdir()
    return str(entry)


def test_client_that_goes_away_leaves_the_container_of_another(rootless, connected):
    process = start(rootless)
    client = connected(control_directory(rootless))
    client.receive_until(Kind.RUNNING)
    client.close()
    assert_stays(lambda: process.poll() is None)
    process.terminate()
    process.communicate(timeout=120)


def test_client_of_another_version_is_told_and_the_container_goes_on(rootless):
    process = start(rootless)
    connection = connect(control_directory(rootless))
    connection.send(Kind.HELLO, version=VERSION + 1)
    assert f"and not {VERSION + 1}" in connection.receive().fields["text"]
    assert connection.receive() is None
    connection.close()
    assert process.poll() is None
    process.terminate()
    process.communicate(timeout=120)


def test_garbage_from_a_client_is_answered_once_and_the_container_goes_on(rootless):
    process = start(rootless)
    end = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    end.connect(f"{control_directory(rootless)}/control.sock")
    end.send(b"\xff\x00garbage")
    assert b"not a message of the protocol" in end.recv(65536)
    assert end.recv(65536) == b""
    end.close()
    assert process.poll() is None
    process.terminate()
    process.communicate(timeout=120)


def test_socket_is_for_its_user_only(rootless):
    process = start(rootless)
    directory = Path(control_directory(rootless))
    for each in (directory, directory.parent):
        assert each.stat().st_mode & 0o077 == 0
    process.terminate()
    process.communicate(timeout=120)
    assert not directory.exists()


def test_socket_of_a_killed_monitor_is_no_monitor(rootless, connected):
    process = start(rootless)
    directory = control_directory(rootless)
    os.kill(roles(process)[0], signal.SIGKILL)
    process.communicate(timeout=120)
    with pytest.raises(NotFoundError, match="no monitor listens"):
        connected(directory)
    rootless("ps", "-a").ok()
    assert not Path(directory).exists()


def test_directory_of_another_mode_is_refused(rootless, connected):
    process = start(rootless)
    directory = control_directory(rootless)
    os.chmod(directory, 0o755)
    with pytest.raises(RootlessError, match="the directory is accessible to other users"):
        connected(directory)
    os.chmod(directory, 0o700)
    process.terminate()
    process.communicate(timeout=120)


def test_long_runtime_directory_has_room_for_a_socket(rootless, tmp_path):
    runroot = tmp_path / ("x" * 120)
    result = rootless("--runroot", runroot, "run", "--rm", "--rootfs", "/", "echo", "fine").ok()
    assert result.stdout == "fine\n"


def test_runtime_directory_that_cannot_be_written_is_one_line(rootless, tmp_path):
    tmp_path.joinpath("file").write_text("")
    result = rootless("--runroot", tmp_path / "file", "run", "--rm", "--rootfs", "/", "true")
    assert result.status == 125
    assert "cannot be used: it is not a directory" in result.stderr
    assert len(result.stderr.splitlines()) == 2
    assert rootless("ps", "-aq").ok().stdout == ""


def test_monitor_that_is_killed_before_its_first_word_is_one_line(rootless, tmp_path):
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    option = f"seccomp={gate}"
    process = rootless.popen("run", "--rm", "--security-opt", option, "--rootfs", "/", "true")
    # `run` waits for the profile, the monitor for the description.
    with open(gate, "wb") as profile:
        (monitor,) = children(process.pid)
        os.kill(monitor, signal.SIGKILL)
        profile.write(b'{"defaultAction": "SCMP_ACT_ALLOW"}')
    _, err = process.communicate(timeout=120)
    assert process.returncode == 125
    assert err == (
        b"rootless: the monitor of the container was killed (signal 9) "
        b"before it had started the container\n"
    )
    assert rootless("ps", "-aq").ok().stdout == ""


def test_places_keep_the_socket_short():
    path = StoragePaths("/s", "/run/user/4294967294/rootless").control_directory("f" * 64)
    assert len(f"{path}/control.sock") < 107


def test_killed_run_ends_a_container_of_several_clients(rootless, connected):
    process = start(rootless)
    everyone = list(children(process.pid))
    client = connected(control_directory(rootless))
    process.kill()
    process.communicate(timeout=120)
    assert client.receive_until(Kind.EXITED).fields["status"] == 128 + signal.SIGKILL
    client.close()
    assert_gone(everyone)


def test_sigterm_while_the_end_is_reported_is_no_failure(rootless):
    for number in range(8):
        process = rootless.popen("run", "--name", "one", "-i", "--rootfs", "/", "cat")
        wait_until(lambda: rootless("exec", "one", "true").status == 0)
        (record,) = (rootless.data / "rootless/containers").glob("*/container.json")
        monitor = os.pidfd_open(json.loads(record.read_bytes())["monitor_pid"])
        process.stdin.close()
        pause = Event()
        while not select.select([monitor], [], [], 0)[0]:
            signal.pidfd_send_signal(monitor, signal.SIGTERM)
            pause.wait(0.0005 * (number + 1))
        os.close(monitor)
        assert process.stderr.read() == b""
        assert process.wait(120) in {0, 128 + signal.SIGKILL}
        rootless("rm", "one").ok()
