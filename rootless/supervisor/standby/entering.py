"""Lets a monitor or a waiting client stand by: writes its state to a file in memory, keeps its descriptors open, and
executes `waiting`.
"""

from __future__ import annotations

import os
import select
import sys
from marshal import dumps

from rootless.durable import write_all
from rootless.light_stdlib import read_file, signal
from rootless.supervisor.standby import resuming, waiting
from rootless.supervisor.standby.pickled import pickled
from rootless.syscalls.signals import signalfd

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from rootless.supervisor.standby.modules import Modules
    from rootless.supervisor.standby.pickled import Resumable


def stand_by(
    program: Resumable,
    waits: Mapping[int, int],
    signals: frozenset[int],
    modules: Callable[[], Modules],
    *,
    command: Sequence[str] = (),
    kept: Sequence[int] = (),
) -> None:
    """Execute the program that waits for the descriptors and events (poll(2)), and for the signals, which are blocked when
    `program` resumes. Returns if it cannot: it has what no other program can take over.

    Args:
        modules: Those with which the program goes on.
        kept: The descriptors with which it goes on; all of them by default.
        command: The command line of the process, which is shown behind that of the program which waits.
    """
    state = received = -1
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    try:
        known = pickled(program)
        loaded = modules()
        received = signalfd(signals)
        state = os.memfd_create("standby", os.MFD_CLOEXEC)
        write_all(state, dumps(loaded.codes[waiting.__name__][2]))
        write_all(state, dumps(compile(waiting.RESUME, waiting.__name__, "exec")))
        write_all(state, dumps((*loaded, sys.path, received, known)))
        inherited = (*kept, *loaded.packs, state, received) if kept else ()
        _execute(state, {**waits, received: select.POLLIN}, command, inherited)
    except (ImportError, OSError, SyntaxError, TypeError):
        pass  # it stays as it is; a module whose source has changed may not compile
    finally:
        for descriptor in (state, received):
            if descriptor >= 0:
                os.close(descriptor)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _execute(
    state: int, waits: Mapping[int, int], command: Sequence[str], inherited: Sequence[int]
) -> None:
    """Raises OSError; then all descriptors are close-on-exec as before."""
    name = read_file("/proc/self/comm").decode(errors="replace").strip()
    words = (f"{descriptor}:{events}" for descriptor, events in waits.items())
    argv = [sys.executable, "-I", "-S", "-c", waiting.STAND_BY, "standby", str(state), name, *words]
    argv += [waiting.COMMAND, *command]
    try:
        resuming.set_inheritable(inherited, inheritable=True)
        os.execve(waiting.INTERPRETER, argv, os.environ)
    finally:
        resuming.set_inheritable(inheritable=False)
