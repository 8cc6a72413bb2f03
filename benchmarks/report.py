"""Results as a JSON document and as tables for people. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median

from benchmarks.measure import Results, Series

BASELINES = ("fuse-overlayfs", "podman")
"""Ratios are given against these, where they took part."""


def document(
    results: Results, machine: Mapping[str, object], settings: Mapping[str, object]
) -> dict[str, object]:
    return {
        "format": 1,
        "machine": dict(machine),
        "settings": dict(settings),
        "series": [series.document() for series in results],
    }


def _cell(series: Series | None, baseline: Series | None) -> str:
    if series is None:
        return ""
    if series.failure is not None or not series.seconds:
        return "failed"
    text = f"{series.median * 1000:.1f} ±{series.spread * 100:.0f}%"
    if baseline is not None and baseline is not series and baseline.seconds:
        text += f" ({series.median / baseline.median:.2f})"
    return text


def _table(series: Sequence[Series]) -> list[str]:
    subjects = list(dict.fromkeys(item.key.subject for item in series))
    rows = list(dict.fromkeys((item.key.workload, item.key.temperature) for item in series))
    found = {(item.key.workload, item.key.temperature, item.key.subject): item for item in series}
    baseline = next((name for name in BASELINES if name in subjects), None)
    lines = [f"| milliseconds | {' | '.join(subjects)} |", "|---" * (len(subjects) + 1) + "|"]
    for workload, temperature in rows:
        reference = found.get((workload, temperature, baseline or ""))
        cells = [
            _cell(found.get((workload, temperature, subject)), reference) for subject in subjects
        ]
        lines.append(f"| {workload}, {temperature} | {' | '.join(cells)} |")
    return lines


def _memory_table(series: Sequence[Series]) -> list[str]:
    subjects = list(dict.fromkeys(item.key.subject for item in series))
    workloads = list(dict.fromkeys(item.key.workload for item in series))
    peaks: dict[tuple[str, str], list[int]] = {}
    for item in series:
        peaks.setdefault((item.key.workload, item.key.subject), []).extend(item.peaks)
    lines = [f"| MiB at most | {' | '.join(subjects)} |", "|---" * (len(subjects) + 1) + "|"]
    for workload in workloads:
        found = [peaks.get((workload, subject)) for subject in subjects]
        cells = [f"{max(each) >> 20}" if each else "" for each in found]
        lines.append(f"| {workload} | {' | '.join(cells)} |")
    return lines


def _processor_table(series: Sequence[Series]) -> list[str]:
    """What the servers took, of what has one: seconds of processor time a sample, and memory at most."""
    servers = [item for item in series if item.processor]
    subjects = list(dict.fromkeys(item.key.subject for item in servers))
    rows = list(dict.fromkeys((item.key.workload, item.key.temperature) for item in servers))
    found = {(item.key.workload, item.key.temperature, item.key.subject): item for item in servers}
    lines = [
        f"| server: milliseconds of processor, MiB | {' | '.join(subjects)} |",
        "|---" * (len(subjects) + 1) + "|",
    ]
    for workload, temperature in rows:
        items = [found.get((workload, temperature, subject)) for subject in subjects]
        cells = [
            f"{median(item.processor) * 1000:.0f}, {max(item.peaks) >> 20}" if item else ""
            for item in items
        ]
        lines.append(f"| {workload}, {temperature} | {' | '.join(cells)} |")
    return lines


def tables(results: Results) -> str:
    """Markdown: one table for each set of subjects; a cell is the median, the spread, and in brackets the ratio to the
    baseline. Failures are told beneath."""
    groups: dict[frozenset[str], list[Series]] = {}
    by_workload: dict[str, list[Series]] = {}
    for series in results:
        by_workload.setdefault(series.key.workload, []).append(series)
    for members in by_workload.values():
        subjects = frozenset(item.key.subject for item in members)
        groups.setdefault(subjects, []).extend(members)
    lines: list[str] = []
    for group in groups.values():
        lines += [*_table(group), ""]
        if any(item.processor for item in group):
            lines += [*_processor_table(group), ""]
        elif any(item.peaks for item in group):
            lines += [*_memory_table(group), ""]
    lines += [
        f"failed: {item.key.workload}, {item.key.subject}: {item.failure}"
        for item in results
        if item.failure
    ]
    return "\n".join(lines).rstrip() + "\n"
