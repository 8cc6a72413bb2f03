"""-i -t: the container's terminal joined to the caller's, which is as it was afterwards."""

import contextlib
import fcntl
import os
import pty
import select
import signal
import struct
import termios
import time
from pathlib import Path

import pytest

from tests.support.waiting import wait_until

pytestmark = pytest.mark.needs("userns", "fuse")

PROMPT = b"READY> "


class Terminal:
    """A user at a terminal: the command on one side of a pseudo-terminal, us on the other."""

    def __init__(self, rootless, *words, rows=31, columns=91):
        self.master, self.slave = pty.openpty()
        self.resize(rows, columns)
        self.before = termios.tcgetattr(self.slave)
        self.seen = b""

        def own_the_terminal():
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)
            signal.signal(signal.SIGINT, signal.SIG_DFL)

        self.process = rootless.popen(
            *words,
            stdin=self.slave,
            stdout=self.slave,
            stderr=self.slave,
            preexec_fn=own_the_terminal,
        )

    def resize(self, rows, columns):
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, text):
        os.write(self.master, text)

    def read_some(self, wait):
        if select.select([self.master], [], [], wait)[0]:
            self.seen += os.read(self.master, 65536)

    def expect(self, text):
        deadline = time.monotonic() + 60
        while text not in self.seen:
            assert time.monotonic() < deadline, self.seen
            self.read_some(0.1)
        before, _, self.seen = self.seen.partition(text)
        return before

    def wait(self):
        deadline = time.monotonic() + 60
        while (status := self.process.poll()) is None:
            assert time.monotonic() < deadline, self.seen
            self.read_some(0.05)
        self.read_some(0)
        return status

    def is_restored(self):
        return termios.tcgetattr(self.slave) == self.before

    def close(self):
        self.process.kill()
        self.process.wait(30)
        os.close(self.master)
        os.close(self.slave)


def runs_in_foreground(command):
    """Does a process with this command line receive the signals of its terminal's keys?"""
    for directory in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (directory / "cmdline").read_bytes() == command:
                fields = (directory / "stat").read_text().rpartition(") ")[2].split()
                _state, _parent, group, _session, _tty, foreground, *_ = fields
                return group == foreground
    return False


@pytest.fixture
def terminal(rootless):
    opened = []

    def open_terminal(*words, options=("-i", "-t"), **more):
        opened.append(Terminal(rootless, "run", "--rm", *options, "--rootfs", "/", *words, **more))
        return opened[-1]

    yield open_terminal
    for one in opened:
        one.close()


@pytest.fixture
def shell(terminal):
    user = terminal("bash", "--norc", "--noediting", "-i", options=("-it", "-e", "PS1=READY> "))
    user.expect(PROMPT)
    return user


def test_terminal_has_the_callers_size_and_follows_it(shell):
    shell.type(b"stty size\n")
    shell.expect(b"31 91")
    shell.expect(PROMPT)
    shell.type(b"trap 'echo WINCHED' WINCH; echo set\n")
    shell.expect(b"\nset")
    shell.expect(PROMPT)
    shell.resize(40, 100)
    shell.type(b"sleep 0.2; stty size\n")
    shell.expect(b"40 100")


def test_interrupt_key_ends_the_program_and_not_the_shell(shell):
    shell.type(b"sleep 1000\n")
    wait_until(lambda: runs_in_foreground(b"sleep\0001000\0"))
    shell.type(b"\x03")
    shell.expect(PROMPT)
    shell.type(b"echo status $?\n")
    shell.expect(b"status 130")


def test_jobs_can_be_stopped_and_continued(shell):
    shell.type(b"sleep 1000\n")
    wait_until(lambda: runs_in_foreground(b"sleep\0001000\0"))
    shell.type(b"\x1a")
    shell.expect(b"Stopped")
    shell.expect(PROMPT)
    shell.type(b"kill %1; wait; echo done\n")
    shell.expect(b"\r\ndone")


def test_status_is_the_shells_and_the_terminal_is_restored(shell):
    assert not shell.is_restored()
    shell.type(b"exit 7\n")
    assert shell.wait() == 7
    assert shell.is_restored()


def test_terminal_is_restored_when_the_command_is_not_found(terminal):
    user = terminal("no-such-command")
    assert user.wait() == 127
    assert user.is_restored()


def test_last_output_is_not_lost(terminal):
    user = terminal("sh", "-c", "seq 1 20000; echo the end")
    user.expect(b"the end")
    assert user.wait() == 0


def test_container_sees_a_terminal_of_its_own(terminal):
    user = terminal(
        "sh", "-c", "tty; test -t 0 && test -t 1 && test -t 2 && : < /dev/tty && echo ok"
    )
    user.expect(b"/dev/")
    user.expect(b"ok")
    assert user.wait() == 0


def test_terminal_without_interactive_shows_output_only(terminal):
    user = terminal("sh", "-c", "stty size; echo shown", options=("-t",))
    user.expect(b"31 91")
    user.expect(b"shown")
    assert user.wait() == 0
    assert user.is_restored()


def test_interactive_terminal_needs_one_on_standard_input(rootless):
    result = rootless("run", "--rm", "-it", "--rootfs", "/", "true")
    assert result.status == 1
    assert "the input device is not a TTY" in result.stderr
