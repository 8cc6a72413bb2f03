"""The ratios of a run as pictures: one SVG for warm, one for cold. Pure but for `write`.

A row is a workload, a mark in it a file system; the position is its median against the baseline's, on a logarithmic scale, so
that twice as fast and twice as slow are equally far from the line.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from math import log2
from pathlib import Path
from typing import Any

from benchmarks.report import BASELINES

_COLOURS = {
    "unionfs device": "#0b6e99",
    "unionfs pyfuse3": "#7fb7d0",
    "unionfs chain": "#103c52",
    "kernel overlayfs": "#d9730d",
    "bare disk": "#9b9a97",
    "full copy": "#64473a",
    "rootless": "#0b6e99",
}
_OTHER = "#6940a5"
_LABEL, _CHART, _ROW, _TOP = 300, 520, 20, 56
_OCTAVES = 5
"""As far as the scale reaches to either side: 1/32 to 32."""


def write(directory: Path, document: Mapping[str, Any]) -> list[Path]:
    """Draw a report's document into `directory`; the files that were written."""
    directory.mkdir(parents=True, exist_ok=True)
    written = []
    for temperature in ("cold", "warm"):
        rows = ratios(document["series"], temperature)
        if rows:
            path = directory / f"{temperature}.svg"
            path.write_text(svg(rows, f"{temperature}, relative to {BASELINES[0]}"))
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


def svg(rows: Mapping[str, Mapping[str, float]], title: str) -> str:
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
            parts.append(
                f'<circle cx="{_position(ratio):.1f}" cy="{y}" r="4" fill="{colour}">'
                f"<title>{escape(name)}: {ratio:.2f}</title></circle>"
            )
    return "\n".join([*parts, "</svg>"]) + "\n"


def _position(ratio: float) -> float:
    octaves = max(-_OCTAVES, min(_OCTAVES, log2(ratio)))
    return _LABEL + _CHART * (octaves + _OCTAVES) / (2 * _OCTAVES)
