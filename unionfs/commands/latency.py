"""Latencies from the histogram of an operation. Pure.

A bucket (bits, requests) holds requests that took from 2 ** (bits - 1) up to 2 ** bits nanoseconds.
"""

from __future__ import annotations

from collections.abc import Sequence

Histogram = Sequence[Sequence[int]]
"""Pairs (bits, requests), ascending."""

_BAR = 40


def percentile(histogram: Histogram, part: float) -> float:
    """Nanoseconds within which `part` (0 to 1) of the requests were answered; 0 without requests.
    Within a bucket they are taken as evenly spread, so that the error is below the bucket's width."""
    total = sum(count for _, count in histogram)
    rank = part * total
    seen = 0
    for bits, count in histogram:
        if seen + count >= rank and count:
            low, high = (1 << bits) / 2 if bits else 0.0, float(1 << bits)
            return low + (high - low) * max(0.0, rank - seen) / count
        seen += count
    return 0.0


def difference(now: Histogram, before: Histogram) -> list[tuple[int, int]]:
    """The requests of `now` that `before` has not."""
    known = {pair[0]: pair[1] for pair in before}
    return [(bits, count - known.get(bits, 0)) for bits, count in now if count > known.get(bits, 0)]


def bars(histogram: Histogram) -> list[str]:
    """A line per bucket: its range, a bar, the number of requests."""
    most = max((count for _, count in histogram), default=0)
    lines = []
    for bits, count in histogram:
        bar = "#" * max(1, round(_BAR * count / most))
        low = (1 << bits) // 2
        lines.append(f"  {duration(low):>9} to {duration(1 << bits):>9}  {bar:{_BAR}} {count}")
    return lines


def duration(nanoseconds: float) -> str:
    """With a unit, in three digits."""
    if nanoseconds < 1000:
        return f"{nanoseconds:.0f} ns"
    for limit, unit in ((1e6, "us"), (1e9, "ms")):
        if nanoseconds < limit:
            return f"{nanoseconds / limit * 1000:.3g} {unit}"
    return f"{nanoseconds / 1e9:.4g} s"
