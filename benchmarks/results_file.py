"""The document of a run, written after each round, so that a run that is killed leaves what it has measured."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Mapping
from pathlib import Path

from benchmarks.measure import Results
from benchmarks.report import document


class ResultsFile:
    """`path` is replaced as a whole by each `save`."""

    def __init__(
        self, path: Path, machine: Mapping[str, object], settings: Mapping[str, object]
    ) -> None:
        self.path = path
        self.machine = dict(machine)
        self._settings = settings
        path.parent.mkdir(parents=True, exist_ok=True)

    def save(self, results: Results, *, complete: bool = False) -> dict[str, object]:
        """Write the document and return it. Raises OSError."""
        made = document(results, self.machine, self._settings, complete=complete)
        write_whole(self.path, json.dumps(made, indent=1) + "\n")
        return made


def write_whole(path: Path, text: str) -> None:
    """Write a file that readers find complete or not at all. Raises OSError."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_text(text)
        temporary.rename(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_csv(path: Path, results: Results) -> None:
    """One line per sample: workload, subject, temperature, number, seconds, processor_seconds, peak_bytes; the
    last two are empty where there is no such figure."""
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(
            (
                "workload",
                "subject",
                "temperature",
                "number",
                "seconds",
                "processor_seconds",
                "peak_bytes",
            )
        )
        for series in results:
            for number, seconds in enumerate(series.seconds):
                processor = series.processor[number] if number < len(series.processor) else ""
                peak = series.peaks[number] if number < len(series.peaks) else ""
                key = series.key
                writer.writerow(
                    (
                        key.workload,
                        key.subject,
                        key.temperature,
                        number + 1,
                        seconds,
                        processor,
                        peak,
                    )
                )
