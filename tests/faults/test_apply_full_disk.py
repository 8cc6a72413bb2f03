"""An apply, and an undo, on a disk that becomes full at any page: no file is half-written, and the next run completes
it once there is room."""

import errno
import os
import shutil
from pathlib import Path

import pytest

from rootless.applying.host_files import HostFiles
from rootless.applying.journal import Journal
from rootless.applying.perform import Performer
from rootless.applying.undo import Undoing
from tests.faults import test_apply_killed as killed
from tests.faults.test_apply_killed import names, prepare
from tests.support import applied
from tests.support.applied import TAG, described
from tests.support.small_disk import with_small_disk
from unionfs.model import Caller

pytestmark = pytest.mark.needs("userns")

DISK = 4 << 20
PAGE = os.sysconf("SC_PAGESIZE")


def fill(disk: Path, pages: int) -> Path:
    """Leave a number of pages free, up to those that the disk has. Returns the file that takes the others."""
    filler = disk / "filler"
    with open(filler, "wb", buffering=0) as file:
        try:
            while True:
                file.write(b"x" * PAGE)
        except OSError:
            file.truncate(max(0, file.tell() // PAGE - pages) * PAGE)
    return filler


def ended_for_room(error: OSError) -> bool:
    if error.errno != errno.ENOSPC:
        raise error
    return False


def apply(top: bytes) -> bool:
    """Whether everything was applied."""
    place = os.fsdecode(top)
    host, journal = HostFiles(f"{place}/host"), Journal.read(f"{place}/journal")
    try:
        assert Performer(host, journal, place, f"{place}/backups", TAG).run() == []
    except OSError as error:
        return ended_for_room(error)
    finally:
        journal.close()
        host.close()
    return True


def undo(top: bytes) -> bool:
    place = os.fsdecode(top)
    host, journal = HostFiles(f"{place}/host"), Journal.read(f"{place}/journal")
    undoing = Undoing(host, journal, f"{place}/backups", TAG)
    try:
        assert undoing.changed() == []
        undoing.run()
    except OSError as error:
        return ended_for_room(error)
    finally:
        journal.close()
        host.close()
    return True


def assert_whole(top: bytes, known: set[bytes]) -> None:
    """Each file has what it had or what it is to have, and nothing lies beside."""
    assert not [name for name in names(top + b"/host") if name.startswith(".rootless")]
    for above, _, files in os.walk(top + b"/host"):
        for name in files:
            path = above + b"/" + name
            if not os.path.islink(path):
                with open(path, "rb") as file:
                    assert file.read() in known, path


def state(top: bytes, name: bytes = b"host", *, times: bool = False) -> dict[bytes, object]:
    """What there is, without the further names that backups are."""
    backups = os.fsdecode(top + b"/backups")
    spare = [os.lstat(f"{backups}/{each}").st_ino for each in os.listdir(backups)]
    return described(top + b"/" + name, spare, times=times)


def contents(top: bytes) -> set[bytes]:
    return {
        data[0]
        for _, _, _, data in described(top, [], times=False).values()
        if isinstance(data, tuple)
    }


@pytest.mark.parametrize(
    ("old", "new"), [(b"old" * PAGE, b"newer" * PAGE), (b"older" * PAGE, b"new" * PAGE)]
)
def test_disk_full_at_any_page_the_next_run_completes_it(tmp_path, old, new):
    disk = tmp_path / "disk"
    disk.mkdir()

    def body() -> None:
        applied.OWNER = 0, 0  # in the namespaces of this process
        killed.CALLER = Caller(0, 0)
        (disk / "whole").mkdir()
        whole = prepare(disk / "whole", old, new)
        known = contents(whole + b"/host")
        assert apply(whole)
        expected = state(whole)
        known |= contents(whole + b"/host")
        stopped = [0, 0]
        pages, is_whole = 0, False
        while not is_whole:
            top = prepare(disk / str(pages), old, new)
            filler = fill(disk, pages)
            is_whole = apply(top)
            assert_whole(top, known)
            if not is_whole:
                stopped[0] += 1
                filler.unlink()
                assert apply(top)
                filler = fill(disk, pages)
            assert state(top) == expected, pages
            if not undo(top):
                assert_whole(top, known)
                stopped[1] += 1
                filler.unlink()
                assert undo(top)
            filler.unlink(missing_ok=True)
            assert state(top, times=True) == state(top, b"start", times=True), pages
            shutil.rmtree(top)
            pages += 1
        assert stopped[0] > 10, stopped
        assert stopped[1] >= 1, stopped

    with_small_disk(disk, DISK, body)
