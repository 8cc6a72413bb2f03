"""The caller's terminal: raw while the container uses it, and restored whenever the shell does.

In raw mode ctrl-c and ctrl-z are characters, which the container's own terminal turns into signals
for the container's processes. The shell's job control goes by what the kernel does to a background
process: a change of the terminal's mode stops it (SIGTTOU), as reading does (SIGTTIN), until `fg`
continues it (SIGCONT).
"""

from __future__ import annotations

import errno
import fcntl
import os
import termios

from rootless.light_stdlib import signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType
    from typing import Any, TypeAlias

    Handler: TypeAlias = Callable[[int, FrameType | None], object]

_NO_SIZE = bytes(8)


class CallerTerminal:
    """The caller's terminal while it is connected to the container's, whose master is `console`.

    `interactive`: what is typed goes to the container, so the terminal is put in raw mode. `job_control`: not by a
    process in the background, which goes on.
    """

    def __init__(self, console: int, *, interactive: bool, job_control: bool) -> None:
        self._console = console
        self._job_control = job_control
        self._is_left = False
        """Whether it was not read because this process was in the background."""
        self._interactive = interactive and os.isatty(0)
        self._before: list[Any] = []
        self._handlers: dict[int, Any] = {}

    def __getstate__(self) -> dict[str, object]:
        """Handlers are of this process: another one that goes on here calls `take`."""
        return {**self.__dict__, "_handlers": {}}

    def take(self) -> None:
        """Make it raw, and keep the sizes of both terminals the same."""
        self._make_raw()
        copy_size(self._console)
        self._handle(signal.SIGWINCH, lambda *_: copy_size(self._console))
        if self._interactive:
            forward = signal.getsignal(signal.SIGCONT)

            def continued(number: int, frame: FrameType | None) -> None:
                self._make_raw()
                copy_size(self._console)
                if callable(forward):
                    forward(number, frame)

            self._handle(signal.SIGCONT, continued)
            self._handle(signal.SIGTSTP, lambda *_: self.stop())

    def may_read(self) -> bool:
        """Whether this process is in the foreground: in the background the kernel would stop it (SIGTTIN). Makes the
        terminal raw again after that.
        """
        if not _in_foreground():
            self._is_left = True
            return False
        if self._is_left:
            self._is_left = False
            self._make_raw()
            copy_size(self._console)
        return True

    def restore(self) -> None:
        """Give the terminal back as it was. A process in the background leaves it to the shell."""
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        self._handlers.clear()
        self._make_cooked()

    def write_line(self, text: str) -> None:
        """A line for the user; in raw mode the terminal does not add carriage returns."""
        line = f"\r\n{text}\r\n" if self._interactive else f"{text}\n"
        os.write(2, line.encode())

    def _handle(self, number: int, handler: Handler) -> None:
        try:
            self._handlers[number] = signal.signal(number, handler)
        except ValueError:
            pass  # not the main thread of its process

    def stop(self) -> None:
        """Stop until SIGCONT, as the shell expects it, with the terminal as it was."""
        self._make_cooked()
        before = signal.signal(signal.SIGTSTP, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTSTP)
        signal.signal(signal.SIGTSTP, before)

    def _make_raw(self) -> None:
        if not self._interactive:
            return
        if not self._before:
            self._before = termios.tcgetattr(0)
            if self._job_control and not _in_foreground():
                return
        elif not _in_foreground():
            return
        # TCSANOW: what has been typed ahead belongs to the container.
        _set_mode(termios.TCSANOW, _raw(self._before))

    def _make_cooked(self) -> None:
        if self._before and _in_foreground():
            # TCSADRAIN: the container's last output goes out in the mode it was made for.
            _set_mode(termios.TCSADRAIN, self._before)


def copy_size(console: int) -> None:
    """Give the container's terminal the size of the caller's; the kernel then sends its foreground
    processes SIGWINCH.
    """
    for descriptor in (1, 0, 2):
        try:
            size = fcntl.ioctl(descriptor, termios.TIOCGWINSZ, _NO_SIZE)
        except OSError:
            continue
        if size != _NO_SIZE:
            fcntl.ioctl(console, termios.TIOCSWINSZ, size)
        return


def _raw(mode: list[Any]) -> list[Any]:
    """The mode that cfmakeraw(3) makes of `mode`."""
    iflag, oflag, cflag, lflag, *rest = mode
    iflag &= ~(
        termios.IGNBRK
        | termios.BRKINT
        | termios.PARMRK
        | termios.ISTRIP
        | termios.INLCR
        | termios.IGNCR
        | termios.ICRNL
        | termios.IXON
    )
    oflag &= ~termios.OPOST
    lflag &= ~(termios.ECHO | termios.ECHONL | termios.ICANON | termios.ISIG | termios.IEXTEN)
    cflag = cflag & ~(termios.CSIZE | termios.PARENB) | termios.CS8
    speeds, characters = rest[:2], list(rest[2])
    characters[termios.VMIN], characters[termios.VTIME] = 1, 0
    return [iflag, oflag, cflag, lflag, *speeds, characters]


def _set_mode(when: int, mode: list[Any]) -> None:
    """tcsetattr(3). In the background the kernel stops this process first (SIGTTOU); the SIGCONT that
    continues it interrupts the call, which is then made again.
    """
    while True:
        try:
            termios.tcsetattr(0, when, mode)
        except termios.error as error:
            if error.args[0] == errno.EINTR:
                continue
            if error.args[0] != errno.EIO:  # EIO: no shell is there that could continue us
                raise
        return


def _in_foreground() -> bool:
    try:
        return os.tcgetpgrp(0) == os.getpgrp()
    except OSError:
        return True  # not the controlling terminal: it has no foreground
