"""A finder for the modules of this project that takes four system calls a module and not nine.

The interpreter's own finder lists directories, looks at each file twice and reads it through a
buffered file object; a start, which imports 160 modules of this project, spends a sixth of its
processor time there and not in the modules (docs/decisions/1300). This finder reads the compiled file
that belongs to the source and checks it as the interpreter does: against the time and size of the
source (PEP 3147; importlib's _validate_timestamp_pyc). What is not exactly so, such as a source
without a compiled file, it leaves to the interpreter's finder, which compiles it and writes the file.
"""

from __future__ import annotations

import posix
import sys
from marshal import loads

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.machinery import ModuleSpec, SourceFileLoader
    from types import CodeType, ModuleType
else:
    # `importlib.machinery` is these modules under their public names, and two more files to import.
    from _frozen_importlib import ModuleSpec
    from _frozen_importlib_external import SourceFileLoader

_HEADER = 16
"""Bytes before the code: magic number, flags, and time and size of the source (PEP 552)."""
_BY_TIME = bytes(4)
"""Flags of a compiled file that is checked against the time of its source."""
_CHUNK = 1 << 16


class _LoadedCode(SourceFileLoader):
    """The interpreter's loader of a source, with the compiled file read already."""

    def __init__(self, name: str, source: str, compiled: bytes) -> None:
        super().__init__(name, source)
        self._compiled = compiled

    def get_code(self, fullname: str) -> CodeType | None:
        if not self._compiled:
            return super().get_code(fullname)
        code: CodeType = loads(memoryview(self._compiled)[_HEADER:])
        self._compiled = b""  # used once; a traceback reads the source
        return code


class BytecodeFinder:
    """Finds the modules of some packages. A finder of `sys.meta_path`."""

    def __init__(self, packages: Sequence[str], magic: bytes, tag: str) -> None:
        self._prefixes = tuple(f"{package}." for package in packages)
        self._magic = magic + _BY_TIME
        self._suffix = f".{tag}.pyc"

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, _target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The module's spec, or None to ask the next finder."""
        if not path or not name.startswith(self._prefixes):
            return None
        directory, last = path[0], name[name.rindex(".") + 1 :]
        source = f"{directory}/{last}.py"
        is_package = False
        try:
            try:
                found = posix.stat(source)
            except FileNotFoundError:
                directory, last, is_package = f"{directory}/{last}", "__init__", True
                source = f"{directory}/__init__.py"
                found = posix.stat(source)
            cached = f"{directory}/__pycache__/{last}{self._suffix}"
            compiled = _read(cached)
        except OSError:
            return None
        seconds = int(found.st_mtime) & 0xFFFFFFFF
        expected = seconds.to_bytes(4, "little") + found.st_size.to_bytes(8, "little")[:4]
        if compiled[:_HEADER] != self._magic + expected:
            return None
        loader = _LoadedCode(name, source, compiled)
        spec = ModuleSpec(name, loader, origin=source, is_package=is_package)
        spec.has_location = True
        spec.cached = cached
        if spec.submodule_search_locations is not None:
            spec.submodule_search_locations.append(directory)
        return spec


class _SiteFinder:
    """The last finder of a program that was started without `site` (`python -S`): executes it when a module is looked for
    that is not the interpreter's or this project's.
    """

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The module's spec by the paths that `site` adds, or None."""
        if path is not None:
            return None  # a module of a package that has been found
        sys.meta_path.remove(self)
        import site

        site.main()
        for finder in sys.meta_path:
            spec = finder.find_spec(name, path, target)
            if spec is not None:
                return spec
        return None


def _read(path: str) -> bytes:
    descriptor = posix.open(path, posix.O_RDONLY | posix.O_CLOEXEC)
    try:
        data = posix.read(descriptor, _CHUNK)
        while len(data) % _CHUNK == 0 and (more := posix.read(descriptor, _CHUNK)):
            data += more
        return data
    finally:
        posix.close(descriptor)


def install(*packages: str) -> None:
    """Find the modules of the packages by this finder from now on, in this process, and those of others as ever where the
    interpreter was started with -S.

    Not where the interpreter keeps compiled files in another directory or compiles with -O.
    """
    if sys.flags.no_site:
        sys.meta_path.append(_SiteFinder())
    tag = sys.implementation.cache_tag
    if sys.pycache_prefix is not None or sys.flags.optimize or tag is None:
        return
    from _frozen_importlib_external import MAGIC_NUMBER

    sys.meta_path.insert(0, BytecodeFinder(packages, MAGIC_NUMBER, tag))
