"""A run as pictures, in SVG. Pure but for `write`.

Ratios: one picture for warm, one for cold. A row is a workload, a mark in it a file system; the position is its median against
the baseline's, on a logarithmic scale, so that twice as fast and twice as slow are equally far from the line. A hollow mark has
too wide a spread to rank. Copy-up: the latency of a first write against the size of the file, both logarithmic.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from html import escape
from math import ceil, floor, log2, log10
from pathlib import Path
from typing import Any

from benchmarks.copy_up import size_of
from benchmarks.measure import Results, is_rankable
from benchmarks.report import BASELINES

_COLOURS = {
    "unionfs device": "#0b6e99",
    "unionfs lazy": "#2f9e6e",
    "unionfs pyfuse3": "#7fb7d0",
    "fuse-overlayfs": "#c4554d",
    "unionfs chain": "#103c52",
    "kernel overlayfs": "#d9730d",
    "bare disk": "#9b9a97",
    "full copy": "#64473a",
    "rootless": "#0b6e99",
}
_OTHER = "#6940a5"
_PALETTE = ("#6940a5", "#c4554d", "#448361", "#cb912f", "#337ea9", "#976d57")
_LABEL, _CHART, _ROW, _TOP = 300, 520, 20, 56
_OCTAVES = 5
"""The scale reaches from 1/32 to 32."""


def write(directory: Path, document: Mapping[str, Any]) -> list[Path]:
    """Draw a report's document into `directory`; the files that were written."""
    directory.mkdir(parents=True, exist_ok=True)
    written = []
    for temperature in ("cold", "warm"):
        rows = ratios(document["series"], temperature)
        if rows:
            path = directory / f"{temperature}.svg"
            title = f"{temperature}, relative to {BASELINES[0]}"
            path.write_text(svg(rows, title, unclear(document["series"], temperature)))
            written.append(path)
    if lines := copy_up_lines(document["series"]):
        path = directory / "copy-up.svg"
        path.write_text(copy_up_svg(lines))
        written.append(path)
    return written


def ratios(series: Sequence[Mapping[str, Any]], temperature: str) -> dict[str, dict[str, float]]:
    """By workload and subject: the median divided by the baseline's. Workloads without a baseline are left out."""
    medians: dict[str, dict[str, float]] = {}
    for item in series:
        if item["temperature"] == temperature and item.get("median"):
            medians.setdefault(item["workload"], {})[item["subject"]] = item["median"]
    baseline = BASELINES[0]
    return {
        workload: {
            name: value / found[baseline] for name, value in found.items() if name != baseline
        }
        for workload, found in medians.items()
        if baseline in found and len(found) > 1
    }


def unclear(series: Sequence[Mapping[str, Any]], temperature: str) -> set[tuple[str, str]]:
    """Workload and subject of each ratio that the samples do not support."""
    results = Results()
    results.add([item for item in series if item["temperature"] == temperature])
    by_key = {(item.key.workload, item.key.subject): item for item in results}
    return {
        (workload, subject)
        for (workload, subject), item in by_key.items()
        if (workload, BASELINES[0]) in by_key
        and not is_rankable(item, by_key[workload, BASELINES[0]])
    }


def svg(
    rows: Mapping[str, Mapping[str, float]],
    title: str,
    hollow: AbstractSet[tuple[str, str]] = frozenset(),
) -> str:
    """The picture. Marks beyond the scale stand at its end."""
    height = _TOP + _ROW * len(rows) + 24
    width = _LABEL + _CHART + 20
    size = f'viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="11"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size}>',
        f'<rect width="{width}" height="{height}" fill="#fff"/>',
        f'<text x="8" y="16" font-size="13" font-weight="bold">{escape(title)}</text>',
    ]
    names = list(dict.fromkeys(name for found in rows.values() for name in found))
    for place, name in enumerate(names):
        x = 8 + place * 140
        parts.append(f'<circle cx="{x + 5}" cy="31" r="4" fill="{_COLOURS.get(name, _OTHER)}"/>')
        parts.append(f'<text x="{x + 14}" y="35">{escape(name)}</text>')
    bottom = _TOP + _ROW * len(rows)
    for octave in range(-_OCTAVES, _OCTAVES + 1):
        x = _position(2.0**octave)
        dash = "" if octave == 0 else ' stroke-dasharray="2 3"'
        parts.append(
            f'<line x1="{x:.0f}" y1="{_TOP - 6}" x2="{x:.0f}" y2="{bottom}" stroke="#999"{dash}/>'
        )
        text = f"{2**octave}" if octave >= 0 else f"1/{2**-octave}"
        parts.append(f'<text x="{x:.0f}" y="{bottom + 14}" text-anchor="middle">{text}</text>')
    for row, (workload, found) in enumerate(rows.items()):
        y = _TOP + _ROW * row + _ROW // 2
        parts.append(
            f'<text x="{_LABEL - 8}" y="{y + 4}" text-anchor="end">{escape(workload)}</text>'
        )
        for name, ratio in found.items():
            colour = _COLOURS.get(name, _OTHER)
            wide = (workload, name) in hollow
            look = f'fill="#fff" stroke="{colour}"' if wide else f'fill="{colour}"'
            note = " (too wide a spread to rank)" if wide else ""
            parts.append(
                f'<circle cx="{_position(ratio):.1f}" cy="{y}" r="4" {look}>'
                f"<title>{escape(name)}: {ratio:.2f}{note}</title></circle>"
            )
    return "\n".join([*parts, "</svg>"]) + "\n"


