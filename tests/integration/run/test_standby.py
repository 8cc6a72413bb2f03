"""A monitor that has nothing to do waits in a small program, and is the monitor again when there is something."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import rootless as package
from tests.support.file_servers import volume_servers
from tests.support.ports import free_port
from tests.support.releases import (
    copied_tree,
    install_another_release,
    replace_module,
    start_from,
)
from tests.support.standby import MEMORY, memory_of, stands_by
from tests.support.traffic import ROOT, children, exchange, is_free, serving
from tests.support.waiting import assert_stays, wait_until

pytestmark = pytest.mark.needs("userns", "fuse", "busybox")


def record_of(box, name="c1"):
    paths = (box.data / "rootless/containers").glob("?" * 64 + "/container.json")
    records = [json.loads(path.read_text()) for path in paths]
    return next(record for record in records if record["name"] == name)


def comm(pid):
    return Path(f"/proc/{pid}/comm").read_text()


def start(box, *words, name="c1"):
    """Start a container whose monitor stands by then; returns its PID."""
    box("run", "-d", "--name", name, *words).ok()
    monitor = record_of(box, name)["monitor_pid"]
    before = comm(monitor), command_of(monitor)
    wait_until(lambda: stands_by(monitor))
    assert (comm(monitor), command_of(monitor)) == before
    return monitor


def command_of(pid):
    """The words by which users find it, behind those of the program that it executes."""
    words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    if not {b"standby", b"resumed"} & set(words[:6]):
        return words
    end = words.index(b"--")
    assert not any(b"\n" in word for word in words[:end])
    return words[end + 1 :]


def state(box, name="c1"):
    shown = box("inspect", "--format", "{{.State.Status}} {{.State.ExitCode}}", name).ok().stdout
    return shown.strip()


@pytest.mark.parametrize("options", [("--read-only",), (), ("-v", "data:/mnt")])
def test_memory_of_a_monitor_that_stands_by(box, options):
    monitor = start(box, *options, "box:1", "sleep", "1000")
    assert memory_of(monitor) < MEMORY
    assert box("exec", "c1", "echo", "up").ok().stdout == "up\n"
    box("stop", "-t", "0", "c1").ok()
    assert state(box) == "exited 137"


@pytest.fixture
def go(tmp_path):
    """The options of `run` for a container that waits at `read x <go`, and the FIFO, to which a line is to be written."""
    os.mkfifo(tmp_path / "go")
    return ("-v", f"{tmp_path}:/go", "-w", "/go"), tmp_path / "go"


def test_the_end_of_the_container_is_seen_with_its_status(box, go):
    options, fifo = go
    start(box, "-i", *options, "box:1", "sh", "-c", "read x <go; echo last; exit 7")
    fifo.write_text("\n")
    assert box("wait", "c1").ok().stdout == "7\n"
    assert state(box) == "exited 7"
    assert box("logs", "c1").ok().stdout == "last\n"
    past = ("--since", "1h", "--until", "0s", "--filter", "type=container")
    actions = box("events", *past, "--format", "{{.Action}}").ok().stdout
    assert actions.split()[-3:] == ["create", "start", "die"]


def test_a_monitor_goes_on_when_its_python_environment_is_gone(box, tmp_path):
    environment = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True)
    words = ["-m", "rootless", "run", "-d", "--name", "c1", "box:1", "sleep", "1000"]
    paths = [str(Path(package.__file__).parent.parent), *filter(None, sys.path)]
    variables = {**box.env, "PYTHONPATH": ":".join(paths)}
    subprocess.run(
        [environment / "bin/python", *words], env=variables, check=True, capture_output=True
    )
    monitor = record_of(box)["monitor_pid"]
    wait_until(lambda: stands_by(monitor))
    shutil.rmtree(environment)
    box("stop", "-t", "0", "c1").ok()
    assert state(box) == "exited 137"


def test_what_is_written_is_logged_and_copied_to_who_attaches(box, tmp_path):
    # One for each, because a reader that opens one again before the writer closes it is at its end.
    first, second = tmp_path / "first", tmp_path / "second"
    os.mkfifo(first)
    os.mkfifo(second)
    script = "printf half; read x <first; echo ' and half'; read x <second; while echo tick; do sleep 0.2; done"
    options = ("-v", f"{tmp_path}:/go", "-w", "/go")
    monitor = start(box, *options, "box:1", "sh", "-c", script)
    command = command_of(monitor)
    first.write_text("\n")
    wait_until(lambda: box("logs", "c1").ok().stdout == "half and half\n")
    assert not stands_by(monitor)
    assert command_of(monitor) == command
    wait_until(lambda: stands_by(monitor))  # and once more
    attached = box.popen("attach", "c1")
    wait_until(lambda: not stands_by(monitor))
    second.write_text("\n")
    assert attached.stdout.readline() == b"tick\n"


def test_the_restart_policy_holds(box, go):
    options, fifo = go
    script = "[ -e again ] || { touch again; read x <go; }; exit 3"
    monitor = start(box, "--restart", "on-failure:1", *options, "box:1", "sh", "-c", script)
    fifo.write_text("\n")
    assert box("wait", "c1").ok().stdout == "3\n"
    wait_until(lambda: state(box) == "exited 3")
    assert record_of(box)["restart_count"] == 1
    assert not os.path.exists(f"/proc/{monitor}")


def test_everything_is_removed_with_rm(box, go):
    options, fifo = go
    start(box, "--rm", *options, "box:1", "sh", "-c", "read x <go")
    fifo.write_text("\n")
    containers = box.data / "rootless/containers"
    wait_until(lambda: {each.name for each in containers.iterdir()} == {".lock", "names"})


@pytest.mark.parametrize("options", [("--read-only",), ()])
def test_a_killed_file_server_is_replaced(box, options):
    monitor = start(box, *options, "box:1", "sleep", "1000")
    before = record_of(box)["server_pid"]
    if before:
        os.kill(before, signal.SIGKILL)
        wait_until(lambda: record_of(box)["server_pid"] not in {0, before})
    else:
        (server,) = volume_servers(box)
        os.kill(server, signal.SIGKILL)
    assert box("exec", "c1", "tail", "-n", "1", "/etc/group").ok().stdout == "worker:x:1000:\n"
    assert not stands_by(monitor)


def test_signals_to_a_monitor_that_stands_by(box):
    monitor = start(box, "box:1", "sleep", "1000")
    os.kill(monitor, signal.SIGTERM)
    wait_until(lambda: state(box) == "exited 137")
    monitor = start(box, "box:1", "sleep", "1000", name="c2")
    container = record_of(box, "c2")["pid"]
    os.kill(monitor, signal.SIGKILL)
    wait_until(lambda: not os.path.exists(f"/proc/{container}"))
    box("ps", "-a").ok()
    assert state(box, "c2") == "exited 137"


def test_a_stop_whose_signal_comes_before_the_monitor_stands_by_ends_with_its_timeout(box):
    """The timer of the stop must not end the program that waits."""
    command = ("sh", "-c", "trap '' TERM; while :; do sleep 1; done")
    box("run", "-d", "--name", "c1", "--stop-timeout", "6", "box:1", *command).ok()
    monitor = record_of(box)["monitor_pid"]
    assert_stays(lambda: not stands_by(monitor), seconds=1)  # it waits for the first time
    os.kill(monitor, signal.SIGTERM)
    wait_until(
        lambda: record_of(box)["status"] != "running" or not Path(f"/proc/{monitor}").exists()
    )
    assert state(box) == "exited 137"
    assert "monitor" not in record_of(box)["error"]


def test_clients_stay_connected(box):
    running = box.popen(
        "run", "--rm", "--name", "c1", "-i", "box:1", "sh", "-c", "echo up; cat; exit 7"
    )
    assert running.stdout.readline() == b"up\n"
    monitor = record_of(box)["monitor_pid"]
    wait_until(lambda: stands_by(monitor))
    waiting = box.popen("wait", "c1")
    box("pause", "c1").ok()
    assert state(box) == "paused 0"
    box("unpause", "c1").ok()
    wait_until(lambda: stands_by(monitor))
    assert running.communicate(b"through\n", timeout=120)[0] == b"through\n"
    assert running.returncode == 7
    assert waiting.communicate(timeout=120)[0] == b"7\n"


def test_signals_and_the_end_of_the_first_client(box):
    for number, status in ((signal.SIGTERM, 143), (signal.SIGKILL, -signal.SIGKILL)):
        running = box.popen("run", "--rm", "--name", "c1", "--init", "box:1", "sleep", "1000")
        wait_until(lambda: box("ps", "-q").ok().stdout)
        record = record_of(box)
        wait_until(lambda: stands_by(record["monitor_pid"]))  # noqa: B023 - called at once
        running.send_signal(number)
        assert running.wait(120) == status
        wait_until(lambda: not os.path.exists(f"/proc/{record['pid']}"))  # noqa: B023
        wait_until(lambda: not box("ps", "-aq").ok().stdout)


@pytest.mark.needs("tun", "pasta", "slirp4netns")
@pytest.mark.parametrize("driver", ["pasta", "slirp4netns"])
def test_a_published_port_is_reached(box, driver):
    """Also when the helper program of the network was killed meanwhile."""
    port = free_port()
    published = ("--network", driver, "-p", f"127.0.0.1:{port}:80")
    monitor = start(box, *published, *ROOT, *serving(80))
    assert exchange("127.0.0.1", port, b"data")[1] == b"data"
    helpers = children(monitor, driver[:5])
    for each in helpers:
        os.kill(each, signal.SIGKILL)
    wait_until(lambda: reached(port))
    box("rm", "-f", "c1").ok()
    assert is_free(port)


def reached(port):
    try:
        return exchange("127.0.0.1", port, b"data")[1] == b"data"
    except OSError:
        return False


@pytest.mark.needs("pasta", "tun")
def test_networks_are_changed(box):
    for name in ("one", "two"):
        box("network", "create", name).ok()
    start(box, "--network", "one", "box:1", "sleep", "1000")
    box("network", "connect", "two", "c1").ok()
    assert box("exec", "c1", "ls", "/sys/class/net").ok().stdout.split() == ["eth0", "eth1", "lo"]
    box("network", "disconnect", "two", "c1").ok()
    box("rm", "-f", "-t", "0", "c1").ok()


@pytest.mark.parametrize("options", [("-t",), ("--log-driver", "none"), ("--writable-tmpfs",)])
def test_other_streams_and_layers(box, options):
    start(box, *options, "box:1", "sh", "-c", "echo x >/made; exec sleep 1000")
    assert "A /made" in box("diff", "c1").ok().stdout
    box("stop", "-t", "0", "c1").ok()
    assert state(box) == "exited 137"


def test_later_ranks_join_a_container_that_stands_by(box):
    options = ("--join", "--join-tag", "t", "--join-count", "1", "box:1")
    first = box.popen("run", *options, "sh", "-c", "echo up; read x")
    assert first.stdout.readline() == b"up\n"
    (record,) = (box.data / "rootless/containers").glob("?" * 64 + "/container.json")
    monitor = json.loads(record.read_text())["monitor_pid"]
    wait_until(lambda: stands_by(monitor))
    mount = "readlink /proc/self/ns/mnt"
    there = os.readlink(f"/proc/{first.pid}/ns/mnt")
    assert box("run", *options, "sh", "-c", mount).ok().stdout.strip() == there
    first.communicate(b"\n", timeout=120)
    wait_until(lambda: not os.path.exists(f"/proc/{monitor}"))


def test_a_monitor_goes_on_with_the_modules_that_it_had(box, tmp_path):
    """Another release is installed meanwhile, none of whose modules works."""
    tree = copied_tree(tmp_path)
    script = "trap 'exit 7' TERM; sleep 1000 & wait"
    run_detached(box, tree, "box:1", "sh", "-c", script)
    monitor = record_of(box)["monitor_pid"]
    wait_until(lambda: stands_by(monitor))
    install_another_release(tree)
    box("kill", "-s", "WINCH", "c1").ok()
    assert not stands_by(monitor)
    wait_until(lambda: stands_by(monitor))  # and once more
    box("stop", "c1").ok()
    assert state(box) == "exited 7"


def test_a_monitor_stays_awake_whose_modules_have_been_replaced(box, tmp_path):
    """They may be of another release, and cannot be loaded again."""
    tree = copied_tree(tmp_path)
    run_detached(box, tree, "box:1", "sleep", "1000")
    monitor = record_of(box)["monitor_pid"]
    replace_module(tree, "rootless/supervisor/monitor.py")
    assert_stays(lambda: not stands_by(monitor), 6)
    box("stop", "-t", "0", "c1").ok()
    assert state(box) == "exited 137"


def run_detached(box, tree, *words):
    """Run a container `c1` in the background with the modules of a tree."""
    running = start_from(box, tree, "run", "-d", "--name", "c1", *words)
    running.communicate(timeout=120)
    assert running.returncode == 0
