"""A user at a terminal: lines typed at the prompts of a shell in a container."""

from __future__ import annotations

import os
import pty
import select
import sys
import time
from collections.abc import Iterable

from tests.support.rootless import Rootless

PROMPTS = (b"# ", b"> ", b"? ")


def type_into_shell(
    rootless: Rootless, arguments: Iterable[str], lines: Iterable[str], *, seconds: float = 120
) -> str:
    """Execute the command on a terminal of its own, type each line when a prompt is shown, and return all that was
    shown until the command closed the terminal. `seconds` is how long a prompt may take to appear."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.environ.update(rootless.env, TERM="dumb")
        os.execv(sys.executable, [sys.executable, "-m", "rootless", *arguments])
    shown = b""
    for line in lines:
        end = time.monotonic() + seconds
        while not shown.endswith(PROMPTS):
            if not select.select([terminal], [], [], max(0, end - time.monotonic()))[0]:
                raise AssertionError(f"no prompt: {shown!r}")
            if not (data := _read(terminal)):
                break
            shown += data
        else:
            shown += b"\n"
            os.write(terminal, line.encode() + b"\n")
            continue
        break
    while data := _read(terminal):
        shown += data
    os.close(terminal)
    os.waitpid(pid, 0)
    return shown.decode()


def _read(terminal: int) -> bytes:
    """What is shown next; nothing once the other end is closed, which read(2) of a pty reports as EIO."""
    try:
        return os.read(terminal, 4096)
    except OSError:
        return b""
