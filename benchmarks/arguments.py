"""The command line of the benchmarks."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import (
    build,
    build_engines,
    copy_up,
    hpc,
    images,
    layers,
    lifecycle,
    network,
    startup,
    tracing,
    trying,
)
from benchmarks.applications import APPLICATIONS
from benchmarks.filesystem_run import MAKING
from benchmarks.filesystems import FILE_SYSTEMS
from benchmarks.selection import SelectionError, matching
from benchmarks.workloads import SCALES, WORKLOADS

FILES = (
    MAKING,
    *[item.name for item in (*WORKLOADS, *APPLICATIONS)],
    *copy_up.names(),
    *layers.names(),
)
FILE_SUBJECTS = (*[item.name for item in FILE_SYSTEMS], layers.CHAIN.name)

PARTS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "startup": ((startup.WORKLOAD,), startup.NAMES),
    "files": (FILES, FILE_SUBJECTS),
    "lifecycle": ((*lifecycle.WORKLOADS, lifecycle.MEMORY), lifecycle.NAMES),
    "hpc": ((*hpc.TIMED, *hpc.MEMORY), hpc.NAMES),
    "try": (trying.WORKLOADS, trying.NAMES),
    "trace": (tracing.WORKLOADS, tracing.NAMES),
    "network": (tuple(network.WORKLOADS), network.NAMES),
    "build": ((*build.WORKLOADS, *build.MEMORY), build_engines.NAMES),
    "images": (tuple(item.name for item in images.OPERATIONS), images.NAMES),
}
"""By part: its workloads, and its subjects."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The measurements of one part."""

    workloads: tuple[str, ...]
    subjects: tuple[str, ...]


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measure the union and the engine beside their peers, in one run, as an ordinary user.",
        epilog="`compare A.json B.json` instead of PART prints two runs side by side. As root, file systems on loop "
        "devices take part, too.",
    )
    made.add_argument("part", nargs="*", metavar="PART", help=f"{', '.join(PARTS)} (default files)")
    made.add_argument("--rounds", type=_positive, default=5, help="samples of each (default 5)")
    made.add_argument("--scale", choices=SCALES, default="normal", help="number and size of files")
    made.add_argument(
        "--only", action="append", metavar="WORKLOAD", help="name or pattern; may be repeated"
    )
    made.add_argument(
        "--subject", action="append", metavar="NAME", help="name or pattern; may be repeated"
    )
    made.add_argument(
        "--pin", type=_processor, metavar="CPU", help="run clients and servers on this processor"
    )
    made.add_argument("--json", type=Path, metavar="FILE", help="write the results there")
    made.add_argument("--csv", type=Path, metavar="FILE", help="write all samples there")
    made.add_argument("--plot", type=Path, metavar="DIRECTORY", help="draw the results as SVG")
    made.add_argument("--list", action="store_true", help="list workloads and subjects")
    made.add_argument("--estimate", action="store_true", help="print how long the run takes, only")
    return made


def plans(options: argparse.Namespace) -> dict[str, Plan]:
    """What to measure, by part.

    Raises SelectionError for a name that does not exist, a subject that cannot be measured here, and if there is
    nothing to measure.
    """
    parts = matching(options.part, PARTS, "part") if options.part else ["files"]
    only, wanted = options.only or (), options.subject or ()
    matching(only, [name for part in parts for name in PARTS[part][0]], "workload")
    matching(wanted, [name for part in parts for name in PARTS[part][1]], "subject")
    found = {}
    for part in parts:
        workloads, subjects = PARTS[part]
        chosen = _any(only, workloads), _any(wanted, subjects)
        if part == "files":
            chosen = chosen[0], _measurable(chosen[1], asked=bool(wanted))
        if all(chosen):
            found[part] = Plan(*chosen)
    if not found:
        raise SelectionError(
            "nothing to measure: no part has both such a workload and such a subject"
        )
    return found


def _any(patterns: Sequence[str], names: Sequence[str]) -> tuple[str, ...]:
    """The names that some pattern matches, perhaps none."""
    if not patterns:
        return tuple(names)
    found: set[str] = set()
    for pattern in patterns:
        try:
            found.update(matching([pattern], names, "name"))
        except SelectionError:
            continue
    return tuple(name for name in names if name in found)


def _measurable(names: Sequence[str], *, asked: bool) -> tuple[str, ...]:
    """Those that this machine has. One that was asked for by name and is missing is an error."""
    missing = {
        item.name: reason
        for item in FILE_SYSTEMS
        if item.name in names and (reason := item.missing())
    }
    if asked and missing:
        name, reason = next(iter(missing.items()))
        raise SelectionError(f"{name} cannot be measured: {reason}")
    return tuple(name for name in names if name not in missing)


def _positive(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 on")
    return int(text)


def _processor(text: str) -> int:
    allowed = os.sched_getaffinity(0)
    if not text.isdigit() or int(text) not in allowed:
        raise argparse.ArgumentTypeError(f"{text!r} is not one of the processors {sorted(allowed)}")
    return int(text)
