"""What the monitor and the file server keep of their starter: nothing."""

from __future__ import annotations

import os
import sys

from rootless.light_stdlib import signal
from rootless.supervisor.signal_disposition import FORWARDED


def detach(log: str) -> None:
    """Leave the starter's terminal, streams, directory and signal handlers. Standard error is the file
    `log` from here on. The process must lead a session or be in its monitor's. Raises OSError.
    """
    # `python -c` has the working directory on its path as "", and modules are yet to come.
    sys.path[:] = map(os.path.abspath, sys.path)
    os.chdir("/")
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    log_file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    os.dup2(null, 0)
    os.dup2(null, 1)
    os.dup2(log_file, 2)
    os.close(null)
    os.close(log_file)
    for number in FORWARDED:
        signal.signal(number, signal.SIG_DFL)
    # SIGXFSZ: a write beyond RLIMIT_FSIZE is an error of that write and not the end of this process.
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
