"""--filter of prune commands and lists: `until=` and `label=`. Pure but for the clock."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from datetime import datetime

from rootless.durations import parse_duration
from rootless.errors import UsageError

Filters = Sequence[tuple[str, str]]


def moment_of(text: str) -> float:
    """Seconds since the epoch of `until=`: a Go duration before now, an RFC 3339 time, a date, or
    seconds since the epoch. Raises UsageError."""
    if re.fullmatch(r"\d+(\.\d+)?", text):
        return float(text)
    try:
        return time.time() - parse_duration(text) / 1e9
    except ValueError:
        pass
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        raise UsageError(
            f"invalid filter 'until={text}'",
            hint="a time such as 2026-01-31, or an age such as 24h",
        ) from None


def age_key(created: str) -> tuple[float, str]:
    """What orders RFC 3339 times, whichever zones and fractions they have; one that cannot be read
    comes first."""
    try:
        # Python's times end at microseconds; the text decides beyond.
        return datetime.fromisoformat(created).timestamp(), created
    except (ValueError, OverflowError):
        return float("-inf"), created


def is_older(created: str, moment: float) -> bool:
    """Whether an RFC 3339 time lies before the moment; one that cannot be read does."""
    return age_key(created)[0] < moment


def has_label(labels: object, wanted: str) -> bool:
    """Whether there is a label KEY, or KEY=VALUE."""
    name, equals, text = wanted.partition("=")
    return isinstance(labels, Mapping) and name in labels and (not equals or labels[name] == text)


def check_prune_filters(filters: Filters) -> None:
    """Raise UsageError for what no prune knows, whether or not there is anything to prune."""
    for filter_ in filters:
        may_be_pruned("", None, [filter_])


def may_be_pruned(created: str, labels: object, filters: Filters) -> bool:
    """Whether an object passes all filters of a prune. Raises UsageError for an unknown one."""
    for key, value in filters:
        if key == "until":
            passes = is_older(created, moment_of(value))
        elif key == "label":
            passes = has_label(labels, value)
        elif key == "label!":
            passes = not has_label(labels, value)
        else:
            raise UsageError(f"invalid filter '{key}'", hint="until, label and label! exist")
        if not passes:
            return False
    return True
