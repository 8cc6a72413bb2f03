"""Start-up is a feature: what a start does not need is not imported before the container runs."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

HEAVY = frozenset(
    {
        "trio",
        "typer",
        "click",
        "rich",
        "pyfuse3",
        "asyncio",
        "ssl",
        "http",
        "urllib.request",
        "logging",
        "email",
    }
    | {
        "subprocess",
        "multiprocessing",
        "concurrent.futures",
        "sqlite3",
        "zstandard",
        "hypothesis",
        "pytest",
    }
)
BUDGET = 120
"""Modules that starting the program may load beyond those of a bare interpreter."""


def modules_after(statement: str) -> set[str]:
    code = f"import sys; before = set(sys.modules)\n{statement}\nimport json; print(json.dumps([*sys.modules.keys() - before]))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, timeout=60)
    return set(json.loads(done.stdout))


@pytest.mark.parametrize(
    "statement", ["import rootless.__main__", "import rootless.launcher", "import unionfs"]
)
def test_start_loads_nothing_heavy(statement: str) -> None:
    loaded = modules_after(statement)
    assert loaded & HEAVY == set()
    assert len(loaded) <= BUDGET, sorted(loaded)
