"""How a monitor comes to stand by: what it knows goes into a file in memory, its descriptors stay open, and the process
executes `waiting`.
"""

from __future__ import annotations

import os
import select
import sys
from marshal import dumps

from rootless.durable import write_all
from rootless.light_stdlib import read_file, signal
from rootless.supervisor.standby import modules, resuming, waiting
from rootless.supervisor.standby.pickled import pickled
from rootless.syscalls.signals import signalfd

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rootless.supervisor.standby.pickled import Resumable


def stand_by(monitor: Resumable, readable: Sequence[int], events: Mapping[int, int]) -> None:
    """Execute the program that waits until one of the descriptors is readable, for the events (poll(2)) of others, and for
    SIGTERM. Returns if the monitor cannot: it has what no other program can take over.
    """
    state = terminated = -1
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    try:
        known = pickled(monitor)
        kept = modules.loaded()
        assert resuming.__name__ in kept.codes  # it is needed first of all
        terminated = signalfd({signal.SIGTERM})
        state = os.memfd_create("monitor", os.MFD_CLOEXEC)
        write_all(state, dumps(kept.codes[waiting.__name__][2]))
        write_all(state, dumps((*kept, sys.path, terminated, known)))
        os.lseek(state, 0, os.SEEK_SET)
        waits = dict.fromkeys((*readable, terminated), select.POLLIN)
        _execute(state, {**waits, **events})
    except (ImportError, OSError, SyntaxError, TypeError):
        pass  # it stays as it is; a module whose source has changed may not compile
    finally:
        for descriptor in (state, terminated):
            if descriptor >= 0:
                os.close(descriptor)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _execute(state: int, waits: Mapping[int, int]) -> None:
    """Raises OSError; then all descriptors are close-on-exec as before."""
    name = read_file("/proc/self/comm").decode(errors="replace").strip()
    words = (f"{descriptor}:{events}" for descriptor, events in waits.items())
    argv = [sys.executable, "-I", "-S", "-c", waiting.FIRST, "standby", str(state), name, *words]
    try:
        resuming.set_inheritable(inheritable=True)
        os.execve(waiting.INTERPRETER, argv, os.environ)
    finally:
        resuming.set_inheritable(inheritable=False)
