"""A file with the compiled code of the modules that a process imports, in the order in which it imports them.

To import 90 modules the interpreter looks for 90 files, reads them, makes as many locks, and unmarshals a name again that
another module has too. A pack is read at once, and its modules are made and executed one after the other; the import
statements in them find what they ask for. Like a compiled file (PEP 3147) a pack lies in a __pycache__ directory and is
checked against the time and size of each source. It is a copy and nothing else: without it, or when a source has changed,
everything is imported by the finders (docs/decisions/1680).
"""

from __future__ import annotations

import posix
import sys
from marshal import dumps, loads

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from importlib.machinery import ModuleSpec, SourceFileLoader
    from importlib.util import MAGIC_NUMBER
    from types import CodeType, ModuleType
    from typing import TypeAlias

    Entry: TypeAlias = tuple[str, str, str, CodeType]
    """Name of a module, paths of its source and of its compiled file, code."""
else:
    # `importlib.machinery` is these modules under their public names, and two more files to import.
    from _frozen_importlib import ModuleSpec
    from _frozen_importlib_external import MAGIC_NUMBER, SourceFileLoader

_LENGTH = 8
"""Bytes of the length of the head: the interpreter's magic number, and the state of each source."""
_PACKAGE = "/__init__.py"


def load_pack(path: str) -> bool:
    """Import the modules of the pack that are not imported yet. False if there is no pack for this interpreter or a
    source has changed; nothing has been imported then. Raises what a module raises.
    """
    entries = _read(path)
    if entries is None:
        return False
    modules = sys.modules
    begun: dict[str, ModuleType] = {}
    packages = {entry[0]: entry for entry in entries if entry[1].endswith(_PACKAGE)}
    for entry in entries:
        name = entry[0]
        if name in modules and name not in begun:
            continue
        parent, _, last = name.rpartition(".")
        if parent not in modules:
            # Its own import ends after that of its modules.
            _begin(parent, packages, begun)
        module = begun.pop(name, None) or _make(*entry[:3])
        modules[name] = module
        try:
            exec(entry[3], module.__dict__)
        except BaseException:
            modules.pop(name, None)
            raise
        setattr(modules[parent], last, module)
    return True


def _begin(name: str, packages: Mapping[str, Entry], begun: dict[str, ModuleType]) -> None:
    """Have a package among the modules that is executed later."""
    if name not in packages:
        __import__(name)
        return
    parent = name.rpartition(".")[0]
    if parent not in sys.modules:
        _begin(parent, packages, begun)
    begun[name] = sys.modules[name] = _make(*packages[name][:3])


def _make(name: str, source: str, cached: str) -> ModuleType:
    """A module with the attributes that the interpreter gives it (importlib's _init_module_attrs)."""
    module: ModuleType = type(sys)(name)
    loader = SourceFileLoader(name, source)
    is_package = source.endswith(_PACKAGE)
    spec = ModuleSpec(name, loader, origin=source, is_package=is_package)
    spec.has_location = True
    spec.cached = cached
    values = module.__dict__
    values["__file__"] = source
    values["__cached__"] = cached
    values["__spec__"] = spec
    values["__loader__"] = loader
    values["__package__"] = spec.parent
    if is_package:
        spec.submodule_search_locations = values["__path__"] = [source[: -len(_PACKAGE)]]
    return module


def _read(path: str) -> Sequence[Entry] | None:
    """The entries of a pack, if each is that of its source."""
    try:
        descriptor = posix.open(path, posix.O_RDONLY | posix.O_CLOEXEC)
        try:
            data = memoryview(posix.read(descriptor, posix.fstat(descriptor).st_size))
        finally:
            posix.close(descriptor)
        end = _LENGTH + int.from_bytes(data[:_LENGTH], "little")
        magic, sources = loads(data[_LENGTH:end])
        if magic != MAGIC_NUMBER or any(_state(source) != state for source, state in sources):
            return None
        entries: Sequence[Entry] = loads(data[end:])
    except (OSError, EOFError, ValueError, TypeError):
        return None
    return entries


def _state(source: str) -> tuple[int, int]:
    """What a compiled file is checked against: seconds and bytes."""
    found = posix.stat(source)
    return int(found.st_mtime), found.st_size


def write_pack(path: str, names: Iterable[str]) -> None:
    """Write a pack of modules that have been imported, in the order in which their import has ended. Raises OSError."""
    entries: list[Entry] = []
    sources: list[tuple[str, tuple[int, int]]] = []
    for name in names:
        loader = sys.modules[name].__loader__
        code = loader.get_code(name) if isinstance(loader, SourceFileLoader) else None
        if code is None:
            continue
        source = str(sys.modules[name].__file__)
        entries.append((name, source, str(sys.modules[name].__cached__), code))
        sources.append((source, _state(source)))
    head = dumps((MAGIC_NUMBER, sources))
    data = memoryview(len(head).to_bytes(_LENGTH, "little") + head + dumps(entries))
    temporary = f"{path}.{posix.getpid()}"
    flags = posix.O_WRONLY | posix.O_CREAT | posix.O_EXCL | posix.O_CLOEXEC
    descriptor = posix.open(temporary, flags, 0o644)
    try:
        while data:
            data = data[posix.write(descriptor, data) :]
        posix.rename(temporary, path)
    except BaseException:
        posix.unlink(temporary)
        raise
    finally:
        posix.close(descriptor)
