"""Keeps the modules of a process in its state, so that it resumes with them whatever is installed meanwhile."""

from __future__ import annotations

import os
import sys
import time
from marshal import loads

from rootless import module_packs
from rootless.containers.process_identity import start_time
from rootless.module_packs import state_of
from unionfs.light_types import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from importlib.machinery import SourceFileLoader
    from importlib.util import MAGIC_NUMBER
    from types import CodeType
else:
    from _frozen_importlib_external import MAGIC_NUMBER, SourceFileLoader

_OURS = ("rootless", "unionfs")
_PACKS = (
    module_packs.ADMISSION,
    module_packs.AHEAD,
    module_packs.RUN,
    module_packs.MONITOR,
    module_packs.SHARED_IMAGE,
)
"""Of which the modules of a monitor come, in the order in which they are loaded."""
_BEFORE_PACKS = ("rootless", "rootless.module_packs", "rootless.supervisor.standby.waiting")
"""What is needed before a pack is loaded."""


class Modules(NamedTuple):
    """Where the modules come from."""

    packs: list[int]
    """Descriptors."""
    packed: set[str]
    """The names of the modules in the packs."""
    codes: dict[str, tuple[str, bool, CodeType]]
    """Of each other module: its source, whether it is a package, and its code."""


_kept: dict[int, Modules] = {}
"""With which the process of this PID stands by. A process that it forks is another program: it loads other modules, and has
closed the descriptors.
"""


def keep(modules: Modules) -> Modules:
    """Take these for the ones that this process has loaded. Returns them."""
    _kept.clear()
    _kept[os.getpid()] = modules
    return modules


def of_monitor(start: int = 0) -> Modules:
    """The modules that this process has loaded, `start` as in `of_pack`. Raises OSError where the files that they were loaded
    from have been replaced since, and ImportError and SyntaxError where they cannot be read.
    """
    started = time.time() - _age(start)
    modules = _kept.get(os.getpid()) or keep(_opened(started))
    _add(modules, (name for name in sys.modules if name not in modules.packed), started)
    return modules


def of_pack(name: str, start: int = 0) -> Modules:
    """The modules of a pack of all that the process needs, where there is one; else as `of_monitor`. `start`: when they were
    loaded, if that was before the process was forked (clock ticks since boot).
    """
    started = time.time() - _age(start)
    modules = _kept.get(os.getpid())
    if modules is None:
        pack = _open(name, started)
        if pack is None:
            return of_monitor(start)
        modules = keep(Modules([pack[0]], pack[1], {}))
    if not modules.packs:
        return of_monitor(start)
    _add(modules, _BEFORE_PACKS, started)
    return modules


def _add(modules: Modules, names: Iterable[str], started: float) -> None:
    """Add the code of modules of this project."""
    for name in sorted(names):
        if name.partition(".")[0] not in _OURS or name in modules.codes:
            continue
        source = str(sys.modules[name].__file__)
        if _changed(source) > started:
            raise OSError(f"{source} has been replaced")
        code = SourceFileLoader(name, source).get_code(name)
        if code is not None:
            modules.codes[name] = source, source.endswith("/__init__.py"), code


def _opened(started: float) -> Modules:
    """The packs that this process has loaded; one that is younger it has not."""
    packs: list[int] = []
    packed: set[str] = set()
    for name in _PACKS:
        pack = _open(name, started)
        if pack is None:
            continue
        descriptor, names = pack
        if names <= sys.modules.keys():
            packs.append(descriptor)
            packed |= names
        else:
            os.close(descriptor)
    return Modules(packs, packed, {})


def _open(name: str, started: float) -> tuple[int, set[str]] | None:
    """The descriptor of a pack and the names of its modules; None if it is younger than this process, or its sources are."""
    path = module_packs.path_of(name)
    if path is None or not os.path.exists(path) or _changed(path) > started:
        return None
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    names = _names(descriptor)
    if names:
        return descriptor, names
    os.close(descriptor)
    return None


def _names(pack: int) -> set[str]:
    """The names of the modules of a pack of this interpreter whose sources are as they were; else none."""
    try:
        size = int.from_bytes(os.read(pack, module_packs.HEAD_LENGTH), "little")
        magic, sources, names = loads(os.read(pack, size))
        if magic == MAGIC_NUMBER and all(state_of(source) == state for source, state in sources):
            return set(names)
    except (OSError, EOFError, ValueError, TypeError):
        pass  # as `read_pack`
    return set()


def _changed(path: str) -> float:
    """Also of a file that is put there with the times of another one."""
    return os.stat(path).st_ctime


def _age(start: int) -> float:
    """Seconds since then, or since the start of this process."""
    boot = time.clock_gettime(time.CLOCK_BOOTTIME)
    return boot - (start or start_time(os.getpid())) / os.sysconf("SC_CLK_TCK")
