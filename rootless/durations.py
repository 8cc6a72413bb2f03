"""Go's durations (`1h30m`, `1.5s`, `250ms`), as Docker's options and Dockerfiles have them. Pure."""

from __future__ import annotations

import re

_NANOSECONDS = {
    "h": 3600 * 10**9,
    "m": 60 * 10**9,
    "s": 10**9,
    "ms": 10**6,
    "us": 10**3,
    "µs": 10**3,  # U+00B5, and below U+03BC: Go takes both
    "μs": 10**3,
    "ns": 1,
}
_PART = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(h|ms|us|µs|μs|ns|m|s)", re.ASCII)


def parse_duration(text: str) -> int:
    """Nanoseconds of a duration: numbers with units, with one sign in front, or `0`. Raises
    ValueError."""
    digits = text.removeprefix("-") if text.startswith("-") else text.removeprefix("+")
    if digits == "0":
        return 0
    total, position = 0, 0
    while position < len(digits):
        part = _PART.match(digits, position)
        if part is None:
            break
        whole, _, decimals = part[1].partition(".")
        unit = _NANOSECONDS[part[2]]
        total += int(whole or 0) * unit + int(decimals or 0) * unit // 10 ** len(decimals)
        position = part.end()
    if not digits or position < len(digits):
        raise ValueError(f"invalid duration {text!r}")
    return -total if text.startswith("-") else total


def format_duration(nanoseconds: int) -> str:
    """A duration as Go prints it: `1h0m5s`, `1.5s`, `250ms`, `0s`."""
    sign, left = ("-", -nanoseconds) if nanoseconds < 0 else ("", nanoseconds)
    if left < 10**9:
        unit = next((unit for unit in ("ms", "µs", "ns") if left >= _NANOSECONDS[unit]), "s")
        return f"{sign}{_decimal(left, _NANOSECONDS[unit])}{unit}"
    minutes, seconds = divmod(left, 60 * 10**9)
    hours, minutes = divmod(minutes, 60)
    before = f"{hours}h{minutes}m" if hours else f"{minutes}m" if minutes else ""
    return f"{sign}{before}{_decimal(seconds, 10**9)}s"


def _decimal(value: int, unit: int) -> str:
    whole, rest = divmod(value, unit)
    if not rest:
        return str(whole)
    return f"{whole}.{str(rest).rjust(len(str(unit)) - 1, '0').rstrip('0')}"
