"""A module that calls itself pure is under the import contract for pure modules, and calls no built-in that acts."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CHECKED = ("rootless/runtime", "rootless/spec", "rootless/containers")
ACTING = {"open", "print", "input", "exec", "eval", "__import__"}


def declared() -> set[str]:
    """The source modules of every contract whose name begins with `pure`."""
    document = tomllib.loads((ROOT / "pyproject.toml").read_text())
    contracts = document["tool"]["importlinter"]["contracts"]
    return {m for c in contracts if c["name"].startswith("pure") for m in c["source_modules"]}


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def files_of(module: str) -> list[Path]:
    path = ROOT / Path(*module.split("."))
    return sorted(path.rglob("*.py")) if path.is_dir() else [path.with_suffix(".py")]


def test_module_that_says_pure_is_under_the_contract():
    under = {module_of(path) for module in declared() for path in files_of(module)}
    under.add("rootless.runtime.plan")  # has a contract of its own
    missing = []
    for directory in CHECKED:
        for path in sorted((ROOT / directory).rglob("*.py")):
            text = ast.get_docstring(ast.parse(path.read_text())) or ""
            if re.search(r"\bPure[.;:]", text) and module_of(path) not in under:
                missing.append(module_of(path))
    assert not missing, "add them to the contract in pyproject.toml, or do not call them pure"


@pytest.mark.parametrize("module", sorted(declared()))
def test_pure_module_calls_no_builtin_that_acts(module):
    for path in files_of(module):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id not in ACTING, f"{path}:{node.lineno}"
