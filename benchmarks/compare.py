"""python -m benchmarks compare A B: two runs side by side, from the documents that they wrote. Pure but for reading."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.measure import Results, Series, is_rankable
from benchmarks.report import milliseconds
from benchmarks.selection import SelectionError

_ALIKE = 0.05
"""Difference of two medians that is reported as none."""


def compare(paths: Sequence[str]) -> str:
    """A table of what both runs measured. Raises SelectionError, OSError."""
    if len(paths) != 2:
        raise SelectionError("compare takes two files with results: compare A.json B.json")
    first, second = (_read(Path(path)) for path in paths)
    lines = [*_differences(first, second)]
    lines += ["| workload, subject | A, ms | B, ms | B / A | |", "|---|---|---|---|---|"]
    one, two = _results(first), _results(second)
    others = {series.key: series for series in two}
    common = [(series, others[series.key]) for series in one if series.key in others]
    if not common:
        raise SelectionError("the two runs have nothing in common")
    disturbed = one.is_disturbed or two.is_disturbed
    for a, b in common:
        key = a.key
        name = f"{key.workload}, {key.temperature}, {key.subject}"
        lines.append(
            f"| {name} | {_cell(a)} | {_cell(b)} | {_verdict(a, b, disturbed=disturbed)} |"
        )
    if disturbed:
        lines += ["", "not ranked: other processes were busy during a run"]
    return "\n".join(lines) + "\n"


def _read(path: Path) -> Mapping[str, Any]:
    try:
        document = json.loads(path.read_text())
        return {"series": document["series"], **document}
    except (ValueError, KeyError, TypeError) as error:
        raise SelectionError(f"{path}: not the results of a benchmark") from error


def _results(document: Mapping[str, Any]) -> Results:
    from benchmarks.machine import Round

    results = Results()
    results.add(document["series"])
    results.rounds = [Round(**each) for each in document.get("rounds", ())]
    return results


def _differences(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[str]:
    """What besides the program differs between two runs."""
    lines = []
    for part, names in (
        ("machine", ("kernel", "processor", "processors", "file_system", "python")),
        ("settings", ("scale", "pin")),
    ):
        for name in names:
            a, b = (run.get(part, {}).get(name) for run in (first, second))
            if a != b:
                lines.append(f"{name} differs: {a} and {b}")
    for letter, run in (("A", first), ("B", second)):
        if run.get("complete") is False:
            lines.append(f"{letter} is incomplete: the run was interrupted")
    return [*lines, ""] if lines else []


def _cell(series: Series) -> str:
    if not series.seconds:
        return "failed"
    return f"{milliseconds(series.median)} ±{series.spread * 100:.0f}%"


def _verdict(a: Series, b: Series, *, disturbed: bool) -> str:
    if not a.seconds or not b.seconds:
        return " | "
    ratio = b.median / a.median
    if disturbed or not is_rankable(a, b):
        return f"{ratio:.2f} | unclear"
    (low, high), (other_low, other_high) = a.quartiles, b.quartiles
    if abs(ratio - 1) <= _ALIKE or (low <= other_high and other_low <= high):
        return f"{ratio:.2f} | no difference"
    return f"{ratio:.2f} | {'faster' if ratio < 1 else 'slower'}"
