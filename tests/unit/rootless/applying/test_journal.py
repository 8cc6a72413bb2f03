"""The journal of an apply is read as far as it was written."""

import pytest

from rootless.applying.journal import Before, Journal
from rootless.applying.step import Action, Attributes, Fingerprint, Restored, Step
from rootless.errors import InvalidDocumentError

MARK = Fingerprint(0o100644, 1, 2, 3, 4, 5, 6)
STEP = Step(
    Action.FILE,
    b"a\xff",
    b"a\xff",
    data="upper/a\xff",
    given=Attributes(0o100644, 7),
    expected=MARK,
)


def test_steps_are_read_as_they_were_written(tmp_path):
    path = str(tmp_path / "journal")
    Journal.create(path, [STEP])
    assert Journal.read(path).steps == [STEP]


def test_progress_is_read_back(tmp_path):
    path = str(tmp_path / "journal")
    journal = Journal.create(path, [STEP, STEP])
    journal.begin(0, Before(MARK, Attributes(1, 2), has_backup=True))
    journal.done(0, MARK)
    journal.fail(1, "no")
    journal.close()
    again = Journal.read(path)
    assert again.before == {0: Before(MARK, Attributes(1, 2), has_backup=True)}
    assert (again.after, again.failed, again.is_complete) == ({0: MARK}, {1: "no"}, False)


def test_line_that_was_cut_short_counts_for_nothing(tmp_path):
    path = tmp_path / "journal"
    journal = Journal.create(str(path), [])
    journal.complete()
    journal.close()
    path.write_bytes(path.read_bytes() + b'{"done": 3, "fing')
    again = Journal.read(str(path))
    assert (again.is_complete, again.after) == (True, {})
    again.begin_undo()
    again.close()
    assert Journal.read(str(path)).is_undoing


def test_what_an_undo_put_back_is_read_again(tmp_path):
    path = str(tmp_path / "journal")
    journal = Journal.create(path, [STEP])
    pair = Restored(MARK, MARK._replace(ino=9))
    journal.complete_undo([pair])
    journal.close()
    assert Journal.read(path).restored == [pair]


@pytest.mark.parametrize(
    "line", ["[1]", "3", '{"done": 99}', '{"begin": 0}', '{"undone": "all", "restored": [3]}', "x"]
)
def test_damaged_journal_is_one_error(tmp_path, line):
    path = tmp_path / "journal"
    Journal.create(str(path), [STEP])
    path.write_bytes(path.read_bytes() + line.encode() + b"\n")
    with pytest.raises(InvalidDocumentError, match="cannot be read"):
        Journal.read(str(path))
