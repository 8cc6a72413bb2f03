"""The work directory of an upper that someone else has made."""

import errno
import os

import pytest

from unionfs.directory.upper_readonly import ReadOnlyUpper
from unionfs.directory.work import BASES, FIRST_SEEN, METADATA_LOG, WorkDirectory
from unionfs.ownership import Ownership


@pytest.fixture
def work(tmp_path):
    directory = WorkDirectory(os.fsencode(tmp_path / "work"))
    yield directory
    directory.close()


@pytest.mark.parametrize("name", [METADATA_LOG, FIRST_SEEN, BASES])
def test_logs_do_not_lead_out_of_it(tmp_path, work, name):
    outside = tmp_path / "outside"
    outside.write_bytes(b"kept")
    (tmp_path / "upper").mkdir()
    (tmp_path / "work" / os.fsdecode(name)).symlink_to(outside)
    upper = ReadOnlyUpper(
        os.fsencode(tmp_path / "upper"),
        os.fsencode(tmp_path / "work"),
        ownership=Ownership.DATA,
    )
    append, read = {
        METADATA_LOG: (work.append_metadata_log, upper.metadata_log),
        FIRST_SEEN: (work.append_first_seen, upper.first_seen),
        BASES: (work.append_base, upper.bases),
    }[name]
    for call in (lambda: append(b"x"), read):
        with pytest.raises(OSError, match=os.strerror(errno.ELOOP)):
            call()
    upper.close()
    assert outside.read_bytes() == b"kept"


def test_the_mark_of_its_end_does_not_lead_out_of_it(tmp_path, work):
    (tmp_path / "work/rootless.ending").symlink_to(tmp_path / "outside")
    with pytest.raises(OSError, match=os.strerror(errno.ELOOP)):
        work.announce_end()
    assert not (tmp_path / "outside").exists()


@pytest.mark.parametrize("name", [METADATA_LOG, FIRST_SEEN, BASES])
def test_a_pipe_in_the_place_of_a_log_stops_nobody(tmp_path, work, name):
    os.mkfifo(tmp_path / "work" / os.fsdecode(name))
    append = {
        METADATA_LOG: work.append_metadata_log,
        FIRST_SEEN: work.append_first_seen,
        BASES: work.append_base,
    }[name]
    with pytest.raises(OSError, match=os.strerror(errno.ENXIO)):
        append(b"x")
