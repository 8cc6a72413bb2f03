"""Which files a slim image keeps."""

import pytest

from rootless.errors import UsageError
from rootless.slimming.selection import selected
from unionfs.changes.snapshot import Snapshot
from unionfs.memory import MemoryLayer, directory, regular, symlink


@pytest.fixture
def snapshot():
    tree = directory(
        {
            b"tmp": directory({b"junk": regular(b"")}),
            b"lib": symlink(b"usr/lib"),
            b"usr": directory(
                {
                    b"lib": directory({b"a": regular(b"a"), b"b": regular(b"b")}),
                    b"loop": symlink(b"/usr/loop"),
                }
            ),
        }
    )
    made = Snapshot([MemoryLayer(tree)], None)
    yield made
    made.close()


def names(snapshot, *arguments, **options):
    return [change.path for change in selected(snapshot, *arguments, **options)]


def test_used_files_come_with_the_directories_above_and_nothing_else(snapshot):
    assert names(snapshot, [b"usr/lib/a", b"usr/absent"]) == [
        b"",
        b"tmp",
        b"usr",
        b"usr/lib",
        b"usr/lib/a",
    ]


def test_included_path_keeps_the_links_on_its_way_and_all_below(snapshot):
    assert names(snapshot, [], [b"/lib"]) == [
        b"",
        b"lib",
        b"tmp",
        b"usr",
        b"usr/lib",
        b"usr/lib/a",
        b"usr/lib/b",
    ]


def test_excluded_path_wins(snapshot):
    assert b"usr/lib/b" not in names(snapshot, [b"usr/lib/b"], [b"/usr"], [b"/usr/lib/b"])
    assert b"usr/lib/a" in names(snapshot, [b"usr/lib/b"], [b"/usr"], [b"/usr/lib/b"])


def test_everything_can_be_included(snapshot):
    assert names(snapshot, [], [b"/"]) == [change.path for change in snapshot.tree()]


def test_link_that_leads_to_itself_is_a_link(snapshot):
    assert b"usr/loop" in names(snapshot, [], [b"/usr/loop"])


def test_included_path_has_to_be_there(snapshot):
    with pytest.raises(UsageError, match="/lib/none"):
        selected(snapshot, [], [b"/lib/none"])
