"""rootless-unionfs bench: run the benchmarks of file systems, which come with the sources."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from unionfs.commands.arguments import UsageError


def bench(arguments: Sequence[str]) -> NoReturn:
    """Become `python -m benchmarks ARGUMENTS`. Raises UsageError where there are no sources."""
    sources = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    if not os.path.isdir(os.path.join(sources, "benchmarks")):
        raise UsageError("the benchmarks come with the sources: run it from a checkout of them")
    path = os.pathsep.join(filter(None, (sources, os.environ.get("PYTHONPATH"))))
    program = [sys.executable, "-m", "benchmarks", *arguments]
    os.execve(sys.executable, program, {**os.environ, "PYTHONPATH": path})
