"""The file server of a container that nothing is asked of waits in a small program, and goes on where it was."""

import fcntl
import json
import os
import signal

import pytest

from tests.support.file_servers import server_of
from tests.support.releases import (
    copied_tree,
    install_another_release,
    replace_module,
    start_from,
    write_packs,
)
from tests.support.standby import MEMORY, memory_of, stands_by
from tests.support.waiting import assert_stays, wait_until

pytestmark = pytest.mark.needs("userns", "fuse", "fuse-resend", "busybox")


def directory_of(box):
    (path,) = (box.data / "rootless/containers").glob("?" * 64)
    return path


def record_of(box):
    return json.loads((directory_of(box) / "container.json").read_text())


def monitor_of(box):
    return record_of(box)["monitor_pid"]


def start(box, script, *options):
    """A container with this script, which first writes a line, and whose server stands by then."""
    words = ("run", "-i", "--name", "c1", *options, "box:1", "sh", "-c", script)
    running = box.popen(*words)
    assert running.stdout.readline() == b"up\n"
    wait_until(lambda: stands_by(server_of(box)))
    return running


@pytest.mark.parametrize("options", [(), ("--rm",), ("--writable-tmpfs",)])
def test_files_and_descriptors_outlive_standing_by(box, options):
    prepare = "mkdir -p /a/b; echo one >/a/b/f; ln /a/b/f /a/g; exec 5<>/a/h; rm /a/h; echo held >&5; cd /a/b"
    before = "stat -c %i:%h /a/b/f >/ino; cd /a/b"
    after = "stat -c %i:%h f | cmp - /ino && cat f /a/g /proc/self/fd/5; echo two >>f; mv f ../i; cat /a/g; ls /a"
    running = start(box, f"{prepare}; {before}; echo up; read x; {after}; exit 7", *options)
    server = server_of(box)
    assert memory_of(server) < MEMORY
    output, _ = running.communicate(b"\n", timeout=120)
    assert output == b"one\none\nheld\none\ntwo\nb\ng\ni\n"
    assert running.returncode == 7
    wait_until(lambda: not os.path.exists(f"/proc/{server}"))


def test_a_server_that_has_answered_stands_by_again(box):
    running = start(box, "echo up; while read x; do cat /etc/group >/$x; ls /$x; done")
    running.stdin.write(b"made\n")
    running.stdin.flush()
    assert running.stdout.readline() == b"/made\n"
    server = server_of(box)
    assert not stands_by(server)
    wait_until(lambda: stands_by(server))
    assert running.communicate(b"more\n", timeout=120)[0] == b"/more\n"


def test_report_of_copies_has_those_made_before_standing_by(box):
    start(box, "echo x >>/etc/group; echo up; read x; echo x >>/etc/passwd")
    report = json.loads(box("cow", "--format", "json", "c1").ok().stdout)
    assert [each["Path"] for each in report["Records"]] == ["/etc/group"]
    assert not stands_by(server_of(box))
    wait_until(lambda: stands_by(server_of(box)))
    box("exec", "c1", "sh", "-c", "echo x >>/etc/passwd").ok()
    report = json.loads(box("cow", "--format", "json", "c1").ok().stdout)
    assert [each["Path"] for each in report["Records"]] == ["/etc/group", "/etc/passwd"]


def test_data_in_the_cache_of_the_kernel_are_written_after_the_monitor_is_killed(box):
    """Of a container whose monitor, and so the container, is killed meanwhile."""
    script = "exec 5>/f; echo first >&5; echo up; read x; echo second >&5; echo written; sleep 1000"
    running = start(box, script)
    running.stdin.write(b"\n")
    running.stdin.flush()
    assert running.stdout.readline() == b"written\n"
    record = record_of(box)
    os.kill(record["monitor_pid"], signal.SIGKILL)
    running.communicate(timeout=120)
    wait_until(lambda: not os.path.exists(f"/proc/{record['server_pid']}"))
    assert (directory_of(box) / "upper/f").read_text() == "first\nsecond\n"


