"""How long a run takes: from earlier runs of the same scale, and from the rounds that are done. Pure but for reading."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

TYPICAL = {"tiny": 0.15, "small": 0.3, "normal": 1.2, "full": 12.0}
"""Seconds per workload and file system, its mount included, where no earlier run is known. Measured on two
processors."""


def per_sample(earlier: Sequence[Mapping[str, Any]], scale: str) -> float:
    """Seconds that a round took per workload and subject, the median over earlier runs of this scale."""
    known = [
        item["seconds"] / document["samples_per_round"]
        for document in earlier
        if document.get("settings", {}).get("scale") == scale and document.get("samples_per_round")
        for item in document.get("rounds", ())
    ]
    return median(known) if known else TYPICAL[scale]


def earlier_runs(directory: Path, most: int = 10) -> list[Mapping[str, Any]]:
    """The newest documents in a directory; damaged ones are left out."""
    found: list[Mapping[str, Any]] = []
    for path in sorted(directory.glob("*.json"), reverse=True)[:most]:
        try:
            document = json.loads(path.read_text())
        except (OSError, ValueError):
            continue
        if isinstance(document, dict):
            found.append(document)
    return found


def text(seconds: float) -> str:
    """A duration in words, rounded."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    if seconds < 5400:
        return f"{round(seconds / 60)} min"
    return f"{seconds / 3600:.1f} h"
