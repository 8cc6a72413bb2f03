"""Writes the packs of `rootless.module_packs`, each with the modules that its process always imports; a program:
`python -m rootless.pack_writer`.
"""

from __future__ import annotations
import __future__

import ast
import os
import sys
from marshal import dumps

from rootless.module_packs import (
    ADMISSION,
    AHEAD,
    DETACHED,
    EXEC,
    FILE_SERVER,
    HEAD_LENGTH,
    HPC,
    HPC_JOIN,
    IN_PLACE,
    JOIN,
    MONITOR,
    PREPARE,
    RANK,
    RANK_FAILURE,
    RESUMED_CLIENT,
    RESUMED_SERVER,
    RUN,
    SHARED_IMAGE,
    path_of,
    state_of,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from importlib.machinery import SourceFileLoader
    from importlib.util import MAGIC_NUMBER
    from types import CodeType, ModuleType

    from rootless.module_packs import Entry
else:
    from _frozen_importlib_external import MAGIC_NUMBER, SourceFileLoader

_FINDER = "unionfs.light_imports"
"""The finder of the modules that are not in a pack."""
_RANK = (
    "rootless.cgroups.membership",
    "rootless.containers.delete_tree",
    "rootless.containers.directory",
    "rootless.containers.process_identity",
    "rootless.supervisor.control_socket",
)
"""Of a process that enters a container which is there."""
_FILE_SERVER = (
    "rootless.rootfs.union",
    "rootless.supervisor.file_servers.process_names",
    "rootless.supervisor.file_servers.resting",
    "unionfs.journal",
    "unionfs.session.continuation",
    "unionfs.session.device",
    "unionfs.ops.journal_records",
)
MODULES = {
    ADMISSION: ("rootless.supervisor.admission",),
    AHEAD: (_FINDER, "rootless.supervisor.ahead", "unionfs.syscalls.light_ctypes"),
    RUN: (
        "rootless.cli.main",
        "rootless.cli.run.command",
        "rootless.containers.storage_paths",
        "rootless.engine.new_containers",
        "rootless.paths",
        "rootless.supervisor.background",
    ),
    PREPARE: (
        "rootless.supervisor.foreground",
        "rootless.engine.preparation.prepare",
        "rootless.containers.delete_tree",
        "rootless.rootfs.image.tree",
        "rootless.spec.seccomp_profile",
        "rootless.store.chains",
    ),
    DETACHED: (
        "rootless.containers.launch_document",
        "rootless.network.setup",
    ),
    MONITOR: (
        "rootless.supervisor.clients",
        "rootless.supervisor.monitor",
        "rootless.supervisor.run_resources",
        "rootless.cgroups.hierarchy",
        "rootless.containers.events",
    ),
    SHARED_IMAGE: (
        "rootless.supervisor.file_servers.served_mounts",
        "rootless.supervisor.file_servers.shared_image",
        "rootless.supervisor.file_servers.volume_mounts",
        "rootless.runtime.nested",
        "rootless.runtime.steps.overlay",
        "unionfs.syscalls.locks",
    ),
    FILE_SERVER: _FILE_SERVER,
    RANK: ("rootless.cli.rank",),
    RANK_FAILURE: ("rootless.cli.rank_failure",),
    JOIN: (
        _FINDER,
        "rootless.cli.main",
        "rootless.cli.run.command",
        "rootless.cli.run.joining",
        "rootless.cli.escape",
        "rootless.containers.storage_paths",
        "rootless.engine.new_containers",
        "rootless.engine.join_container",
        *_RANK,
    ),
    EXEC: (
        _FINDER,
        "rootless.cli.main",
        "rootless.cli.containers.exec",
        "rootless.engine.engine",
        "rootless.engine.exec_in_container",
        *_RANK,
    ),
    HPC: (
        _FINDER,
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
    HPC_JOIN: ("rootless.cli.hpc.sharing", "rootless.engine.join_container", *_RANK),
    IN_PLACE: (
        "rootless.supervisor.in_place",
        "rootless.cli.hpc.image",
        "rootless.rootfs.image.paths",
        "rootless.run_in_child",
        "rootless.spec.bind_sources",
        "unionfs.tar.index",
    ),
    RESUMED_CLIENT: (
        _FINDER,
        "rootless.cli.containers.ending",
        "rootless.cli.escape",
        "rootless.cli.run.ending",
        "rootless.run_in_child",
        "rootless.supervisor.foreground",
        "rootless.supervisor.standby.entering",
        "rootless.supervisor.start",
        "rootless.supervisor.terminals.job_control",
        "rootless.supervisor.terminals.terminal_session",
    ),
    RESUMED_SERVER: (
        _FINDER,
        *_FILE_SERVER,
        "rootless.supervisor.file_servers.file_server",
        "rootless.supervisor.standby.entering",
        "unionfs.ops.recovery",
    ),
}
"""The modules that a process imports by name."""
BEFORE = {
    AHEAD: (ADMISSION,),
    RUN: (ADMISSION, AHEAD),
    PREPARE: (ADMISSION, AHEAD, RUN),
    DETACHED: (ADMISSION, AHEAD, RUN, PREPARE),
    MONITOR: (ADMISSION, AHEAD),
    SHARED_IMAGE: (ADMISSION, AHEAD, MONITOR),
    FILE_SERVER: (ADMISSION, AHEAD),
    RANK_FAILURE: (RANK,),
    JOIN: (RANK,),
    HPC_JOIN: (RANK, HPC),
    IN_PLACE: (HPC,),
}
"""The packs that a process has loaded before another one."""


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
            path = path_of(name)
            if path is not None:
                write_pack(path, imported)
        finally:
            os._exit(0)


def _import(name: str) -> None:
    for each in MODULES[name]:
        __import__(each)


def _record_imports(imported: list[str]) -> None:
    """Note the names of this project's modules in the order in which their imports end, from now on."""
    execute = SourceFileLoader.exec_module

    def exec_module(loader: SourceFileLoader, module: ModuleType) -> None:
        execute(loader, module)
        if module.__name__.partition(".")[0] in {"rootless", "unionfs"}:
            imported.append(module.__name__)

    setattr(SourceFileLoader, "exec_module", exec_module)  # noqa: B010 - a method is not assigned to


def write_pack(path: str, names: Iterable[str]) -> None:
    """Write a pack of modules that have been imported, in the order in which their import has ended. Raises OSError."""
    entries: list[Entry] = []
    sources: list[tuple[str, tuple[int, int]]] = []
    for name in names:
        loader = sys.modules[name].__loader__
        if not isinstance(loader, SourceFileLoader):
            continue
        source = str(sys.modules[name].__file__)
        state = state_of(source)
        code = _compiled(loader.get_data(source), source)
        entries.append((name, source, str(sys.modules[name].__cached__), code))
        sources.append((source, state))
    head = dumps((MAGIC_NUMBER, sources, [entry[0] for entry in entries]))
    data = memoryview(len(head).to_bytes(HEAD_LENGTH, "little") + head + dumps(entries))
    temporary = f"{path}.{os.getpid()}"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    descriptor = os.open(temporary, flags, 0o644)
    try:
        while data:
            data = data[os.write(descriptor, data) :]
        os.rename(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
    finally:
        os.close(descriptor)


def _compiled(source: bytes, path: str) -> CodeType:
    """The code of a source, without what is for readers and checkers alone: a sixth of it."""
    tree = ast.parse(source, path)
    flags = 0
    for each in tree.body:
        if isinstance(each, ast.ImportFrom) and each.module == "__future__":
            for name in each.names:
                flags |= getattr(__future__, name.name).compiler_flag
    stripped = _Stripped().visit(tree)
    code: CodeType = compile(stripped, path, "exec", flags=flags, dont_inherit=True)
    return code


class _Stripped(ast.NodeTransformer):
    """Removes docstrings, annotations, and what is for type checkers only."""

    def visit_Module(self, node: ast.Module) -> ast.Module:
        _remove_docstring(node)
        self.generic_visit(node)
        return node

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.ClassDef:
        _remove_docstring(node)
        if _extends(node, "Protocol") and not node.decorator_list:
            node.body = [each for each in node.body if not _is_declaration(each)] or [_empty(node)]
        self.generic_visit(node)
        if not _extends(node, "NamedTuple"):
            node.body = [_without_annotation(each) for each in node.body]
            return node
        for each in node.body:
            if isinstance(each, ast.AnnAssign):  # it makes a field, of whatever type
                each.annotation = ast.copy_location(ast.Name("object", ast.Load()), each)
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef:
        self._function(node)
        return node

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AsyncFunctionDef:
        self._function(node)
        return node

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.ImportFrom | None:
        # It is a flag of the compiler, and imports a module nevertheless.
        return None if node.module == "__future__" else node

    def visit_If(self, node: ast.If) -> ast.If | list[ast.stmt] | ast.Pass:
        self.generic_visit(node)
        if not isinstance(node.test, ast.Name) or node.test.id != "TYPE_CHECKING":
            return node
        return node.orelse or _empty(node)

    def _function(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        _remove_docstring(node)
        taken = node.args
        node.returns = None
        for each in (*taken.posonlyargs, *taken.args, *taken.kwonlyargs, taken.vararg, taken.kwarg):
            if each is not None:
                each.annotation = None
        self.generic_visit(node)


def _extends(node: ast.ClassDef, base: str) -> bool:
    return any(isinstance(each, ast.Name) and each.id == base for each in node.bases)


def _is_declaration(node: ast.stmt) -> bool:
    """Whether it is a method with nothing to execute."""
    return isinstance(node, ast.FunctionDef) and all(
        isinstance(each, ast.Pass)
        or (isinstance(each, ast.Expr) and isinstance(each.value, ast.Constant))
        for each in node.body
    )


def _without_annotation(node: ast.stmt) -> ast.stmt:
    if not isinstance(node, ast.AnnAssign):
        return node
    if node.value is None:
        return _empty(node)
    return ast.copy_location(ast.Assign([node.target], node.value), node)


def _empty(node: ast.stmt) -> ast.Pass:
    return ast.copy_location(ast.Pass(), node)


def _remove_docstring(
    node: ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef,
) -> None:
    if ast.get_docstring(node, clean=False) is not None:
        node.body[0] = ast.copy_location(ast.Pass(), node.body[0])


if __name__ == "__main__":
    write()
