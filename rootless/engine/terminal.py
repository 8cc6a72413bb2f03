"""The caller's terminal: raw while the container has it, as it was afterwards, on every way out."""

from __future__ import annotations

import fcntl
import os
import termios
import tty


def window_size(descriptor: int) -> bytes | None:
    """The struct winsize of a terminal (ioctl_tty(2)), or None if the descriptor is none."""
    try:
        return fcntl.ioctl(descriptor, termios.TIOCGWINSZ, bytes(8))
    except OSError:
        return None


def set_window_size(descriptor: int, size: bytes) -> None:
    """Tell a terminal its size; its foreground process group gets SIGWINCH."""
    fcntl.ioctl(descriptor, termios.TIOCSWINSZ, size)


class RawTerminal:
    """A terminal in raw mode for the length of a block, so that ctrl-c reaches the container's."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._before: list[object] | None = None

    def __enter__(self) -> None:
        if os.isatty(self._descriptor):
            self._before = termios.tcgetattr(self._descriptor)
            tty.setraw(self._descriptor, termios.TCSANOW)

    def __exit__(self, *_: object) -> None:
        if self._before is not None:
            # TCSADRAIN lets the last output of the container go out in the mode it was made for.
            termios.tcsetattr(self._descriptor, termios.TCSADRAIN, self._before)
