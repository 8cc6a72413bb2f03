"""The packs of modules that the processes of a start load (unionfs.module_pack), and what writes them.

Each has what its process imports in any case. They are written, as compiled files are, where this user may write: by
`python -m rootless.module_packs`, which the first `run` executes when its container has ended.
"""

from __future__ import annotations

import os
import sys

from unionfs.module_pack import load_pack

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import ModuleType

RUN, PREPARE, MONITOR, FILE_SERVER = "run", "prepare", "monitor", "file-server"
JOIN, HPC, HPC_JOIN, IN_PLACE = "join", "hpc", "hpc-join", "in-place"
_DIRECTORY = f"{os.path.dirname(__file__)}/__pycache__"
_RANK = (
    "rootless.engine.join_container",
    "rootless.cgroups.membership",
    "rootless.containers.delete_tree",
    "rootless.containers.directory",
    "rootless.containers.process_identity",
    "rootless.supervisor.control_socket",
    "rootless.syscalls.libseccomp",
)
"""Of a process that enters a container which is there."""
MODULES = {
    RUN: (
        "rootless.cli.main",
        "rootless.cli.run",
        "rootless.containers.storage_paths",
        "rootless.engine.new_containers",
        "rootless.supervisor.start",
    ),
    PREPARE: (
        "rootless.supervisor.foreground",
        "rootless.engine.prepare",
        "rootless.containers.delete_tree",
        "rootless.spec.seccomp_profile",
        "rootless.store.chains",
    ),
    MONITOR: (
        "rootless.supervisor.clients",
        "rootless.supervisor.monitor",
        "rootless.cgroups.hierarchy",
        "rootless.containers.events",
        "rootless.syscalls.libseccomp",
    ),
    FILE_SERVER: (
        "rootless.rootfs.union",
        "rootless.supervisor.file_servers.process_names",
        "unionfs.journal",
        "unionfs.session.continuation",
        "unionfs.session.device",
        "unionfs.ops.journal_records",
    ),
    JOIN: (
        "rootless.cli.main",
        "rootless.cli.run",
        "rootless.cli.joining",
        "rootless.cli.escape",
        "rootless.containers.storage_paths",
        "rootless.engine.new_containers",
        "rootless.paths",
        *_RANK,
    ),
    HPC: (
        "rootless.cli.main",
        "rootless.cli.hpc.run",
        "rootless.cli.hpc.container",
        "rootless.cli.escape",
        "rootless.containers.storage_paths",
        "rootless.engine.new_containers",
        "rootless.hpc.names",
        "rootless.paths",
        "rootless.spec.storage_driver",
    ),
    HPC_JOIN: ("rootless.cli.hpc.sharing", *_RANK),
    IN_PLACE: (
        "rootless.supervisor.in_place",
        "rootless.cli.hpc.image",
        "rootless.rootfs.image.paths",
        "rootless.run_in_child",
        "rootless.spec.bind_sources",
        "unionfs.tar.index",
    ),
}
"""The modules that a process imports by name. RUN is loaded before the monitor is forked, PREPARE, MONITOR and FILE_SERVER
in three processes. JOIN is that of a rank (`run --join`); HPC that of `hpc`, followed by one of the last two."""
BEFORE = {
    PREPARE: (RUN,),
    MONITOR: (RUN,),
    FILE_SERVER: (RUN,),
    HPC_JOIN: (HPC,),
    IN_PLACE: (HPC,),
}
"""The packs that a process has loaded before another one."""


def load_first(arguments: Sequence[str]) -> None:
    """Load the pack of the command line of `run` or `hpc` with these arguments, if it has one. Raises what a module raises."""
    words = arguments[:2]
    if words[0] == "hpc":
        if words[-1] in {"exec", "run", "shell"}:
            load(HPC)
    elif "run" in words:
        load(JOIN if any(each.startswith("--join") for each in arguments) else RUN)


def load(name: str) -> None:
    """Import the modules of a pack, if there is one. Raises what a module raises."""
    path = _path(name)
    if path is None or load_pack(path):
        return
    if not sys.dont_write_bytecode:
        try:
            os.unlink(path)  # it is of other sources: `write_missing` has it written again
        except OSError:
            pass


def _path(name: str) -> str | None:
    """None where the interpreter keeps compiled files elsewhere, or compiles them with -O."""
    tag = sys.implementation.cache_tag
    if sys.pycache_prefix is not None or sys.flags.optimize or tag is None:
        return None
    return f"{_DIRECTORY}/{name}.{tag}.pack"


def write_missing() -> None:
    """Have another process write the packs, if one is missing and this user may write it; wait for that."""
    paths = [_path(name) for name in MODULES]
    if all(path is None or os.path.exists(path) for path in paths):
        return
    if sys.dont_write_bytecode or not os.access(_DIRECTORY, os.W_OK):
        return
    argv = [sys.executable, "-P", "-m", "rootless.module_packs"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(os.path.abspath, sys.path))}
    nowhere = [(os.POSIX_SPAWN_OPEN, number, os.devnull, os.O_RDWR, 0) for number in range(3)]
    try:
        writer = os.posix_spawn(sys.executable, argv, environment, file_actions=nowhere)
        os.waitpid(writer, 0)
    except OSError:
        pass  # the next start is as slow as this one


def write() -> None:
    """Write all packs: each in a process that has imported what its own has before. Raises OSError."""
    for name in MODULES:
        child = os.fork()
        if child:
            os.waitpid(child, 0)
            continue
        try:
            for each in BEFORE.get(name, ()):
                _import(each)
            imported: list[str] = []
            _record_imports(imported)
            _import(name)
            _write(name, imported)
        finally:
            os._exit(0)


def _import(name: str) -> None:
    for each in MODULES[name]:
        __import__(each)


def _record_imports(imported: list[str]) -> None:
    """Note the names of this project's modules in the order in which their imports end, from now on."""
    from importlib.machinery import SourceFileLoader

    execute = SourceFileLoader.exec_module

    def exec_module(loader: SourceFileLoader, module: ModuleType) -> None:
        execute(loader, module)
        if module.__name__.startswith(("rootless.", "unionfs.")):
            imported.append(module.__name__)

    setattr(SourceFileLoader, "exec_module", exec_module)  # noqa: B010 - a method is not assigned to


def _write(name: str, imported: list[str]) -> None:
    from unionfs.module_pack import write_pack

    path = _path(name)
    if path is not None:
        write_pack(path, imported)


if __name__ == "__main__":
    write()
