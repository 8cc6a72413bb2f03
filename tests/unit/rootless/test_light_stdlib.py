"""light_stdlib has every name of `signal` and `socket` that the engine uses, with the same meaning; whole files are read."""

from __future__ import annotations

import ast
import gc
import importlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from rootless import light_stdlib
from rootless.light_stdlib import read_file, read_to_end

ROOT = Path(__file__).parents[3]


def used() -> Iterator[tuple[str, str]]:
    """(module, attribute) for each attribute that a module takes from light_stdlib."""
    for path in sorted((ROOT / "rootless").rglob("*.py")):
        tree = ast.parse(path.read_text())
        names = {
            alias.name
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom) and node.module == "rootless.light_stdlib"
            for alias in node.names
        }
        for node in ast.walk(tree):
            match node:
                case ast.Attribute(value=ast.Name(id=module), attr=attribute) if module in names:
                    yield module, attribute


USED = sorted(set(used()))


@pytest.mark.parametrize(("module", "name"), USED, ids=lambda each: each)
def test_name_that_is_used_means_what_it_means_in_the_library(module: str, name: str) -> None:
    ours = getattr(getattr(light_stdlib, module), name)
    real = getattr(importlib.import_module(module), name)
    if isinstance(ours, int):
        assert ours == real
    elif isinstance(ours, type):
        assert issubclass(real, ours)
    else:
        assert callable(ours)
        assert callable(real)


def test_names_are_found() -> None:
    assert {module for module, _ in USED} == {"signal", "socket", "struct"}


@pytest.mark.parametrize("size", [0, 1, (1 << 14) - 1, 1 << 14, 50_000])
def test_file_of_any_size_is_read_whole(tmp_path: Path, size: int) -> None:
    content = os.urandom(size)
    (tmp_path / "file").write_bytes(content)
    assert read_file(str(tmp_path / "file")) == content


def test_file_of_proc_is_read_to_its_end() -> None:
    """Of such a file the kernel gives less than was asked for (seq_file)."""
    libraries = read_file("/proc/self/maps")
    assert libraries.endswith(b"\n")
    assert b"[stack]" in libraries


def test_missing_file_is_reported_by_name(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as raised:
        read_file(str(tmp_path / "none"))
    assert raised.value.filename == str(tmp_path / "none")


def test_descriptor_is_closed(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    gc.collect()  # descriptors of objects that other tests dropped
    before = os.listdir("/proc/self/fd")
    read_file(str(tmp_path / "file"))
    assert os.listdir("/proc/self/fd") == before


def test_pipe_is_read_until_its_writer_closes_it() -> None:
    reader, writer = os.pipe()
    os.write(writer, b"one")
    os.write(writer, b"two")
    os.close(writer)
    assert read_to_end(reader) == b"onetwo"
    os.close(reader)
