"""A user at a terminal, on the other side of which a command runs."""

import contextlib
import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import time
from pathlib import Path

PROMPT = b"READY> "
SHELL = ("bash", "--norc", "--noediting", "-i")
SHELL_OPTIONS = ("-it", "-e", "PS1=READY> ")
"""Of `run` and `exec`, for SHELL with PROMPT."""


class Terminal:
    """A user at a terminal: the command on one side of a pseudo-terminal, the test on the other."""

    def __init__(self, rootless, *words, rows=31, columns=91, argv=None, env=()):
        self.master, self.slave = pty.openpty()
        self.resize(rows, columns)
        self.before = termios.tcgetattr(self.slave)
        self.seen = b""

        def own_the_terminal():
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            signal.signal(signal.SIGQUIT, signal.SIG_DFL)

        streams = dict.fromkeys(("stdin", "stdout", "stderr"), self.slave)
        if argv is None:
            self.process = rootless.popen(*words, **streams, preexec_fn=own_the_terminal)
        else:
            self.process = subprocess.Popen(
                argv,
                **streams,
                env=rootless.env | dict(env),
                preexec_fn=own_the_terminal,  # noqa: PLW1509 - the test has one thread
                start_new_session=True,
            )
            rootless.started.append(self.process)

    def resize(self, rows, columns):
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, text):
        os.write(self.master, text)

    def read_some(self, wait):
        if select.select([self.master], [], [], wait)[0]:
            self.seen += os.read(self.master, 65536)

    def expect(self, text):
        deadline = time.monotonic() + 120
        while text not in self.seen:
            assert time.monotonic() < deadline, self.seen
            self.read_some(0.1)
        before, _, self.seen = self.seen.partition(text)
        return before

    def wait(self):
        deadline = time.monotonic() + 120
        while (status := self.process.poll()) is None:
            assert time.monotonic() < deadline, self.seen
            self.read_some(0.05)
        self.read_some(0)
        return status

    def is_raw(self):
        return not termios.tcgetattr(self.slave)[3] & termios.ICANON

    def is_restored(self):
        return termios.tcgetattr(self.slave) == self.before

    def close(self):
        self.process.kill()
        self.process.wait(120)
        os.close(self.master)
        os.close(self.slave)


def runs_in_foreground(command):  # each test has one of its own: those of others may still end
    """Does a process with this command line receive the signals of its terminal's keys?"""
    for directory in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (directory / "cmdline").read_bytes() == command:
                fields = (directory / "stat").read_text().rpartition(") ")[2].split()
                _state, _parent, group, _session, _tty, foreground, *_ = fields
                return group == foreground
    return False


@contextlib.contextmanager
def terminals(rootless):
    """Gives a function that opens terminals, with the arguments of `Terminal` after the first. They are closed at the end."""
    opened = []

    def open_terminal(*words, **more):
        opened.append(Terminal(rootless, *words, **more))
        return opened[-1]

    yield open_terminal
    for one in opened:
        one.close()


def with_prompt(terminal):
    """The terminal, once the shell on it has shown its prompt."""
    terminal.expect(PROMPT)
    return terminal
