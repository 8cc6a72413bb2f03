"""The init of a container: process 1, which starts the command, forwards signals to it and reaps orphans.

It is a process of the engine with the container's credentials and filters. It is not dumpable, so that
no process inside can reach its memory or its executable through /proc/1: ptrace_may_access in the
kernel asks for a capability in the user namespace that the program was started in, the host's.
"""

from __future__ import annotations

import os

from rootless.light_stdlib import signal
from rootless.syscalls.processes import close_from, set_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

_NAME = b"rootless-init"

# Stop signals of a background process that touches the terminal: the command's own affair.
_NOT_FORWARDED = frozenset({signal.SIGCHLD, signal.SIGTTIN, signal.SIGTTOU})


_TO_ITS_GROUP = frozenset({signal.SIGTSTP, signal.SIGCONT})
"""What a shell sends to all processes of a job."""


def reap_until(child: int, stops: int = -1) -> NoReturn:
    """Serve as init until `child` ends, then exit with its status (128+n for a signal). Signals
    must be blocked. `stops`: a pipe, to which a byte is written each time the child stops."""
    set_name(_NAME)
    if stops >= 0:
        os.dup2(stops, 0)
    close_from(0 if stops < 0 else 1)
    everything = set(range(1, signal.NSIG)) - {32, 33}  # the C library's own
    for number in everything - {signal.SIGKILL, signal.SIGSTOP}:
        # It never runs: to the monitor, which cannot see what waits for signals here, it is the mark of
        # a program that takes them.
        signal.signal(number, _take)
    while True:
        number = signal.sigwait(everything)
        if number == signal.SIGCHLD:
            _reap(child, tells_stops=stops >= 0)
        elif number not in _NOT_FORWARDED:
            try:
                os.kill(-child if number in _TO_ITS_GROUP else child, number)
            except ProcessLookupError:
                continue


def _take(*_: object) -> None:
    pass


def _reap(child: int, *, tells_stops: bool) -> None:
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG | (os.WUNTRACED if tells_stops else 0))
        except ChildProcessError:
            return
        if pid == 0:
            return
        if os.WIFSTOPPED(status):
            if pid == child:
                _tell_stop()
        elif pid == child:
            code = os.waitstatus_to_exitcode(status)
            os._exit(code if code >= 0 else 128 - code)


def _tell_stop() -> None:
    try:
        os.write(0, b"s")
    except OSError:
        return  # the monitor has closed it
