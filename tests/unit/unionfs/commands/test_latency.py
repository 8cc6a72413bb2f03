"""Percentiles and differences of histograms, against the samples that they were made of."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from unionfs.commands.latency import bars, difference, duration, percentile

samples = st.lists(st.integers(1, 1 << 40), min_size=1, max_size=50)


def histogram(values: list[int]) -> list[tuple[int, int]]:
    return sorted(Counter(value.bit_length() for value in values).items())


@given(samples, st.sampled_from([0.5, 0.9, 0.99, 1.0]))
def test_percentile_lies_in_the_bucket_of_the_true_one(values: list[int], part: float) -> None:
    at = max(0, -int(-part * len(values) // 1) - 1)
    true = sorted(values)[at]
    bits = true.bit_length()
    assert (1 << bits) / 2 <= percentile(histogram(values), part) <= 1 << bits


@given(samples, samples)
def test_difference_is_what_came_since(before: list[int], since: list[int]) -> None:
    assert difference(histogram(before + since), histogram(before)) == histogram(since)


def test_percentile_of_no_requests_is_nothing() -> None:
    assert percentile([], 0.5) == 0.0
    assert difference([], []) == []
    assert bars([]) == []


def test_bars_show_range_and_number() -> None:
    assert bars([(11, 4), (12, 1)]) == [
        "    1.02 us to   2.05 us  " + "#" * 40 + " 4",
        "    2.05 us to    4.1 us  " + "#" * 10 + " " * 30 + " 1",
    ]


def test_durations_have_a_unit() -> None:
    assert [duration(each) for each in (12, 1500, 2.5e6, 3e9)] == [
        "12 ns",
        "1.5 us",
        "2.5 ms",
        "3 s",
    ]
