"""Packs: files with the compiled code of the modules that a process of a start imports, in the order in which it imports them.

To import 90 modules the interpreter looks for 90 files, reads them, makes as many locks, and unmarshals a name again that
another module has too. A pack is read at once, and its modules are made and executed one after the other; the import
statements in them find what they ask for. Like a compiled file (PEP 3147) a pack lies in a __pycache__ directory and is
checked against the time and size of each source. It is a copy and nothing else: without it, or when a source has changed,
everything is imported by the finders (docs/decisions/1680).

Packs are written (`rootless.pack_writer`), as compiled files are, where this user may write: by `python -m
rootless.pack_writer`, which the first `run` executes when its container has ended.
"""

# Each start imports this module, by the interpreter's finder: it imports as little as it can, `__future__` included.
import posix
import sys
from marshal import loads

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
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

ADMISSION = "admission"
AHEAD, RUN, PREPARE, DETACHED = "ahead", "run", "prepare", "detached"
MONITOR, SHARED_IMAGE, FILE_SERVER = "monitor", "shared-image", "file-server"
RANK, RANK_FAILURE, JOIN, EXEC = "rank", "rank-failure", "join", "exec"
HPC, HPC_JOIN, IN_PLACE = "hpc", "hpc-join", "in-place"
RESUMED_CLIENT, RESUMED_SERVER = "resumed-client", "resumed-server"
NAMES = (
    *(ADMISSION, AHEAD, RUN, PREPARE, DETACHED, MONITOR, SHARED_IMAGE, FILE_SERVER),
    *(RANK, RANK_FAILURE, JOIN, EXEC, HPC, HPC_JOIN, IN_PLACE),
    *(RESUMED_CLIENT, RESUMED_SERVER),
)
"""ADMISSION is loaded before a start waits for its turn, AHEAD before the monitor is forked, and then RUN and PREPARE, MONITOR
and FILE_SERVER in three processes; DETACHED follows PREPARE in `run -d`, and SHARED_IMAGE follows MONITOR where the container
has no file server of its own. RANK is that of a rank (`run --join`, `hpc --sharens`) that has a recipe, RANK_FAILURE of its
failure, and JOIN, or HPC and HPC_JOIN, follow if its command line has to be read. HPC is that of `hpc`, and IN_PLACE follows.
RESUMED_CLIENT is that of a client of `run`, `attach` or `start` that stood by, RESUMED_SERVER that of a container's file
server."""

HEAD_LENGTH = 8
"""Bytes of the length of the head: the interpreter's magic number, the state of each source, and the names of the modules."""
_DIRECTORY = f"{__file__.rpartition('/')[0]}/__pycache__"
_PACKAGE = "/__init__.py"


def first_of(arguments: "Sequence[str]") -> str:
    """The first pack that `run`, `exec` or `hpc` with these arguments needs, after ADMISSION; empty if there is none."""
    words = arguments[:2]
    name = ""
    if words[0] == "container":
        words = words[1:]
    if words[0] == "hpc":
        if words[-1] in {"exec", "run", "shell"}:
            name = RANK if "--sharens" in arguments else HPC
    elif words[:1] == ["exec"]:
        name = EXEC
    elif words[:1] == ["run"]:
        name = RANK if any(each.startswith("--join") for each in arguments) else AHEAD
    elif "run" in words:
        name = AHEAD  # after an option
    return name


def load(name: str) -> None:
    """Import the modules of a pack, if there is one. Raises what a module raises."""
    path = path_of(name)
    if path is None or load_pack(path):
        return
    if not sys.dont_write_bytecode:
        try:
            posix.unlink(path)  # it is of other sources: `write_missing` has it written again
        except OSError:
            pass


def path_of(name: str) -> str | None:
    """The file of a pack; None where the interpreter keeps compiled files elsewhere, or compiles them with -O."""
    tag = sys.implementation.cache_tag
    if sys.pycache_prefix is not None or sys.flags.optimize or tag is None:
        return None
    return f"{_DIRECTORY}/{name}.{tag}.pack"


