"""Id maps: arithmetic by properties, and the maps of accounts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rootless.runtime.account import parse_subordinate
from rootless.runtime.idmap import (
    IdMaps,
    IdRange,
    Subordinate,
    UserNamespaceMode,
    composed,
    keep_map,
    make_maps,
    root_map,
    to_inside,
    to_outside,
    validated,
)


@st.composite
def maps(draw):
    """A valid map: ranges laid one after the other on both sides, in different orders."""
    sizes = draw(st.lists(st.integers(1, 20), max_size=5))
    gaps = draw(st.lists(st.integers(0, 20), min_size=10, max_size=10))
    order = draw(st.permutations(range(len(sizes))))
    insides, at = [], gaps[0]
    for index, size in enumerate(sizes):
        insides.append(at)
        at += size + gaps[index]
    outsides, at = {}, gaps[5]
    for place, index in enumerate(order):
        outsides[index] = at
        at += sizes[index] + gaps[5 + place]
    return validated(IdRange(insides[i], outsides[i], sizes[i]) for i in range(len(sizes)))


@given(maps(), st.integers(0, 250))
def test_lookups_are_inverse(ranges, number):
    outside = to_outside(ranges, number)
    if outside is not None:
        assert to_inside(ranges, outside) == number
    inside = to_inside(ranges, number)
    if inside is not None:
        assert to_outside(ranges, inside) == number


@given(maps(), maps(), st.integers(0, 250))
def test_composition_is_lookup_after_lookup(inner, outer, number):
    middle = to_outside(inner, number)
    expected = None if middle is None else to_outside(outer, middle)
    assert to_outside(composed(inner, outer), number) == expected


subordinates = st.lists(st.integers(1, 40), max_size=4).map(
    lambda sizes: [Subordinate(1000 + 100 * i, size) for i, size in enumerate(sizes)]
)


@given(st.integers(0, 120), subordinates)
def test_keep_map_keeps_the_id_and_uses_every_subordinate_once(inside, ranges):
    made = keep_map(7, inside, ranges)
    assert to_outside(made, inside) == 7
    assert sum(r.size for r in made) == 1 + sum(r.count for r in map(IdSize, ranges))
    if ranges and inside > 0:
        assert to_outside(made, 0) == 1000


class IdSize:
    def __init__(self, subordinate):
        self.count = subordinate[1]


@given(subordinates)
def test_root_map_has_no_hole(ranges):
    made = root_map(7, ranges)
    total = 1 + sum(size for _, size in ranges)
    assert to_outside(made, 0) == 7
    assert all(to_outside(made, number) is not None for number in range(total))
    assert to_outside(made, total) is None


@pytest.mark.parametrize(
    "ranges",
    [
        [IdRange(0, 5, 0)],
        [IdRange(-1, 5, 1)],
        [IdRange(0, 5, 10), IdRange(9, 50, 1)],
        [IdRange(0, 5, 10), IdRange(20, 14, 1)],
    ],
)
def test_invalid_map_is_refused(ranges):
    with pytest.raises(ValueError, match="range"):
        validated(ranges)


def test_account_without_a_range_has_one_id():
    made = make_maps(UserNamespaceMode(), uid=7, gid=8, subuids=(Subordinate(100, 10),), subgids=())
    assert made.uids == (IdRange(0, 7, 1),)
    assert made.gids == (IdRange(0, 8, 1),)
    assert made.single
    assert not made.helper
    assert made.root == (0, 0)


def test_keep_id_without_a_range_is_that_id_only():
    made = make_maps(UserNamespaceMode(keep=True), uid=7, gid=8, subuids=(), subgids=())
    assert made.uids == (IdRange(7, 7, 1),)
    assert made.root == (7, 8)


def test_subordinate_lines_by_name_and_number():
    content = "alice:100000:65536\nbob:1:1\n1000:300000:10\nbad\nalice:x:1\nalice:5:0\n"
    assert parse_subordinate(content, "alice", 1000) == ((100000, 65536), (300000, 10))
    assert parse_subordinate(content, "carol", 1) == ()


def test_maps_come_back_from_a_spec_as_they_went():
    ranges = (Subordinate(100000, 65536),)
    for mode in (UserNamespaceMode(), UserNamespaceMode(keep=True)):
        for subordinate in ((), ranges):
            maps = make_maps(mode, uid=7, gid=8, subuids=subordinate, subgids=subordinate)
            assert IdMaps.from_spec(maps.to_spec()) == maps._replace(kept=None)
            assert maps.inside(7, 8) == (maps.kept or (0, 0))
