"""Times of docker's --since and --until. Pure."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from rootless.durations import parse_duration
from rootless.errors import UsageError

_SECONDS = re.compile(r"(\d+)(?:\.(\d+))?", re.ASCII)
_FRACTION = re.compile(r"\.(\d+)", re.ASCII)
_DATE = re.compile(r"\d{4}-\d\d-\d\dZ", re.ASCII)
_TIME = re.compile(
    r"\d{4}-(?P<month>\d\d)-(?P<day>\d\d)(T(?P<hour>\d\d)(:(?P<minute>\d\d)(:(?P<second>\d\d)(\.\d+)?)?)?)?"
    r"(Z|[+-](?P<zone_hour>\d\d):(?P<zone_minute>\d\d))?",
    re.ASCII,
)
_RANGES = (
    ("month", "month", 1, 12),
    ("hour", "hour", 0, 23),
    ("minute", "minute", 0, 59),
    ("second", "second", 0, 59),
    ("zone_hour", "time zone offset hour", 0, 24),
    ("zone_minute", "time zone offset minute", 0, 60),
)
"""The fields of a time but the day, in the order in which Go's time.Parse checks them."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND = timedelta(seconds=1)


class TimeError(UsageError):
    """An invalid time; docker's client exits with 1."""

    exit_status = 1
    code = "time"


def parse_time(text: str, now: int) -> int | None:
    """Nanoseconds since the epoch of a Go duration before `now`, an RFC 3339 time or a part of it (local
    without a zone), or seconds since the epoch; None for an empty text. Raises TimeError.
    """
    if not text:
        return None
    if text != "0":  # which is the epoch
        try:
            return now - parse_duration(text)
        except ValueError:
            pass
    if (number := _SECONDS.fullmatch(text)) is not None:
        return int(number[1]) * 10**9 + _nanoseconds(number[2])
    # datetime has microseconds: the fraction is read apart. Go also takes a date with a Z.
    fraction = _FRACTION.search(text)
    whole = _FRACTION.sub("", text, count=1)
    if _DATE.fullmatch(whole):
        whole = whole.replace("Z", "T00:00:00Z")
    try:
        moment = datetime.fromisoformat(whole)
    except ValueError:
        raise TimeError(_mistake(text)) from None
    return (moment.astimezone() - _EPOCH) // _SECOND * 10**9 + _nanoseconds(
        fraction[1] if fraction else None
    )


def _mistake(text: str) -> str:
    """In the words of Go's time.Parse: the first field that is out of range, if it is a time otherwise."""
    fields = _TIME.fullmatch(text)
    if fields is None:
        return f'failed to parse value as time or duration: "{text}"'
    for field, name, least, most in _RANGES:
        if fields[field] is not None and not least <= int(fields[field]) <= most:
            return f'parsing time "{text}": {name} out of range'
    return f'parsing time "{text}": day out of range'


def _nanoseconds(digits: str | None) -> int:
    return int((digits or "").ljust(9, "0")[:9])
