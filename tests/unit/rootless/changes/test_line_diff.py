"""Hunks of line diffs lead from one text to the other."""

from hypothesis import given
from hypothesis import strategies as st

from rootless.changes.line_diff import hunks

LINES = st.lists(st.sampled_from([b"a\n", b"b\n", b"c\n", b"d\n", b"e\n", b"f\n"]), max_size=40)


def applied(old, found):
    """What patch makes of a text; the context has to fit."""
    made, at = [], 0
    for hunk in found:
        made += old[at : hunk.old]
        assert len(made) == hunk.new
        before = [line[1:] for line in hunk.lines if line[:1] in b" -"]
        after = [line[1:] for line in hunk.lines if line[:1] in b" +"]
        assert old[hunk.old : hunk.old + hunk.old_count] == before
        assert len(after) == hunk.new_count
        made += after
        at = hunk.old + hunk.old_count
    return made + old[at:]


@given(LINES, LINES)
def test_hunks_applied_to_the_old_text_give_the_new(old, new):
    assert applied(old, hunks(old, new)) == new


def test_equal_texts_have_no_hunk():
    assert list(hunks([b"a\n"] * 3, [b"a\n"] * 3)) == []


def test_hunk_has_three_lines_of_context():
    old = [b"%d\n" % number for number in range(20)]
    new = [*old[:10], b"new\n", *old[11:]]
    (hunk,) = hunks(old, new)
    assert (hunk.old, hunk.old_count, hunk.new_count) == (7, 7, 7)
    assert hunk.lines[3:5] == [b"-10\n", b"+new\n"]


def test_changes_that_lie_apart_are_hunks_of_their_own():
    old = [b"%d\n" % number for number in range(40)]
    new = [b"x\n" if number in {5, 30} else line for number, line in enumerate(old)]
    assert [hunk.old for hunk in hunks(old, new)] == [2, 27]


def test_large_texts_without_common_lines_are_replaced():
    old, new = [b"a\n"] * 3000, [b"b\n"] * 3000
    (hunk,) = hunks(old, new)
    assert (hunk.old_count, hunk.new_count) == (3000, 3000)
