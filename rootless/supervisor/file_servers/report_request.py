"""Asks the file server of a running container to write its reports: sends SIGUSR1, and waits until the file is
replaced.
"""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from rootless.containers.process_identity import is_alive, open_process
from rootless.containers.record import ContainerRecord
from rootless.errors import RootlessError

TIMEOUT = 2.0
"""Seconds that a server has, if nothing else is asked for."""
_INTERVAL = 0.002
"""Seconds."""


def request_report(record: ContainerRecord, path: Path, timeout: float | None = None) -> None:
    """Have the file server write `path` anew, and wait for that, or for its end: what it wrote then is there.

    Raises RootlessError if it does not answer within `timeout` seconds, `TIMEOUT` by default.
    """
    before, timeout = _identity(path), timeout or TIMEOUT
    try:
        server = open_process(record.server_pid, record.server_pid_start)
    except OSError:
        return
    if server is None:
        return
    try:
        signal.pidfd_send_signal(server, signal.SIGUSR1)
        deadline = time.monotonic() + timeout
        while _identity(path) == before:
            if time.monotonic() > deadline:
                raise RootlessError(
                    f"the file server of container {record.name} did not answer within {timeout:g} s",
                    hint="it may be copying a large file; try again",
                )
            if not is_alive(record.server_pid, record.server_pid_start):
                return
            time.sleep(_INTERVAL)
    except ProcessLookupError:
        return
    finally:
        os.close(server)


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_ino, status.st_mtime_ns
