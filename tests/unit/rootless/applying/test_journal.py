"""The journal of an apply is read as far as it was written."""

from rootless.applying.journal import Before, Journal
from rootless.applying.step import Action, Attributes, Fingerprint, Step

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
