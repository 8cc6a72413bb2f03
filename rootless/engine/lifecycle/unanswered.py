"""Handles a monitor that does not answer: continues one that a signal has stopped, and ends the container of any
other by its first process.
"""

from __future__ import annotations

import os
import select
import time

from rootless.containers.process_identity import open_process
from rootless.containers.reconcile import kill_and_wait
from rootless.errors import RootlessError
from rootless.light_stdlib import signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.containers.record import ContainerRecord
    from rootless.supervisor.client import MonitorClient

_ANSWER_WAIT = 10.0
"""Seconds that a monitor has to answer HELLO; it takes a millisecond."""
_FIRST_LOOK = 0.2
"""Seconds until a monitor that has not answered is sent SIGCONT."""
_END_WAIT = 5.0
"""Seconds that a monitor which does not answer has to end by itself, before it is killed."""
_LONGEST_WAIT = 2_000_000
"""Seconds: poll(2) takes milliseconds that fit in an int."""


class UnansweredError(RootlessError):
    """The monitor of a container does not answer."""


def wait_for_answer(client: MonitorClient, record: ContainerRecord) -> None:
    """Return when the monitor has answered, or has ended. Raises UnansweredError."""
    poll = select.poll()
    poll.register(client.fileno(), select.POLLIN)
    end = time.monotonic() + _ANSWER_WAIT
    wait = _FIRST_LOOK
    while not poll.poll(wait * 1000):
        wait = end - time.monotonic()
        if wait <= 0:
            raise UnansweredError(
                f"the monitor of container {record.name} did not answer within {_ANSWER_WAIT:g} seconds",
                hint=f"'rootless rm -f {record.name}' ends and removes the container",
            )
        _send(record.monitor_pid, record.monitor_pid_start, signal.SIGCONT)


def signal_directly(record: ContainerRecord, number: int) -> None:
    """Send a signal to the first process of a container. One that has ended is no error."""
    _send(record.pid, record.pid_start, number)


def end_directly(record: ContainerRecord, number: int, timeout: int) -> None:
    """Send the first process of a container a signal, `timeout` seconds later (-1: never) SIGKILL, and then end the
    monitor. Raises RootlessError if the monitor is still there after that."""
    process = open_process(record.pid, record.pid_start)
    if process is not None:
        try:
            signal.pidfd_send_signal(process, number)
            poll = select.poll()
            poll.register(process, select.POLLIN)
            poll.poll(None if timeout < 0 else min(timeout, _LONGEST_WAIT) * 1000)
        except ProcessLookupError:
            pass
        finally:
            os.close(process)
        signal_directly(record, signal.SIGKILL)
    kill_and_wait(record, _END_WAIT)


def _send(pid: int, started: int, number: int) -> None:
    process = open_process(pid, started)
    if process is None:
        return
    try:
        signal.pidfd_send_signal(process, number)
    except ProcessLookupError:
        pass
    finally:
        os.close(process)
