"""Forwards SIGSEGV, SIGBUS, SIGFPE and SIGILL of kill(2), as `run` does with every other signal.

The kernel sends the same four to an instruction that failed. A handler that returns would have that
instruction fail again, for ever, so no handler is installed. The signals are blocked instead and read
from a signalfd(2): one from kill(2) waits there, while a failed instruction ends a process that
blocks its signal (force_sig_info_to_task in the kernel).
"""

from __future__ import annotations

import os
import sys

from rootless.light_stdlib import signal
from rootless.supervisor.signal_disposition import FAULTS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_SIGINFO_BYTES = 128
"""sizeof(struct signalfd_siginfo); its first 32 bits are the number of the signal."""


def block() -> None:
    """Block the four signals in this thread: `FaultReader` reads them."""
    signal.pthread_sigmask(signal.SIG_BLOCK, FAULTS)


def unblock() -> None:
    """Drop those that wait, which are for a container that has ended, and let the four end this process
    again.
    """
    while FAULTS & signal.sigpending():
        signal.sigwait(FAULTS)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, FAULTS)


class FaultReader:
    """Calls `pass_on` with each of the four that waits. `fd` can be read when there is one; close it with
    `close`.
    """

    def __init__(self, pass_on: Callable[[int], None]) -> None:
        from rootless.syscalls.signals import signalfd

        self._pass_on = pass_on
        self.fd = signalfd(FAULTS)

    def read(self) -> bool:
        """Pass one signal on. Returns True, as a function that `relay` calls."""
        try:
            info = os.read(self.fd, _SIGINFO_BYTES)
        except BlockingIOError:
            return True
        self._pass_on(int.from_bytes(info[:4], sys.byteorder))
        return True

    def close(self) -> None:
        os.close(self.fd)
