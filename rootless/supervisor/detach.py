"""What the monitor and the file server keep of their starter: nothing."""

from __future__ import annotations

import os
import sys

from rootless.light_stdlib import signal
from rootless.supervisor.signal_disposition import FORWARDED


def detach(log: str) -> None:
    """Leave the starter's terminal, descriptors, directory and signal handlers. Standard error is the file
    `log` from here on; where that cannot be opened, what would be written there is lost (engine_log.py). The
    process must lead a session or be in its monitor's.
    """
    # `python -c` has the working directory on its path as "", and modules are yet to come.
    sys.path[:] = map(os.path.abspath, sys.path)
    os.chdir("/")
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    try:
        log_file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    except OSError:
        log_file = os.dup(null)
    os.dup2(null, 0)
    os.dup2(null, 1)
    os.dup2(log_file, 2)
    _replace_inherited(null)
    os.close(null)
    os.close(log_file)
    for number in FORWARDED:
        signal.signal(number, signal.SIG_DFL)
    # SIGXFSZ: a write beyond RLIMIT_FSIZE is an error of that write and not the end of this process.
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def _replace_inherited(null: int) -> None:
    """Put /dev/null in the place of descriptors that the caller's program was started with: a lock
    (flock(2)) or a pipe would be held as long as the container runs. Those that Python opened are
    close-on-exec (PEP 446).
    """
    for descriptor in map(int, os.listdir("/proc/self/fd")):
        try:
            if descriptor > 2 and os.get_inheritable(descriptor):
                os.dup2(null, descriptor, inheritable=False)
        except OSError:
            pass  # the descriptor of the listing itself
