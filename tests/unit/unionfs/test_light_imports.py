"""BytecodeFinder finds what the interpreter's finder finds, and leaves to it what is not up to date."""

from __future__ import annotations

import importlib.util
import os
import py_compile
import subprocess
import sys
import traceback
from pathlib import Path

import pytest

from unionfs.light_imports import BytecodeFinder

TAG = str(sys.implementation.cache_tag)


@pytest.fixture
def package(tmp_path: Path) -> Path:
    directory = tmp_path / "sample"
    directory.mkdir()
    return directory


@pytest.fixture
def finder() -> BytecodeFinder:
    return BytecodeFinder(("sample",), importlib.util.MAGIC_NUMBER, TAG)


def compiled(path: Path, text: str, mode: str = "TIMESTAMP") -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    py_compile.compile(str(path), invalidation_mode=py_compile.PycInvalidationMode[mode])
    return path


def test_compiled_module_is_loaded_as_the_interpreter_loads_it(
    package: Path, finder: BytecodeFinder
) -> None:
    source = compiled(package / "one.py", "value = 7\ndef fail():\n    raise KeyError(value)\n")
    spec = finder.find_spec("sample.one", [str(package)])
    other = importlib.util.spec_from_file_location("sample.one", source)
    assert spec is not None
    assert other is not None
    assert (spec.name, spec.origin, spec.cached) == (other.name, other.origin, other.cached)
    assert spec.submodule_search_locations is None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.value == 7
    assert module.__file__ == str(source)
    assert module.__package__ == "sample"
    with pytest.raises(KeyError) as caught:
        module.fail()
    shown = "".join(traceback.format_exception(caught.value))
    assert f'File "{source}", line 3, in fail' in shown
    assert "raise KeyError(value)" in shown


def test_package_has_its_directory_as_its_path(package: Path, finder: BytecodeFinder) -> None:
    compiled(package / "inner" / "__init__.py", "")
    spec = finder.find_spec("sample.inner", [str(package)])
    assert spec is not None
    assert spec.submodule_search_locations == [str(package / "inner")]


def test_module_larger_than_one_read_is_loaded_whole(package: Path, finder: BytecodeFinder) -> None:
    compiled(package / "large.py", "".join(f"name_{n} = 'text {n}'\n" for n in range(9000)))
    spec = finder.find_spec("sample.large", [str(package)])
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.name_8999 == "text 8999"


@pytest.mark.parametrize("change", ["time", "size", "missing", "cut", "empty", "magic", "hash"])
def test_module_without_its_compiled_file_is_left_to_the_interpreter(
    package: Path, finder: BytecodeFinder, change: str
) -> None:
    source = compiled(
        package / "one.py", "value = 7\n", "CHECKED_HASH" if change == "hash" else "TIMESTAMP"
    )
    file = package / "__pycache__" / f"one.{TAG}.pyc"
    before = source.stat()
    match change:
        case "time":
            os.utime(source, (before.st_atime, before.st_mtime + 2))
        case "size":
            source.write_text("value = 77\n")
            os.utime(source, (before.st_atime, before.st_mtime))
        case "missing":
            file.unlink()
        case "cut":
            file.write_bytes(file.read_bytes()[:12])
        case "empty":
            file.write_bytes(b"")
        case "magic":
            file.write_bytes(b"\0\0\0\0" + file.read_bytes()[4:])
    assert finder.find_spec("sample.one", [str(package)]) is None


@pytest.mark.parametrize("name", ["sample", "other.one", "samples.one", "sample.missing"])
def test_module_of_another_package_is_left_to_the_interpreter(
    package: Path, finder: BytecodeFinder, name: str
) -> None:
    compiled(package / "one.py", "")
    assert finder.find_spec(name, [str(package)]) is None
    assert finder.find_spec(name, None) is None


@pytest.mark.parametrize(
    ("options", "environment", "installed"),
    [((), {}, True), (("-O",), {}, False), ((), {"PYTHONPYCACHEPREFIX": "/nonexistent"}, False)],
)
def test_finder_is_installed_where_the_compiled_files_are_its_own(
    options: tuple[str, ...], environment: dict[str, str], installed: bool
) -> None:
    code = (
        "import sys; from unionfs.light_imports import install; install('unionfs'); import unionfs.tar;"
        "print(type(sys.meta_path[0]).__name__)"
    )
    done = subprocess.run(
        [sys.executable, *options, "-c", code],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    assert (done.stdout.strip() == "BytecodeFinder") is installed


def test_site_is_executed_when_a_module_of_another_package_is_wanted() -> None:
    code = (
        f"import sys; sys.path.append({str(Path(__file__).parents[3])!r})\n"
        "from unionfs.light_imports import install; install('rootless', 'unionfs')\n"
        "import unionfs.tar, json, rootless.errors\n"
        "found = ['site' in sys.modules]\n"
        "import zstandard\n"
        "found.append('site' in sys.modules)\n"
        "try: import no_such_module\n"
        "except ModuleNotFoundError: found.append(True)\n"
        "print(*found)"
    )
    argv = [sys.executable, "-PS", "-c", code]
    done = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout == "False True True\n"
