"""The steps of an apply: what they do if the host changes meanwhile, or if an earlier run was killed."""

import os
import shutil
from pathlib import Path

from rootless.applying.host_files import HostFiles
from rootless.applying.journal import Before, Journal
from rootless.applying.perform import Performer
from rootless.applying.plan import Left
from rootless.applying.step import Action, Attributes, Step

MODE = 0o100644
TIME = 1_000_000_000


class Case:
    """A host with the files `a` and `b`, and a layer with new contents for them and for `c`."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.host = place / "host"
        for name in ("host", "upper", "backups"):
            (place / name).mkdir()
        for name in ("a", "b"):
            self.write(self.host / name, "old")
        for name in ("a", "b", "c"):
            self.write(place / "upper" / name, f"new {name}")
        self.files = HostFiles(str(self.host))
        self.journal = Journal.create(
            str(place / "journal"), [self.step(n) for n in (b"a", b"b", b"c")]
        )

    @staticmethod
    def write(path: Path, text: str) -> None:
        path.write_text(text)
        path.chmod(MODE)
        os.utime(path, ns=(TIME, TIME))

    def step(self, name: bytes) -> Step:
        return Step(
            Action.FILE,
            name,
            name,
            data=f"upper/{name.decode()}",
            given=Attributes(MODE, TIME),
            expected=self.files.fingerprint(name),
        )

    def run(self, journal: Journal) -> list[Left]:
        place = str(self.place)
        return Performer(self.files, journal, place, f"{place}/backups", "x").run()

    def contents(self) -> dict[str, str]:
        return {path.name: path.read_text() for path in self.host.iterdir()}


NEW = {"a": "new a", "b": "new b", "c": "new c"}


def test_all_are_journaled_before_the_first_is_written_and_written(tmp_path):
    case = Case(tmp_path)
    assert case.run(case.journal) == []
    assert case.contents() == NEW
    case.journal.close()
    again = Journal.read(str(tmp_path / "journal"))
    assert (sorted(again.before), sorted(again.after)) == ([0, 1, 2], [0, 1, 2])
    assert again.is_complete


def change_after_begin(case: Case, monkeypatch, change) -> None:
    """Let the host change once everything was found to be as expected."""
    flush = Journal.flush

    def flushed(journal: Journal) -> None:
        flush(journal)
        if not journal.after:
            change()

    monkeypatch.setattr(Journal, "flush", flushed)


def test_file_that_changes_during_the_apply_is_left_alone(tmp_path, monkeypatch):
    case = Case(tmp_path)
    change_after_begin(case, monkeypatch, lambda: (case.host / "b").write_text("edited"))
    assert case.run(case.journal) == [
        Left(b"b", "it was changed while it was applied", is_conflict=True)
    ]
    assert case.contents() == NEW | {"b": "edited"}


def test_file_that_goes_during_the_apply_is_not_made_again(tmp_path, monkeypatch):
    case = Case(tmp_path)
    change_after_begin(case, monkeypatch, (case.host / "b").unlink)
    assert case.run(case.journal) == [Left(b"b", "it is gone", is_conflict=True)]
    assert case.contents() == {"a": "new a", "c": "new c"}


def test_file_that_comes_during_the_apply_is_left_alone(tmp_path, monkeypatch):
    case = Case(tmp_path)
    change_after_begin(case, monkeypatch, lambda: (case.host / "c").write_text("edited"))
    assert case.run(case.journal) == [Left(b"c", "something is there now", is_conflict=True)]
    assert case.contents() == NEW | {"c": "edited"}


def test_begun_step_is_done_after_a_kill_though_mode_and_time_are_those_it_gives(tmp_path):
    case = Case(tmp_path)
    now = case.files.fingerprint(b"a")
    os.link(case.host / "a", tmp_path / "backups" / "0")
    case.journal.begin(0, Before(now, case.files.attributes(b"a"), has_backup=True))
    case.journal.close()
    assert case.run(Journal.read(str(tmp_path / "journal"))) == []
    assert case.contents() == NEW


def test_temporary_file_of_a_killed_run_is_replaced(tmp_path):
    case = Case(tmp_path)
    for number in range(3):
        (case.host / f".rootless-x-{number}").write_text("a part")
        shutil.copy(case.host / "a", tmp_path / "backups" / str(number))
    assert case.run(case.journal) == []
    assert case.contents() == NEW
