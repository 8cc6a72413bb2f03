"""How a monitor comes to stand by: what it knows goes into a file in memory, its descriptors stay open, and the process
executes `waiting`.
"""

from __future__ import annotations

import os
import select
import sys
from marshal import dumps

from rootless import module_packs
from rootless.durable import write_all
from rootless.light_stdlib import read_file, signal
from rootless.supervisor.standby import resuming, waiting
from rootless.supervisor.standby.pickled import pickled
from rootless.syscalls.signals import signalfd

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from importlib.machinery import SourceFileLoader
    from types import CodeType

    from rootless.supervisor.standby.pickled import Resumable
else:
    from _frozen_importlib_external import SourceFileLoader

_OURS = ("rootless", "unionfs")
_PACKS = (module_packs.RUN, module_packs.MONITOR, module_packs.SHARED_IMAGE)
"""Of which the modules of a monitor come, in the order in which they are loaded."""


def stand_by(monitor: Resumable, readable: Sequence[int], events: Mapping[int, int]) -> None:
    """Execute the program that waits until one of the descriptors is readable, for the events (poll(2)) of others, and for
    SIGTERM. Returns if the monitor cannot: it has what no other program can take over.
    """
    packs: list[int] = []
    state = terminated = -1
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    try:
        names = _open_packs(packs)
        terminated = signalfd({signal.SIGTERM})
        parts = (_codes(names), packs, sys.path, terminated, pickled(monitor))
        state = os.memfd_create("monitor", os.MFD_CLOEXEC)
        write_all(state, dumps(parts))
        waits = dict.fromkeys((*readable, terminated), select.POLLIN)
        _execute(state, {**waits, **events})
    except (ImportError, OSError, SyntaxError, TypeError):
        pass  # it stays as it is; a module whose source has changed may not compile
    finally:
        for descriptor in (*packs, state, terminated):
            if descriptor >= 0:
                os.close(descriptor)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _open_packs(opened: list[int]) -> set[str]:
    """Add descriptors of the packs that are there and that the monitor has loaded; returns the names of their modules."""
    names: set[str] = set()
    for pack in _PACKS:
        path = module_packs.path_of(pack)
        if path is None or not os.path.exists(path):
            continue
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        opened.append(descriptor)
        found = {entry[0] for entry in module_packs.read_pack(f"/proc/self/fd/{descriptor}") or ()}
        if found and found <= sys.modules.keys():
            names |= found
        else:
            os.close(opened.pop())
    return names


def _codes(packed: set[str]) -> dict[str, tuple[str, bool, CodeType]]:
    """Source, whether it is a package, and code of each module that is in no pack."""
    found = {}
    assert resuming.__name__ in sys.modules  # it is needed first of all
    for name, module in sorted(sys.modules.items()):
        if name in packed or name.partition(".")[0] not in _OURS:
            continue
        source = str(module.__file__)
        code = SourceFileLoader(name, source).get_code(name)
        if code is not None:
            found[name] = (source, source.endswith("/__init__.py"), code)
    return found


def _execute(state: int, waits: Mapping[int, int]) -> None:
    """Raises OSError; then all descriptors are close-on-exec as before."""
    kept = [each for each in map(int, os.listdir("/proc/self/fd")) if each > 2]
    name = read_file("/proc/self/comm").decode(errors="replace").strip()
    words = (f"{descriptor}:{events}" for descriptor, events in waits.items())
    argv = [sys.executable, "-I", "-S", str(waiting.__file__), str(state), name, *words]
    try:
        _set_inheritable(kept, inheritable=True)
        os.execve(sys.executable, argv, os.environ)
    finally:
        _set_inheritable(kept, inheritable=False)


def _set_inheritable(descriptors: list[int], *, inheritable: bool) -> None:
    for each in descriptors:
        try:
            os.set_inheritable(each, inheritable)
        except OSError:
            pass  # that of the listing itself
