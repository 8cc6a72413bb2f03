"""Detaches the monitor and the file server from the process that started them."""

from __future__ import annotations

import os
import sys

from rootless.light_stdlib import signal
from rootless.supervisor.engine_log import take_streams
from rootless.supervisor.signal_disposition import FORWARDED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection

_IGNORED = (
    signal.SIGHUP,
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGALRM,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGXCPU,
    signal.SIGXFSZ,
)


def detach(log: str, preserved: Collection[int] = ()) -> None:
    """Leave the starter's terminal, descriptors but the `preserved`, directory and signal handlers. Standard error is the file
    `log` from here on; where that cannot be opened, what would be written there is lost (engine_log.py). The
    process must lead a session or be in its monitor's.
    """
    # `python -c` has the working directory on its path as "", and modules are yet to come.
    sys.path[:] = map(os.path.abspath, sys.path)
    os.chdir("/")
    take_streams(log)
    _replace_inherited(preserved)
    for number in FORWARDED:
        if signal.getsignal(number) != signal.SIG_DFL:
            signal.signal(number, signal.SIG_DFL)
    ignore_signals()


def ignore_signals(*more: int) -> None:
    """Ignore these signals and those that are meant for the container. A scheduler sends a signal to each process of a job:
    SIGUSR1 or SIGXCPU as a warning (sbatch(1), --signal). SIGXFSZ: a write beyond RLIMIT_FSIZE is an error of that write and
    not the end of this process.
    """
    for number in (*_IGNORED, *more):
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def _replace_inherited(preserved: Collection[int]) -> None:
    """Put /dev/null, standard input by now, in the place of descriptors that the caller's program was started
    with: a lock (flock(2)) or a pipe would be held as long as the container runs. Those that Python opened
    are close-on-exec (PEP 446), and so are the `preserved` from here on.
    """
    for descriptor in map(int, os.listdir("/proc/self/fd")):
        try:
            if descriptor in preserved:
                os.set_inheritable(descriptor, False)
            elif descriptor > 2 and os.get_inheritable(descriptor):
                os.dup2(0, descriptor, inheritable=False)
        except OSError:
            pass  # the descriptor of the listing itself
