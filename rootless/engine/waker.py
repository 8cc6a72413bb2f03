"""Whoever holds a container still may be killed meanwhile: a process beside it then lets the container go
on.

It is told of every process before that is stopped, and learns of its parent's death by the end of the
pipe between them.
"""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from types import TracebackType

_DONE = b"done"


class Waker:
    """Beside the length of a `with` block. `frozen_group` is the directory of a control group to be
    thawed, if there is one. Leaving the block, however that is done, wakes nobody."""

    def __init__(self, frozen_group: str | None) -> None:
        self._group = frozen_group
        self._pipe = -1
        self._pid = 0

    def __enter__(self) -> Self:
        reader, self._pipe = os.pipe2(os.O_CLOEXEC)
        self._pid = os.fork()
        if self._pid == 0:
            try:
                os.close(self._pipe)
                # Whatever ends its parent from the terminal must not end it.
                os.setsid()
                _watch(reader, self._group)
            finally:
                os._exit(0)
        os.close(reader)
        return self

    def before_stopping(self, pid: int) -> None:
        os.write(self._pipe, b"%d\n" % pid)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        os.write(self._pipe, _DONE + b"\n")
        os.close(self._pipe)
        os.waitpid(self._pid, 0)


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
