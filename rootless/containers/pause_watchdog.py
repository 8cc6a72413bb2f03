"""Whoever holds a container still may be killed meanwhile: a process beside it then lets the container go
on.

It is told of every process before that is stopped, and learns of its parent's death by the end of the
pipe between them.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_DONE = b"done"


@contextmanager
def waker(frozen_group: str | None) -> Iterator[Callable[[int], None]]:
    """Beside the length of a `with` block, which is given what is to be told the number of a process
    before that is stopped. `frozen_group` is the directory of a control group to be thawed, if there is
    one. Leaving the block, however that is done, wakes nobody."""
    reader, writer = os.pipe2(os.O_CLOEXEC)
    pid = os.fork()
    if pid == 0:
        try:
            os.close(writer)
            # Whatever ends its parent from the terminal must not end it.
            os.setsid()
            _watch(reader, frozen_group)
        finally:
            os._exit(0)
    os.close(reader)
    try:
        yield lambda stopping: _tell(writer, b"%d" % stopping)
    finally:
        _tell(writer, _DONE)
        os.close(writer)
        os.waitpid(pid, 0)


def _tell(writer: int, line: bytes) -> None:
    os.write(writer, line + b"\n")


def _watch(reader: int, frozen_group: str | None) -> None:
    stopped: list[int] = []
    is_done = False
    with open(reader, "rb", buffering=0) as told:
        for line in told:
            if line.strip() == _DONE:
                is_done = True
                continue
            try:
                stopped.append(os.pidfd_open(int(line)))
            except OSError:
                # Gone already.
                continue
    if is_done:
        return
    if frozen_group is not None:
        with open(f"{frozen_group}/cgroup.freeze", "w", encoding="ascii") as file:
            file.write("0")
    for pidfd in stopped:
        try:
            signal.pidfd_send_signal(pidfd, signal.SIGCONT)
        except OSError:
            continue