def test_work_directory_stays_locked_while_the_server_stands_by(box):
    start(box, "echo up; read x")
    work = os.open(directory_of(box) / "work", os.O_RDONLY)
    try:
        with pytest.raises(BlockingIOError):
            fcntl.flock(work, fcntl.LOCK_EX | fcntl.LOCK_NB)
    finally:
        os.close(work)


def test_server_that_is_killed_while_it_stands_by_is_replaced(box):
    running = start(box, "echo held >/f; echo up; read x; cat /f")
    before = server_of(box)
    os.kill(before, signal.SIGKILL)
    wait_until(lambda: server_of(box) not in {0, before})
    assert running.communicate(b"\n", timeout=120)[0] == b"held\n"


def test_signals_of_a_scheduler_end_neither_server_nor_monitor(box):
    running = start(box, "echo held >/f; echo up; read x; cat /f")
    server, monitor = server_of(box), monitor_of(box)
    wait_until(lambda: stands_by(monitor))
    for number in (signal.SIGALRM, signal.SIGUSR2, signal.SIGXCPU, signal.SIGHUP):
        os.kill(server, number)
        os.kill(monitor, number)
    assert running.communicate(b"\n", timeout=120)[0] == b"held\n"
    assert running.returncode == 0
    assert "killed" not in (directory_of(box) / "engine.log").read_text()


def test_upgrade_replaces_a_server_that_stands_by(box):
    running = start(box, "echo held >/f; echo up; read x; cat /f")
    before = server_of(box)
    assert box("system", "upgrade-servers").ok().stdout == "c1\n"
    assert server_of(box) != before
    assert running.communicate(b"\n", timeout=120)[0] == b"held\n"


@pytest.mark.parametrize("packs", [True, False])
def test_server_goes_on_with_the_modules_that_it_had(box, tmp_path, packs):
    tree = copied_tree(tmp_path)
    if packs:
        write_packs(box, tree)
    running = run_from(box, tree)
    wait_until(lambda: stands_by(server_of(box)))
    install_another_release(tree)
    assert running.communicate(b"\n", timeout=120)[0] == b"held\n"
    assert running.returncode == 0


def test_server_that_a_resumed_monitor_forked_goes_on_with_its_own_modules(box, tmp_path):
    tree = copied_tree(tmp_path)
    write_packs(box, tree)
    running = run_from(box, tree)
    wait_until(lambda: stands_by(monitor_of(box)) and stands_by(server_of(box)))
    before = server_of(box)
    os.kill(before, signal.SIGKILL)
    wait_until(lambda: server_of(box) not in {0, before})
    wait_until(lambda: stands_by(server_of(box)))
    install_another_release(tree)
    assert running.communicate(b"\n", timeout=120)[0] == b"held\n"
    assert running.returncode == 0


def test_server_stays_awake_when_its_modules_have_been_replaced(box, tmp_path):
    tree = copied_tree(tmp_path)
    running = run_from(box, tree)
    replace_module(tree, "unionfs/union.py")
    assert_stays(lambda: not stands_by(server_of(box)), 8)
    assert running.communicate(b"\n", timeout=120)[0] == b"held\n"


def test_server_stays_awake_when_the_program_that_waits_cannot_be_loaded(box, tmp_path):
    """As that of another release that is installed meanwhile."""
    tree = copied_tree(tmp_path)
    running = run_from(box, tree)
    for path in (tree / "rootless/supervisor/standby").glob("*.py"):
        path.write_text("raise RuntimeError('of another release')\n")
    assert_stays(lambda: not stands_by(server_of(box)), 8)
    assert running.communicate(b"\n", timeout=120)[0] == b"held\n"
    assert running.returncode == 0


def run_from(box, tree):
    """A `run` with the modules of a tree; it shows a file after a line on its standard input."""
    script = "echo held >/f; echo up; read x; cp /f /g; cat /g"
    words = ("run", "--rm", "-i", "--name", "c1", "box:1")
    running = start_from(box, tree, *words, "sh", "-c", script)
    assert running.stdout.readline() == b"up\n"
    return running
