"""--ulimit and --sysctl."""

from __future__ import annotations

from rootless.errors import UsageError
from rootless.spec.options import Ulimit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

RESOURCES = [
    "core",
    "cpu",
    "data",
    "fsize",
    "locks",
    "memlock",
    "msgqueue",
    "nice",
    "nofile",
    "nproc",
    "rss",
    "rtprio",
    "rttime",
    "sigpending",
    "stack",
]


def parse_ulimit(text: str) -> Ulimit:
    """NAME=SOFT[:HARD]. Raises UsageError."""
    name, separator, values = text.partition("=")
    if not separator or not values:
        raise UsageError(f"invalid ulimit argument: {text}", hint="use NAME=SOFT[:HARD]")
    if name not in RESOURCES:
        raise UsageError(f"invalid ulimit type: {name}", hint=f"use one of {', '.join(RESOURCES)}")
    numbers = []
    for part in values.split(":"):
        try:
            number = int(part)
        except ValueError:
            raise UsageError(f"invalid ulimit argument: {text}: {part!r} is not a number") from None
        if number < -1:
            raise UsageError(f"invalid ulimit argument: {text}: {part} is below -1")
        numbers.append(number)
    if len(numbers) > 2:
        raise UsageError(
            f"too many limit value arguments - {values}, can only have up to two, soft[:hard]"
        )
    soft, hard = numbers[0], numbers[-1]
    if hard != -1 and (soft == -1 or soft > hard):
        raise UsageError(
            f"ulimit soft limit must be less than or equal to hard limit: {soft} > {hard}"
        )
    return Ulimit(name, soft, hard)


def parse_sysctls(entries: Sequence[str]) -> dict[str, str]:
    """NAME=VALUE of --sysctl. Raises UsageError."""
    result = {}
    for entry in entries:
        name, separator, value = entry.partition("=")
        if not separator or not name:
            raise UsageError(f"invalid sysctl {entry!r}", hint="use NAME=VALUE")
        result[name] = value
    return result
