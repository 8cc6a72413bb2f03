"""The caller's terminal: raw while the container has it, as it was afterwards."""

from __future__ import annotations

import fcntl
import os
import signal
import termios
import tty
from collections.abc import Callable

from rootless.supervisor.stdio_relay import Flow

_NO_SIZE = bytes(8)


def connect(console: int, flows: list[Flow], *, stdin: bool) -> Callable[[], None]:
    """Connect the master of a container's terminal to the caller's streams and keep their sizes the
    same. Adds the flows; returns what puts the caller's terminal back.

    In raw mode ctrl-c is a character that the container's terminal turns into a signal.
    """
    os.set_blocking(console, False)
    descriptor = os.dup(console)
    flows.append(Flow(descriptor, 1, ours=(descriptor,)))
    undo_raw = _nothing
    if stdin:
        descriptor = os.dup(console)
        flows.append(Flow(0, descriptor, ours=(descriptor,)))
        undo_raw = _make_raw(0)
    copy_size(console)
    before = signal.signal(signal.SIGWINCH, lambda *_: copy_size(console))

    def restore() -> None:
        signal.signal(signal.SIGWINCH, before)
        undo_raw()

    return restore


def copy_size(console: int) -> None:
    """Give the container's terminal the size of the caller's; its foreground processes are told
    by SIGWINCH.
    """
    for descriptor in (1, 0, 2):
        try:
            size = fcntl.ioctl(descriptor, termios.TIOCGWINSZ, _NO_SIZE)
        except OSError:
            continue
        if size != _NO_SIZE:
            fcntl.ioctl(console, termios.TIOCSWINSZ, size)
        return


def _make_raw(descriptor: int) -> Callable[[], None]:
    if not os.isatty(descriptor):
        return _nothing
    before = termios.tcgetattr(descriptor)
    # TCSANOW: what has been typed ahead belongs to the container.
    tty.setraw(descriptor, termios.TCSANOW)
    # TCSADRAIN: the container's last output goes out in the mode it was made for.
    return lambda: termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


def _nothing() -> None:
    pass
