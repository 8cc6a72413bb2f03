"""Every signal that a process can get, sent to `run` with kill(2)."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.waiting import wait_until

pytestmark = pytest.mark.needs("userns", "fuse")

UNCATCHABLE = {signal.SIGKILL, signal.SIGSTOP}
ABOUT_RUN = {
    *(signal.SIGCHLD, signal.SIGPIPE, signal.SIGURG),
    *(signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU),
}
FAULTS = [signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL]
REPORT = """
import os, signal
reader, writer = os.pipe()
os.set_blocking(writer, False)
signal.set_wakeup_fd(writer)
for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
    signal.signal(number, lambda *_: None)
os.write(1, b"ready\\n")
while True:
    os.write(1, b"%d\\n" % os.read(reader, 1)[0])
"""


def line(process):
    return process.stdout.readline().decode().strip()


def running(rootless, *options, code=REPORT):
    command = ("--rootfs", "/", sys.executable, "-c", code)
    process = rootless.popen("run", "--rm", *options, *command)
    assert line(process) == "ready"
    return process


@pytest.mark.parametrize("options", [(), ("--init",), ("-t",)], ids=["plain", "init", "terminal"])
def test_every_signal_reaches_the_container(rootless, options):
    process = running(rootless, *options)
    # Under a terminal of the container's own, the caller's new size is passed on and not the signal.
    not_sent = UNCATCHABLE | ABOUT_RUN | ({signal.SIGWINCH} if "-t" in options else set())
    for number in sorted(signal.valid_signals() - not_sent):
        process.send_signal(number)
        assert line(process) == str(int(number))
    process.kill()
    process.wait(120)


AN_INIT = """
import os, signal
awaited = signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}
signal.pthread_sigmask(signal.SIG_BLOCK, awaited)
os.write(1, b"ready\\n")
while True:
    os.write(1, b"%d\\n" % signal.sigwait(awaited))
"""


def test_init_that_fetches_its_signals_is_not_killed_for_them(rootless):
    """As tini and dumb-init do, which many images have as their entry point."""
    process = running(rootless, code=AN_INIT)
    for number in [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGTERM, *FAULTS]:
        process.send_signal(number)
        assert line(process) == str(int(number))
    process.kill()
    process.wait(120)


@pytest.mark.parametrize("options", [(), ("--init",)], ids=["plain", "init"])
def test_stop_lets_the_command_end_by_itself(rootless, options):
    script = "trap 'exit 7' TERM; echo ready; while :; do sleep 0.05; done"
    process = rootless.popen("run", "--name", "web", *options, "--rootfs", "/", "sh", "-c", script)
    assert line(process) == "ready"
    rootless("stop", "web").ok()
    assert process.wait(120) == 7


@pytest.mark.parametrize("number", sorted(ABOUT_RUN))
def test_signal_about_run_itself_does_not_end_it(rootless, number):
    process = running(rootless)
    process.send_signal(number)
    process.send_signal(signal.SIGCONT)
    assert line(process) == str(int(signal.SIGCONT))
    process.kill()
    process.wait(120)


@pytest.mark.parametrize("number", FAULTS)
def test_fault_signal_that_the_command_does_not_catch_ends_it_as_any_other_does(rootless, number):
    code = "import signal; print('ready', flush=True); signal.pause()"
    process = running(rootless, code=code)
    process.send_signal(number)
    assert process.wait(120) == 128 + number
    assert process.stderr.read() == b""


@pytest.mark.parametrize("number", FAULTS)
def test_fault_signal_ends_run_where_signals_are_not_passed_on(rootless, number):
    process = running(rootless, "--sig-proxy=false")
    process.send_signal(number)
    assert process.wait(120) == -number


def test_fault_of_run_itself_ends_it(rootless):
    """A read of address 0, in a process that has the four signals blocked."""
    code = (
        "import ctypes\n"
        "from rootless.supervisor import fault_signals\n"
        "fault_signals.block()\n"
        "ctypes.string_at(0)\n"
    )
    pid = os.posix_spawn(sys.executable, [sys.executable, "-c", code], os.environ)
    ended = []

    def has_ended():
        found, status = os.waitpid(pid, os.WNOHANG)
        ended.append(status)
        return found == pid

    wait_until(has_ended)
    assert os.waitstatus_to_exitcode(ended[-1]) == -signal.SIGSEGV


def test_signals_that_come_after_the_end_are_dropped_and_the_next_ends_the_caller():
    """In a process of its own: a thread of this one that does not block a signal would be sent it."""
    code = (
        "import os, signal\n"
        "from rootless.supervisor import fault_signals\n"
        "fault_signals.block()\n"
        "for number in fault_signals.FAULTS:\n"
        "    os.kill(os.getpid(), number)\n"
        "fault_signals.unblock()\n"
        "assert not signal.sigpending()\n"
        "assert not signal.pthread_sigmask(signal.SIG_BLOCK, ()) & fault_signals.FAULTS\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_interrupt_while_the_program_is_imported_prints_no_traceback(rootless):
    argv = [sys.executable, "-X", "importtime", "-m", "rootless"]
    argv += ["run", "--rm", "--rootfs", "/", "true"]
    process = subprocess.Popen(argv, env=rootless.env, stderr=subprocess.PIPE, text=True)
    assert any("rootless.module_packs" in imported for imported in process.stderr)
    process.send_signal(signal.SIGINT)
    assert "Traceback" not in process.communicate(timeout=120)[1]
    assert process.returncode in {-signal.SIGINT, 128 + signal.SIGINT}
    wait_until(lambda: rootless("ps", "-aq").ok().stdout == "")


def test_signal_at_the_end_of_the_container_does_not_change_its_status(rootless):
    """The monitor learns of both at once."""
    process = running(rootless)
    (path,) = (rootless.data / "rootless/containers").glob("?" * 64 + "/container.json")
    record = json.loads(path.read_text())
    os.kill(record["monitor_pid"], signal.SIGSTOP)
    os.kill(record["pid"], signal.SIGKILL)
    process.send_signal(signal.SIGTERM)
    wait_until(lambda: "poll" in Path(f"/proc/{process.pid}/wchan").read_text())
    os.kill(record["monitor_pid"], signal.SIGCONT)
    assert process.communicate(timeout=120)[1] == b""
    assert process.returncode == 128 + signal.SIGKILL
