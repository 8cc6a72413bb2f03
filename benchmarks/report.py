"""Results as a JSON document and as tables for people. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from statistics import median

from benchmarks.measure import BUSY, WIDE_SPREAD, Results, Series, is_rankable
from benchmarks.targets import TARGETS
from benchmarks.workloads import MIB

OURS = "rootless"
PEERS = ("podman", "docker")

BASELINES = ("fuse-overlayfs", "podman", "buildkit", "buildah")
"""Ratios are relative to the first of these that took part."""


def document(
    results: Results,
    machine: Mapping[str, object],
    settings: Mapping[str, object],
    *,
    complete: bool = True,
) -> dict[str, object]:
    """The run as JSON. `complete` is false while it goes on, and stays false if it is killed."""
    return {
        "format": 2,
        "complete": complete,
        "machine": dict(machine),
        "settings": dict(settings),
        "rounds": [asdict(each) for each in results.rounds],
        "samples_per_round": len({(s.key.workload, s.key.subject) for s in results}),
        "series": [series.document() for series in results],
    }


def milliseconds(seconds: float) -> str:
    """With three digits or more of those that count."""
    value = seconds * 1000
    return f"{value:.{1 if value >= 10 else 2 if value >= 1 else 3}f}"


def _cell(series: Series | None, baseline: Series | None, *, disturbed: bool) -> str:
    if series is None:
        return ""
    if series.failure is not None or not series.seconds:
        return "failed"
    text = f"{milliseconds(series.median)} ±{series.spread * 100:.0f}%"
    if baseline is not None and baseline is not series and baseline.seconds:
        ranked = not disturbed and is_rankable(series, baseline)
        text += f" ({series.median / baseline.median:.2f})" if ranked else " (?)"
    return text


def _caption(results: Results, series: Sequence[Series]) -> str:
    """Load and spread, and why ratios are missing."""
    spreads = [item.spread for item in series if item.seconds]
    parts = []
    if results.rounds:
        loads = [each.load for each in results.rounds]
        others = median(each.others for each in results.rounds)
        parts.append(f"load {min(loads):.1f} to {max(loads):.1f}")
        parts.append(f"other processes used {others * 100:.0f} % of the processors")
    if spreads:
        parts.append(
            f"spread {median(spreads) * 100:.0f} % in the middle, {max(spreads) * 100:.0f} % at most"
        )
    if results.is_disturbed:
        parts.append(f"no ratios: other processes used more than {BUSY * 100:.0f} %")
    elif any(len(item.seconds) < 3 for item in series if item.seconds):
        parts.append("no ratios of fewer than three samples")
    elif any(spread > WIDE_SPREAD for spread in spreads):
        parts.append("(?): too wide a spread to rank")
    return "; ".join(parts)


def _table(series: Sequence[Series], *, disturbed: bool) -> list[str]:
    subjects = list(dict.fromkeys(item.key.subject for item in series))
    timed = [item for item in series if item.seconds or item.failure]
    rows = list(dict.fromkeys((item.key.workload, item.key.temperature) for item in timed))
    found = {(item.key.workload, item.key.temperature, item.key.subject): item for item in series}
    baseline = next((name for name in BASELINES if name in subjects), None)
    lines = [f"| milliseconds | {' | '.join(subjects)} |", "|---" * (len(subjects) + 1) + "|"]
    for workload, temperature in rows:
        reference = found.get((workload, temperature, baseline or ""))
        cells = [
            _cell(found.get((workload, temperature, subject)), reference, disturbed=disturbed)
            for subject in subjects
        ]
        lines.append(f"| {workload}, {temperature} | {' | '.join(cells)} |")
    return lines


def _targets_table(series: Sequence[Series]) -> list[str]:
    """Ratios to every peer, whatever the machine had to do beside: the caption says what that was."""
    medians: dict[str, dict[str, float]] = {}
    for item in series:
        if item.seconds:
            medians.setdefault(item.key.workload, {})[item.key.subject] = item.median
    lines = [f"| {OURS} | : podman | : docker | wanted at most | |", "|---|---|---|---|---|"]
    for workload, found in medians.items():
        ours = found.get(OURS)
        target = TARGETS.get(workload)
        if ours is None or target is None:
            continue
        peers = {name: value for name, value in found.items() if name != OURS}
        ratios = [f"{ours / peers[name]:.2f}" if name in peers else "" for name in PEERS]
        limits = target.limits(peers)
        verdict = "" if not limits else "met" if ours <= min(limits) else "missed"
        lines.append(f"| {workload} | {' | '.join(ratios)} | {target} | {verdict} |")
    return lines


def _mib(size: int) -> str:
    """With a decimal where it counts."""
    return f"{size / MIB:.1f}" if size < 10 * MIB else f"{size >> 20}"


def _memory_table(series: Sequence[Series]) -> list[str]:
    subjects = list(dict.fromkeys(item.key.subject for item in series))
    workloads = list(dict.fromkeys(item.key.workload for item in series if item.peaks))
    peaks: dict[tuple[str, str], list[int]] = {}
    for item in series:
        peaks.setdefault((item.key.workload, item.key.subject), []).extend(item.peaks)
    lines = [f"| MiB at most | {' | '.join(subjects)} |", "|---" * (len(subjects) + 1) + "|"]
    for workload in workloads:
        found = [peaks.get((workload, subject)) for subject in subjects]
        cells = [_mib(max(each)) if each else "" for each in found]
        lines.append(f"| {workload} | {' | '.join(cells)} |")
    return lines


def _processor_table(series: Sequence[Series]) -> list[str]:
    """Usage of the servers: processor time per sample, and peak memory."""
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
    baseline, or a question mark where the samples do not support one. Failures are listed at the end."""
    groups: dict[frozenset[str], list[Series]] = {}
    by_workload: dict[str, list[Series]] = {}
    for series in results:
        by_workload.setdefault(series.key.workload, []).append(series)
    for members in by_workload.values():
        subjects = frozenset(item.key.subject for item in members)
        groups.setdefault(subjects, []).extend(members)
    lines: list[str] = []
    for group in groups.values():
        lines += [*_table(group, disturbed=results.is_disturbed), "", _caption(results, group), ""]
        if any(item.key.workload in TARGETS for item in group):
            lines += [*_targets_table(group), ""]
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