def write_missing() -> None:
    """Have another process write the packs, if one is missing and this user may write it; wait for that."""
    import os

    paths = [path_of(name) for name in NAMES]
    if all(path is None or os.path.exists(path) for path in paths):
        return
    if sys.dont_write_bytecode or not os.access(_DIRECTORY, os.W_OK):
        return
    argv = [sys.executable, "-P", "-m", "rootless.pack_writer"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(os.path.abspath, sys.path))}
    nowhere = [(os.POSIX_SPAWN_OPEN, number, os.devnull, os.O_RDWR, 0) for number in range(3)]
    try:
        writer = os.posix_spawn(sys.executable, argv, environment, file_actions=nowhere)
        os.waitpid(writer, 0)
    except OSError:
        pass  # the next start is as slow as this one


def load_pack(path: str, *, is_checked: bool = True) -> bool:
    """Import the modules of the pack that are not imported yet. False if there is no pack for this interpreter or a
    source has changed, if that `is_checked`; nothing has been imported then. Raises what a module raises.
    """
    entries = read_pack(path, is_checked=is_checked)
    if entries is None:
        return False
    _execute(entries)
    return True


def prepared(name: str) -> "Callable[[], None] | None":
    """What imports the modules of a pack that are not imported yet, without a file; None if there is no such pack. It raises
    what a module raises.
    """
    path = path_of(name)
    data = None if path is None else _read(path, is_checked=True)
    return None if data is None else lambda: _execute(loads(data))


def _execute(entries: "Sequence[Entry]") -> None:
    """Import the modules that are not imported yet."""
    modules = sys.modules
    begun: dict[str, ModuleType] = {}
    packages = {entry[0]: entry for entry in entries if entry[1].endswith(_PACKAGE)}
    for entry in entries:
        name = entry[0]
        if name in modules and name not in begun:
            continue
        parent, _, last = name.rpartition(".")
        if parent and parent not in modules:
            # Its own import ends after that of its modules.
            _begin(parent, packages, begun)
        module = begun.pop(name, None) or _make(*entry[:3])
        modules[name] = module
        try:
            exec(entry[3], module.__dict__)
        except BaseException:
            modules.pop(name, None)
            raise
        if parent:
            setattr(modules[parent], last, module)


def _begin(name: str, packages: "Mapping[str, Entry]", begun: "dict[str, ModuleType]") -> None:
    """Have a package among the modules that is executed later."""
    if name not in packages:
        __import__(name)
        return
    parent = name.rpartition(".")[0]
    if parent and parent not in sys.modules:
        _begin(parent, packages, begun)
    begun[name] = sys.modules[name] = _make(*packages[name][:3])


def _make(name: str, source: str, cached: str) -> "ModuleType":
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


def read_pack(path: str, *, is_checked: bool = True) -> "Sequence[Entry] | None":
    """The entries of a pack, if each is that of its source, or that is not checked."""
    data = _read(path, is_checked=is_checked)
    try:
        entries: Sequence[Entry] | None = None if data is None else loads(data)
    except (EOFError, ValueError, TypeError):
        return None
    return entries


def _read(path: str, *, is_checked: bool) -> memoryview | None:
    """The entries as they are in the file."""
    try:
        descriptor = posix.open(path, posix.O_RDONLY | posix.O_CLOEXEC)
        try:
            data = memoryview(posix.read(descriptor, posix.fstat(descriptor).st_size))
        finally:
            posix.close(descriptor)
        end = HEAD_LENGTH + int.from_bytes(data[:HEAD_LENGTH], "little")
        magic, sources, _ = loads(data[HEAD_LENGTH:end])
        if magic != MAGIC_NUMBER:
            return None
        if is_checked and any(state_of(source) != state for source, state in sources):
            return None
    except (OSError, EOFError, ValueError, TypeError):
        return None
    return data[end:]


def state_of(source: str) -> tuple[int, int]:
    """What a compiled file is checked against: seconds and bytes. Raises OSError."""
    found = posix.stat(source)
    return int(found.st_mtime), found.st_size
