"""Links that a program swaps on the host while `changes` and `apply` read and write: nothing outside is read or changed."""

import os
import threading

import pytest

from tests.support.applied import copy_tree, differences

pytestmark = pytest.mark.needs("userns", "fuse")

NAMES = [f"d{n}" for n in range(8)]


class Swapper:
    """Puts links to a directory outside in the place of directories, and the directories back, until its end."""

    def __init__(self, work, outside):
        self._work, self._outside = work, outside
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self):
        self._thread.start()

    def __exit__(self, *_):
        self._ends.set()
        self._thread.join()

    def _run(self):
        while not self._ends.is_set():
            for name in NAMES:
                try:
                    os.rename(self._work / name, self._work / f"{name}.away")
                except FileNotFoundError:
                    continue  # removed by an apply
                os.symlink(self._outside, self._work / name)
                os.unlink(self._work / name)
                os.rename(self._work / f"{name}.away", self._work / name)


@pytest.fixture
def trees(tmp_path, monkeypatch):
    for name in NAMES:
        (tmp_path / "work" / name).mkdir(parents=True)
        for file in ("changed", "removed", "kept"):
            (tmp_path / "work" / name / file).write_text("old\n")
    (tmp_path / "outside").mkdir()
    for file in ("changed", "removed", "kept", "secret"):
        (tmp_path / "outside" / file).write_text("SECRET\n")
    copy_tree(bytes(tmp_path / "outside"), bytes(tmp_path / "outside-before"))
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path


SCRIPT = "for d in d?; do echo new > $d/changed; rm $d/removed; echo new > $d/made; mkdir $d/sub; echo x > $d/sub/x; done"


@pytest.mark.parametrize(
    "command", [("changes", "--diff"), ("apply",), ("apply", "--theirs"), ("apply", "--undo")]
)
def test_swapped_links_lead_nowhere(rootless, trees, command):
    rootless("try", "--keep", "--name", "one", "sh", "-c", SCRIPT).ok()
    if "--undo" in command:
        rootless("apply", "one").ok()
    with Swapper(trees / "work", trees / "outside"):
        for _ in range(6):
            done = rootless(*command, "one")
            assert "SECRET" not in done.stdout + done.stderr
            assert "Traceback" not in done.stderr
    assert differences(bytes(trees / "outside"), bytes(trees / "outside-before"), times=True) == []
    assert not [
        name
        for _, _, names in os.walk(trees / "outside")
        for name in names
        if name.startswith(".rootless")
    ]


@pytest.mark.parametrize("command", [("apply",), ("apply", "--theirs")])
def test_directory_that_has_become_a_link_is_left_alone(rootless, trees, command):
    rootless("try", "--keep", "--name", "one", "sh", "-c", SCRIPT).ok()
    (trees / "work/d0").rename(trees / "away")
    (trees / "work/d0").symlink_to(trees / "outside")
    done = rootless(*command, "one")
    assert done.status == 1
    assert f"{trees}/work/d0" in done.stderr
    assert differences(bytes(trees / "outside"), bytes(trees / "outside-before"), times=True) == []
    assert (trees / "work/d1/made").read_text() == "new\n"