def _position(ratio: float) -> float:
    octaves = max(-_OCTAVES, min(_OCTAVES, log2(ratio)))
    return _LABEL + _CHART * (octaves + _OCTAVES) / (2 * _OCTAVES)


def copy_up_lines(series: Sequence[Mapping[str, Any]]) -> dict[str, list[tuple[int, float]]]:
    """By subject: size in bytes and median seconds of each first write, ascending."""
    lines: dict[str, list[tuple[int, float]]] = {}
    for item in series:
        size = size_of(item["workload"])
        if size is not None and item.get("median"):
            lines.setdefault(item["subject"], []).append((size, item["median"]))
    return {name: sorted(points) for name, points in lines.items()}


def copy_up_svg(lines: Mapping[str, Sequence[tuple[int, float]]]) -> str:
    """The picture: a line per file system."""
    sizes = [size for points in lines.values() for size, _ in points]
    seconds = [value for points in lines.values() for _, value in points]
    left, width, top, height = 70, 520, 40 + 18 * len(lines), 320
    first, last = floor(log10(min(seconds))), ceil(log10(max(seconds)))
    last = max(last, first + 1)
    low, high = log2(min(sizes)), max(log2(max(sizes)), log2(min(sizes)) + 1)

    def at(size: int, value: float) -> tuple[float, float]:
        x = left + width * (log2(size) - low) / (high - low)
        return x, top + height * (last - log10(value)) / (last - first)

    total = f"{left + width + 30} {top + height + 50}"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {total}" font-family="sans-serif" font-size="11">',
        f'<rect width="{left + width + 30}" height="{top + height + 50}" fill="#fff"/>',
        '<text x="8" y="16" font-size="13" font-weight="bold">first write of a byte, by size of the file</text>',
    ]
    for power in range(first, last + 1):
        _, y = at(min(sizes), 10.0**power)
        parts.append(
            f'<line x1="{left}" y1="{y:.0f}" x2="{left + width}" y2="{y:.0f}" stroke="#ddd"/>'
        )
        parts.append(
            f'<text x="{left - 6}" y="{y + 4:.0f}" text-anchor="end">{_duration(10.0**power)}</text>'
        )
    for size in sorted(set(sizes)):
        x, _ = at(size, 10.0**first)
        parts.append(
            f'<text x="{x:.0f}" y="{top + height + 16}" text-anchor="middle">{_size(size)}</text>'
        )
    for row, (name, points) in enumerate(lines.items()):
        colour = _COLOURS.get(name, _PALETTE[row % len(_PALETTE)])
        places = [at(size, value) for size, value in points]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        for (x, y), (size, value) in zip(places, points, strict=True):
            title = f"{escape(name)}, {_size(size)}: {_duration(value)}"
            parts.append(
                f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"><title>{title}</title></circle>'
            )
        parts.append(
            f'<rect x="{left}" y="{26 + 18 * row}" width="12" height="3" fill="{colour}"/>'
        )
        parts.append(f'<text x="{left + 18}" y="{31 + 18 * row}">{escape(name)}</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def _size(size: int) -> str:
    return f"{size >> 20} MiB" if size >= 1 << 20 else f"{size >> 10} KiB"


def _duration(seconds: float) -> str:
    if seconds >= 1:
        return f"{seconds:.3g} s"
    return f"{seconds * 1e3:.3g} ms" if seconds >= 1e-3 else f"{seconds * 1e6:.3g} µs"
