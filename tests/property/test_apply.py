"""Applying everything is the same as running directly: random commands on a union over a directory and on a copy of
the directory; then the changes are applied to the directory, and the two are compared. Undone, it is what it was."""

import os
import shutil
import tempfile

from rootless.applying import plan as planning
from rootless.applying.host_files import HostFiles
from rootless.applying.journal import Journal
from rootless.applying.perform import Performer
from rootless.applying.undo import Undoing
from tests.property.test_union_model import UnionMachine, build_layers
from tests.support.applied import TAG, copy_tree, differences, journal_of, open_union, plan_of
from tests.support.state_machines import run_examples
from unionfs.union import Union


class AppliedMachine(UnionMachine):
    """The lower is the directory that is applied to; the model a copy of it."""

    def __init__(self) -> None:
        super().__init__()
        self.union.destroy()
        shutil.rmtree(self.model)
        os.unlink(self.plain + b"/hidden-link")
        for name in (b"l1", b"l2", b"l3", b"upper", b"work"):
            shutil.rmtree(self.top + b"/" + name)
        self.host, self.start = self.top + b"/host", self.top + b"/start"
        with tempfile.TemporaryDirectory() as other:
            copy_tree(build_layers(os.fsencode(other))[-1], self.host)
        copy_tree(self.host, self.model)
        copy_tree(self.host, self.start)
        self.union = self.mount()

    def mount(self) -> Union:
        return open_union(self.top) if os.path.exists(self.top + b"/host") else super().mount()

    def teardown(self) -> None:
        try:
            for _, fd in self.handles:
                os.close(fd)
            self.handles.clear()
            self.union.destroy()
            self.check_applied()
        finally:
            os.umask(self.umask)
            shutil.rmtree(self.top)
            shutil.rmtree(self.plain)

    def check_applied(self) -> None:
        plan = plan_of(self.top)
        assert plan.left == []
        journal = Journal.read(journal_of(self.top, plan))
        host, place = HostFiles(os.fsdecode(self.host)), os.fsdecode(self.top)
        backups = f"{place}/backups"
        left = Performer(host, journal, place, backups, TAG).run()
        assert left == [], plan.steps
        found = differences(self.host, self.model, backups)
        assert found == [], found
        undoing = Undoing(host, journal, backups, TAG)
        changed = undoing.changed()
        assert changed == [], changed
        undoing.run()
        shutil.rmtree(backups)
        found = differences(self.host, self.start, times=True)
        assert found == [], found
        journal.close()
        host.close()


def test_applying_everything_is_running_directly(monkeypatch) -> None:
    # A set-user-ID file is refused; here it is one like any other.
    monkeypatch.setattr(planning, "_SET_ID", 0)
    examples = int(os.environ.get("APPLY_EXAMPLES", "40"))
    run_examples(AppliedMachine, examples, steps=25, derandomize=examples == 40, shrinks=False)
