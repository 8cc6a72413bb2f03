"""A pack gives the modules that the interpreter's own import gives, and nothing when it is out of date."""

from __future__ import annotations

import importlib
import io
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from rootless.module_packs import load_pack
from rootless.pack_writer import write_pack

SOURCES = {
    "__init__.py": '"""A package."""\n',
    "first.py": """
from __future__ import annotations

from packed.lower.second import VALUE
from unionfs.light_types import NamedTuple, Protocol, runtime_checkable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
else:
    RESULT = VALUE + 1


def longest(words: Sequence[str]) -> str:
    \"\"\"The longest word.\"\"\"
    return max(words, key=len)


class Fields(NamedTuple):
    \"\"\"Fields.\"\"\"

    first: Sequence[int]
    second: int = 1


class Limits:
    lower: int
    upper: int = 3


class Reader(Protocol):
    def read(self) -> bytes:
        \"\"\"Some bytes.\"\"\"
        ...

    def first(self) -> bytes:
        return self.read()[:1]


@runtime_checkable
class Closable(Protocol):
    def close(self) -> None: ...
""",
    # Its import ends after those of its modules.
    "lower/__init__.py": "from packed.lower.second import VALUE\nNAME = __name__\n",
    "lower/second.py": 'VALUE = 41\n\n\ndef where() -> str:\n    return __package__ or ""\n',
}
ORDER = ("packed", "packed.lower.second", "packed.lower", "packed.first")


def forget() -> None:
    for name in [each for each in sys.modules if each.split(".")[0] == "packed"]:
        del sys.modules[name]


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Sources of a package, and a pack of it; nothing of it is imported."""
    root = tmp_path / "packed"
    for name, text in SOURCES.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.import_module("packed.first")
    write_pack(str(tmp_path / "pack"), ORDER[1:])
    forget()
    yield root
    forget()


def attributes(module: ModuleType) -> dict[str, object]:
    spec = module.__spec__
    assert spec is not None
    given = {
        name: getattr(module, name, None)
        for name in ("__name__", "__package__", "__file__", "__cached__", "__path__")
    }
    shown = (spec.name, spec.origin, spec.cached, spec.has_location, spec.parent)
    return {**given, "spec": shown, "within": spec.submodule_search_locations}


def test_packed_modules_are_those_of_an_import(
    package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    importlib.import_module("packed.first")
    expected = {name: attributes(sys.modules[name]) for name in ORDER}
    forget()
    importlib.import_module("packed")
    with monkeypatch.context() as context:
        context.setattr(sys, "meta_path", [])  # nothing is looked for
        assert load_pack(str(package.parent / "pack"))
    assert {name: attributes(sys.modules[name]) for name in ORDER} == expected
    first = importlib.import_module("packed.first")
    assert (first.RESULT, first.__loader__.name) == (42, "packed.first")
    packed = sys.modules["packed"]
    assert packed.first is first
    assert packed.lower.second.where() == "packed.lower"
    assert packed.lower.NAME == "packed.lower"
    assert importlib.reload(first).RESULT == 42


def test_packed_code_has_nothing_for_readers_and_checkers_alone(package: Path) -> None:
    importlib.import_module("packed")
    assert load_pack(str(package.parent / "pack"))
    first = sys.modules["packed.first"]
    assert first.longest(["a", "bc"]) == "bc"
    assert (first.longest.__doc__, first.longest.__annotations__) == (None, {})
    assert (first.Fields.__doc__, first.Limits.__annotations__) == (None, {})
    assert not hasattr(first, "annotations")
    assert first.longest.__code__.co_firstlineno == 14  # as in the source


def test_packed_classes_are_those_of_their_sources(package: Path) -> None:
    importlib.import_module("packed")
    assert load_pack(str(package.parent / "pack"))
    first = sys.modules["packed.first"]
    assert first.Fields([2]) == ([2], 1)
    assert first.Fields._fields == ("first", "second")
    assert (first.Limits.upper, hasattr(first.Limits, "lower")) == (3, False)
    # A method with nothing to execute is for checkers, unless isinstance asks for it.
    assert (hasattr(first.Reader, "read"), hasattr(first.Reader, "first")) == (False, True)
    with io.BytesIO() as file:
        assert isinstance(file, first.Closable)
    assert not isinstance(first, first.Closable)


def test_module_that_is_imported_already_stays(package: Path) -> None:
    before = importlib.import_module("packed.lower.second")
    assert load_pack(str(package.parent / "pack"))
    assert sys.modules["packed.lower.second"] is before
    assert sys.modules["packed.first"].RESULT == 42


def test_changed_source_leaves_everything_to_the_finders(package: Path) -> None:
    (package / "lower/second.py").write_text("VALUE = 1\n")
    assert not load_pack(str(package.parent / "pack"))
    assert "packed.first" not in sys.modules
    assert importlib.import_module("packed.first").RESULT == 2


def test_removed_source_leaves_everything_to_the_finders(package: Path) -> None:
    (package / "first.py").unlink()
    assert not load_pack(str(package.parent / "pack"))


@pytest.mark.parametrize("size", [0, 7, 8, 100, -1])
def test_part_of_a_pack_is_none(package: Path, size: int) -> None:
    pack = package.parent / "pack"
    pack.write_bytes(pack.read_bytes()[:size])
    assert not load_pack(str(pack))


def test_pack_of_another_interpreter_is_none(package: Path) -> None:
    pack = package.parent / "pack"
    pack.write_bytes(pack.read_bytes().replace(importlib.util.MAGIC_NUMBER, b"\0\1\r\n", 1))
    assert not load_pack(str(pack))


def test_missing_pack_is_none(tmp_path: Path) -> None:
    assert not load_pack(str(tmp_path / "pack"))


def test_module_that_raises_is_not_kept(package: Path) -> None:
    (package / "first.py").write_text("from packed.lower.second import VALUE\n1 / (VALUE - 41)\n")
    with pytest.raises(ZeroDivisionError):
        importlib.import_module("packed.first")
    sys.modules["packed.first"] = first = ModuleType("packed.first")
    first.__loader__ = importlib.util.find_spec("packed.lower.second").loader.__class__(
        "packed.first", str(package / "first.py")
    )
    first.__file__, first.__cached__ = str(package / "first.py"), ""
    importlib.import_module("packed.lower")
    write_pack(str(package.parent / "pack"), ORDER[1:])
    forget()
    with pytest.raises(ZeroDivisionError):
        load_pack(str(package.parent / "pack"))
    assert "packed.first" not in sys.modules


def test_pack_is_written_whole_or_not_at_all(
    package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    importlib.import_module("packed.first")
    pack = package.parent / "pack"
    before = pack.read_bytes()

    def fail(*_: object) -> int:
        raise OSError(28, os.strerror(28))

    with monkeypatch.context() as context:
        context.setattr("rootless.pack_writer.os.write", fail)
        with pytest.raises(OSError, match="No space"):
            write_pack(str(pack), ORDER[1:])
    assert pack.read_bytes() == before
    assert sorted(each.name for each in package.parent.iterdir()) == ["pack", "packed"]
