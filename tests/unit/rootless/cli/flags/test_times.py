"""--since and --until, as Docker 28.5 was seen to read them."""

import time

import pytest

from rootless.cli.flags.times import TimeError, parse_time

NOW = 1795744970 * 10**9


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", None),
        ("1h30m", NOW - 5400 * 10**9),
        ("-1s", NOW + 10**9),
        ("0s", NOW),
        ("0", 0),
        ("1795744930", 1795744930 * 10**9),
        ("1795744930.792768247", 1795744930792768247),
        ("1.5", 15 * 10**8),
        ("2026-11-27T02:02:10Z", 1795744930 * 10**9),
        ("2026-11-27T02:02:10.792768247Z", 1795744930792768247),
        ("2026-11-27T04:02:10.5+02:00", 1795744930 * 10**9 + 5 * 10**8),
        ("2026-11-27Z", 1795737600 * 10**9),
    ],
)
def test_moment(text: str, expected: int | None) -> None:
    assert parse_time(text, NOW) == expected


@pytest.mark.parametrize("text", ["2026-11-27", "2026-11-27T00:00", "2026-11-27T00:00:00"])
def test_time_without_a_zone_is_local(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Etc/GMT-2")
    time.tzset()
    try:
        assert parse_time(text, NOW) == (1795737600 - 7200) * 10**9
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize("text", ["nonsense", "5x", "2026-1-1", "1.2.3", "\u0661"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(TimeError, match="failed to parse value as time or duration"):
        parse_time(text, NOW)


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("2026-13-01", "month"),
        ("2026-00-01Z", "month"),
        ("2026-02-30", "day"),
        ("2026-01-32T10:00", "day"),
        ("2026-01-02T25:00:00", "hour"),
        ("2026-01-02T10:61Z", "minute"),
        ("2026-01-02T10:00:60.5Z", "second"),
        ("2026-01-02T10:00:00+25:00", "time zone offset hour"),
    ],
)
def test_field_out_of_range_is_named(text: str, field: str) -> None:
    with pytest.raises(TimeError) as refused:
        parse_time(text, NOW)
    assert refused.value.message == f'parsing time "{text}": {field} out of range'
