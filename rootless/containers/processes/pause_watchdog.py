"""Watchdog for a paused container: resumes it if the process that paused it dies.

The watchdog is a child process. It reads the pid of each process before that is stopped, and learns
of its parent's death by the end of the pipe between them.
"""

from __future__ import annotations

import os
import signal
from typing import Self

_DONE = b"done"


class PauseWatchdog:
    """A context manager: the watchdog runs during the block and resumes nothing after it.

    `frozen_group` is the directory of the control group to thaw, None where processes are stopped
    one by one.
    """

    def __init__(self, frozen_group: str | None) -> None:
        self._frozen_group = frozen_group
        self._pid = 0
        self._pipe = -1

    def __enter__(self) -> Self:
        reader, self._pipe = os.pipe2(os.O_CLOEXEC)
        self._pid = os.fork()
        if self._pid == 0:
            try:
                os.close(self._pipe)
                # A signal of the terminal that ends the parent must not end this process.
                os.setsid()
                _watch(reader, self._frozen_group)
            finally:
                os._exit(0)
        os.close(reader)
        return self

    def before_stopping(self, pid: int) -> None:
        """To be called before a process is sent SIGSTOP."""
        os.write(self._pipe, b"%d\n" % pid)

    def __exit__(self, *_: object) -> None:
        os.write(self._pipe, _DONE + b"\n")
        os.close(self._pipe)
        os.waitpid(self._pid, 0)


def _watch(reader: int, frozen_group: str | None) -> None:
    stopped: list[int] = []
    is_done = False
    with open(reader, "rb", buffering=0) as lines:
        for line in lines:
            if line.strip() == _DONE:
                is_done = True
                continue
            try:
                stopped.append(os.pidfd_open(int(line)))
            except OSError:
                continue  # it has ended
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
