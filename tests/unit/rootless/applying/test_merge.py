"""Three-way merges are those of git merge-file."""

import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rootless.applying.merge import merge

BASE = b"".join(b"%d\n" % number for number in range(20))
LINES = st.lists(st.sampled_from([b"a\n", b"b\n", b"c\n", b"d\n"]), max_size=12).map(b"".join)


def changed(*numbers, word=b"x"):
    lines = BASE.splitlines(keepends=True)
    return b"".join(word + b"\n" if at in numbers else line for at, line in enumerate(lines))


def test_changes_of_different_lines_are_both_taken():
    assert merge(BASE, changed(3), changed(15, word=b"y")) == (
        changed(3).replace(b"15\n", b"y\n"),
        False,
    )


def test_same_change_on_both_sides_is_no_conflict():
    assert merge(BASE, changed(3), changed(3)) == (changed(3), False)


def test_different_changes_of_a_line_stand_between_marks():
    merged = merge(BASE, changed(3), changed(3, word=b"y"))
    assert merged.has_conflicts
    assert b"2\n<<<<<<< host\nx\n=======\ny\n>>>>>>> container\n4\n" in merged.text


@given(LINES, LINES)
def test_change_of_one_side_alone_is_taken(base, side):
    assert merge(base, side, base) == (side, False)
    assert merge(base, base, side) == (side, False)
    assert merge(base, side, side) == (side, False)


@pytest.mark.parametrize("numbers", [(2, 9), (0, 19), (5, 12)])
def test_clean_merge_is_that_of_git(tmp_path, numbers):
    texts = BASE, changed(numbers[0]), changed(numbers[1], word=b"y")
    for name, text in zip(("base", "ours", "theirs"), texts, strict=True):
        (tmp_path / name).write_bytes(text)
    command = ["git", "merge-file", "-p", "ours", "base", "theirs"]
    by_git = subprocess.run(command, cwd=tmp_path, capture_output=True, check=True).stdout
    assert merge(*texts) == (by_git, False)
