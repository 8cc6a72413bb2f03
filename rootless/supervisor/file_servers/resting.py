"""Lets the file server of an idle container stand by (docs/decisions/1870): its process executes a program that waits
for the FUSE device, and resumes as a server that replaces a killed one.

A timer interrupts the loop of the session, which looks whether a request has come since the last time. The server stands by
between two requests, when every request has been answered and no thread runs. It keeps what the next server of a killed one
has too, and nothing else.
"""

from __future__ import annotations

import os
import select
import sys

from rootless.containers.launch_description import LaunchDescription, unpack
from rootless.light_stdlib import read_file, signal
from rootless.supervisor import FIRST_QUIET, longer_quiet
from rootless.supervisor.engine_log import log_exception

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn, TypeAlias

    from rootless.light_stdlib import socket
    from unionfs.copy_up_stats import CopyUpStats
    from unionfs.session.counters import Counters
    from unionfs.union import Union

    GoOn: TypeAlias = Callable[["RestingServer", LaunchDescription], NoReturn]
    """What a server does that has stood by. It is called in another program, and found by its name."""

_MOST_MEMORY = 12 << 20
"""Bytes. A server that has more knows many files, which it would have to look for again."""
_WAKING = frozenset({signal.SIGUSR1})
"""A client sends it to ask for a report (`report_request`)."""


class RestingServer:
    """The server of one container, from its first request on. `device`, `memory` and `end` are its descriptors: of the mount,
    of what another server needs, and of the connection to the monitor. `init` is the PID of the container's first process.
    """

    def __init__(
        self,
        description: LaunchDescription,
        end: socket.socket,
        memory: int,
        device: int,
        init: int,
        *,
        go_on: GoOn,
    ) -> None:
        self.end, self.memory, self.device, self.init = end, memory, device, init
        self._stats: CopyUpStats | None = None
        """What was copied up before it stood by."""
        self._expected: dict[int, int] = {}
        """Processes that may be about to cause a copy-up (`CopyUpCauses`)."""
        self._description: LaunchDescription | bytes = description
        self._go_on = go_on
        self._command = sys.orig_argv
        self._quiet = FIRST_QUIET
        self._locks: list[int] = []
        """Descriptors of the work directory, which keep it locked while the server stands by."""
        self._is_asked = False
        self._served = 0

    def begin(self, union: Union) -> None:
        """Start the timer, unless the server has what it cannot find again."""
        description = self._description
        assert isinstance(description, LaunchDescription)
        if (
            description.is_traced
            or description.access_trace is not None
            or description.storage.size
            or description.storage.inodes
        ):
            return
        if self._stats is not None:
            union.copy_up_stats.go_on_from(self._stats)
            union.copy_up_causes.expected.update(self._expected)
        self._stats, self._expected = union.copy_up_stats, union.copy_up_causes.expected
        signal.signal(signal.SIGALRM, self._ask)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _WAKING)
        signal.setitimer(signal.ITIMER_REAL, self._quiet)

    def rest(self, counters: Counters) -> None:
        """Stand by if the timer has expired, and no request has come since the look before. The `rest` of
        `unionfs.session.device.serve`.
        """
        if not self._is_asked:
            return
        self._is_asked = False
        served = sum(counters.nanoseconds)
        if served == self._served:
            self._quiet = longer_quiet(self._quiet)
            if _has_one_thread() and _memory() <= _MOST_MEMORY:
                try:
                    self._stand_by()
                except Exception as error:  # noqa: BLE001 - what is loaded only now may be of another release
                    log_exception(error)
        self._served = served

    def resume(self) -> NoReturn:
        """Go on in the program that is executed after the process stood by."""
        for each in self._locks:
            os.close(each)
        self._locks.clear()
        assert isinstance(self._description, bytes)
        self._description = description = unpack(self._description)
        self._served = 0
        self._go_on(self, description)

    def _ask(self, *_: object) -> None:
        """End the read that waits for a request. The timer is set again, because the loop may set the device to block before
        it has looked.
        """
        self._is_asked = True
        os.set_blocking(self.device, False)
        signal.setitimer(signal.ITIMER_REAL, self._quiet)

    def _stand_by(self) -> None:
        """Returns if the process cannot stand by."""
        # It would end the program that waits, and a scheduler may send it to each process of a job.
        signal.signal(signal.SIGALRM, signal.SIG_IGN)
        from rootless.containers.process_identity import start_time
        from rootless.module_packs import RESUMED_SERVER
        from rootless.supervisor.standby import modules
        from rootless.supervisor.standby.entering import stand_by
        from unionfs.ops import recovery  # noqa: F401 - the server that goes on needs it
        from unionfs.session.continuation import can_continue

        if not can_continue(self.memory):
            return
        description = self._description
        assert isinstance(description, LaunchDescription)
        self._locks = _descriptors_of(description.work)
        self._description = description.packed()
        layer = _number_of(description.layer)
        try:
            stand_by(
                self,
                {self.device: select.POLLIN},
                _WAKING,
                # Its modules are those of the monitor that it was forked from.
                lambda: modules.of_pack(RESUMED_SERVER, start_time(os.getppid())),
                command=self._command,
                kept=(self.device, self.memory, self.end.fileno(), *layer, *self._locks),
            )
        finally:
            self._description = description


def _has_one_thread() -> bool:
    return len(os.listdir("/proc/self/task")) == 1


def _memory() -> int:
    """Bytes that are resident and no file's (proc_pid_statm(5))."""
    _, resident, shared, *_ = map(int, read_file("/proc/self/statm").split())
    return (resident - shared) * os.sysconf("SC_PAGE_SIZE")


def _descriptors_of(directory: str) -> list[int]:
    """Those that are open on the directory."""
    wanted, found = os.stat(directory), []
    for each in map(int, os.listdir("/proc/self/fd")):
        try:
            if os.path.samestat(os.fstat(each), wanted):
                found.append(each)
        except OSError:
            pass  # that of the listing itself
    return found


def _number_of(layer: str) -> tuple[int, ...]:
    """The descriptor of a layer in memory, which is named by it."""
    prefix = "/proc/self/fd/"
    return (int(layer.removeprefix(prefix)),) if layer.startswith(prefix) else ()
