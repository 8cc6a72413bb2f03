"""--filter NAME=VALUE as values: what each filter reads, and what is refused."""

import re

import pytest

from rootless.cli.flags.filters import (
    container_filters,
    image_filters,
    image_prune_filters,
    moment_of,
    prune_filters,
)
from rootless.errors import UsageError
from rootless.filters import ContainerFilters, ImageFilters, LabelFilter, PruneFilters

NOW = 1_000_000.0


def test_no_filter_is_the_default():
    assert container_filters([], NOW) == ContainerFilters()
    assert image_filters([], 0) == ImageFilters()
    assert image_prune_filters([], 0) == (PruneFilters(), None)


def test_filters_of_containers():
    pairs = [
        ("name", "^a"),
        ("status", "exited"),
        ("status", "removing"),
        ("exited", "-1"),
        ("label", "k"),
        ("label", "k=v=w"),
        ("label", "e="),
        ("before", "one"),
        ("id", "ab"),
    ]
    assert container_filters(pairs, NOW) == ContainerFilters(
        ids=("ab",),
        names=(re.compile("^a"),),
        labels=(LabelFilter("k"), LabelFilter("k", "v=w"), LabelFilter("e", "")),
        statuses=("exited", "removing"),
        exit_codes=(-1,),
        before=("one",),
    )


@pytest.mark.parametrize(
    ("pair", "words"),
    [
        (("color", "red"), "invalid filter 'color'"),
        (("name", "("), r"invalid filter 'name=\('"),
        (("status", "asleep"), "invalid value for state"),
        (("exited", "x"), "invalid filter 'exited=x'"),
        (("exited", "--1"), "invalid filter 'exited=--1'"),
        (("exited", "\N{SUPERSCRIPT TWO}"), "invalid filter 'exited"),
    ],
)
def test_wrong_filter_of_containers_is_refused(pair, words):
    with pytest.raises(UsageError, match=words):
        container_filters([pair], NOW)


def test_filters_of_images_take_the_earliest_time_and_the_last_dangling():
    found = image_filters(
        [("until", "20"), ("until", "10"), ("dangling", "1"), ("dangling", "0")], 0
    )
    assert found == ImageFilters(dangling=False, until=10)
    for pair in (("dangling", "maybe"), ("label!", "k")):
        with pytest.raises(UsageError, match="invalid filter"):
            image_filters([pair], 0)
    with pytest.raises(UsageError, match='failed to parse value as time or duration: "soon"'):
        image_filters([("until", "soon")], 0)


def test_filters_of_prunes():
    pairs = [("label!", "keep"), ("until", "5")]
    expected = PruneFilters(until=5, without_labels=(LabelFilter("keep"),))
    assert prune_filters(pairs, 0) == expected
    assert image_prune_filters([*pairs, ("dangling", "false")], 0) == (expected, False)
    with pytest.raises(UsageError, match="invalid filter 'dangling'"):
        prune_filters([("dangling", "true")], 0)


def test_times():
    assert moment_of("1.5", 0) == 1.5
    assert moment_of("1970-01-01T00:01:00Z", 0) == 60
    assert moment_of("1h30m", 10_000) == 10_000 - 5400


def test_prune_matches_every_condition():
    filters = PruneFilters(100, (LabelFilter("a", "1"),), (LabelFilter("keep"),))
    old, new = "1970-01-01T00:01:39Z", "1970-01-01T00:01:40Z"
    assert filters.match(old, {"a": "1"})
    assert not filters.match(new, {"a": "1"})
    assert not filters.match(old, {"a": "2"})
    assert not filters.match(old, {"a": "1", "keep": ""})
    assert not filters.match(old, None)
    assert filters.match("no time", {"a": "1"})
