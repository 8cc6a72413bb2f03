"""light_stdlib has every name of `signal` and `socket` that the engine uses, with the same meaning."""

from __future__ import annotations

import ast
import importlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from rootless import light_stdlib

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
    assert {module for module, _ in USED} == {"signal", "socket"}
