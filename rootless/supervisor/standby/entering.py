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
from rootless.supervisor.standby.waiter import waiter
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
    state = received = interpreter = -1
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    try:
        known = pickled(program)
        loaded = modules()
        received = signalfd(signals)
        state = os.memfd_create("standby", os.MFD_CLOEXEC)
        write_all(state, dumps(loaded.codes[waiting.__name__][2]))
        write_all(state, dumps(compile(waiting.RESUME, waiting.__name__, "exec")))
        interpreter = os.open(waiting.INTERPRETER, os.O_PATH | os.O_CLOEXEC)
        opened = (state, received, interpreter)
        write_all(state, dumps((*loaded, sys.path, opened, known)))
        resuming.set_inheritable((*kept, *loaded.packs, *opened) if kept else (), inheritable=True)
        _execute(state, interpreter, {**waits, received: select.POLLIN}, command)
    except (ImportError, OSError, SyntaxError, TypeError):
        pass  # it stays as it is; a module whose source has changed may not compile
    finally:
        resuming.set_inheritable(inheritable=False)
        for descriptor in (state, received, interpreter):
            if descriptor >= 0:
                os.close(descriptor)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _execute(
    state: int, interpreter: int, waits: Mapping[int, int], command: Sequence[str]
) -> None:
    """Raises OSError."""
    name = read_file("/proc/self/comm").decode(errors="replace").strip()
    shown = [waiting.COMMAND, *command]
    try:
        program = waiter(interpreter, waits, name)
        try:
            os.execve(program, [waiting.NAME, *waiting.resumed(state, name), *shown], os.environ)
        finally:
            os.close(program)
    except (NotImplementedError, OSError):
        pass  # another processor, or the kernel forbids files in memory as programs
    words = (f"{descriptor}:{events}" for descriptor, events in waits.items())
    argv = [sys.executable, "-I", "-S", "-c", waiting.STAND_BY, waiting.NAME, str(state), name]
    os.execve(waiting.INTERPRETER, [*argv, *words, *shown], os.environ)
