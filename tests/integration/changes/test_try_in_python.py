"""`Engine.try_`: the host's files copy on write, for a Python program."""

import pytest

from rootless import Engine
from rootless.changes.change import Kind

pytestmark = pytest.mark.needs("userns", "fuse")


@pytest.fixture
def engine(rootless, tmp_path, monkeypatch):
    for name, value in rootless.env.items():
        monkeypatch.setenv(name, value)
    work = tmp_path / "work"
    work.mkdir()
    (work / "file").write_text("old\n")
    monkeypatch.chdir(work)
    return Engine()


def test_commands_change_the_layer_and_apply_the_files(engine, tmp_path):
    work = tmp_path / "work"
    with engine.try_(on=["."]) as tried:
        assert (
            tried.exec("sh", "-c", "cat; echo new > file; echo x > made", data=b"in").stdout
            == b"in"
        )
        assert tried.exec("cat", "file").stdout == b"new\n"
        assert (work / "file").read_text() == "old\n"
        changes = {each.path.rpartition(b"/")[2]: each.kind for each in tried.changes()}
        assert changes == {b"file": Kind.CHANGED, b"made": Kind.CREATED}
        assert b"+new" in tried.diff(["file"]).splitlines()
        applied = tried.apply(["file"])
        assert ([path.rpartition(b"/")[2] for path in applied.paths], applied.left) == (
            [b"file"],
            [],
        )
        assert (work / "file").read_text() == "new\n"
        assert tried.undo() == []
        assert (work / "file").read_text() == "old\n"
    assert not (work / "made").exists()
    assert engine.containers() == []


def test_kept_session_stays_as_a_container(engine):
    with engine.try_(keep=True, name="one") as tried:
        tried.exec("sh", "-c", "echo x > made")
    (record,) = engine.containers()
    assert record.name == "one"
    assert [each.kind for each in engine.changes("one").listed() if not each.is_bare] == [
        Kind.CREATED
    ]


def test_error_in_the_block_drops_the_layer(engine):
    with pytest.raises(KeyError), engine.try_() as tried:
        raise KeyError(tried.name)
    assert engine.containers() == []
