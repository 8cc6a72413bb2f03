"""A disk that tells only at close(2) that it is full, as NFS does: what is written beside a container's work does not end it."""

import os
import threading

import pytest

from rootless.containers.launch_description import OutputLog
from rootless.containers.record import ContainerRecord
from rootless.durable import remove_tree, write_with_reserve
from rootless.spec.options import LogDriver
from rootless.supervisor.streams.container_log import ContainerLog
from tests.support.faulty import faulty_disk
from unionfs.directory.attribute_index import AttributeIndex, AttributeIndexFile

pytestmark = pytest.mark.needs("fuse", "fusermount")


def test_log_that_cannot_be_closed_is_told_and_opened_again(tmp_path, capfd):
    """Also where its rotation closes it: no descriptor is closed twice, which could be another's by then."""
    with faulty_disk(tmp_path, late=True) as disk:
        path = disk.path / "log"
        settings = OutputLog(LogDriver.JSON_FILE, str(path), max_size=100, max_file=2)
        log = ContainerLog(settings, ContainerRecord(id="1" * 64, name="box", created=""))
        log.add(1, b"before\n" * 2)
        disk.fails(write="ENOSPC")
        log.add(1, b"lost\n" * 5)
        log.close()
        disk.fails()
        log.add(1, b"after\n")
        log.close()
        assert '"log":"after\\n"' in path.read_text()
    assert "No space left on device" in capfd.readouterr().err


def test_record_is_replaced_where_no_room_can_be_kept_for_the_next(tmp_path):
    with faulty_disk(tmp_path, late=True) as disk:
        path = disk.path / "record"
        write_with_reserve(path, b"first")
        disk.fails(grow="ENOSPC")
        write_with_reserve(path, b"second")
        assert path.read_bytes() == b"second"
        os.unlink(f"{path}.reserve")
        with pytest.raises(OSError, match="No space left"):
            write_with_reserve(path, b"third")
        assert path.read_bytes() == b"second"


def test_attribute_that_cannot_be_stored_is_refused_and_later_ones_are_kept(tmp_path):
    with faulty_disk(tmp_path, late=True) as disk:
        path = os.fsencode(disk.path / "file")
        work = os.open(disk.path, os.O_RDONLY | os.O_DIRECTORY)
        (disk.path / "file").touch()
        index = AttributeIndexFile.open(work, b"index")
        index.set(path, b"user.first", b"1")
        disk.fails(write="ENOSPC")
        with pytest.raises(OSError, match="No space left"):
            index.set(path, b"user.lost", b"2")
        disk.fails()
        index.set(path, b"user.last", b"3")
        index.close()
        read = AttributeIndex.read(work, b"index")
        os.close(work)
        assert read.names(path, follow=True) == {b"user.first", b"user.last"}


def test_tree_with_a_file_that_its_client_is_about_to_remove_is_deleted(tmp_path):
    with faulty_disk(tmp_path) as disk:
        (disk.path / "tree").mkdir()
        (disk.path / "tree/.nfs0001").touch()
        disk.fails(unlink="EBUSY")
        closed = threading.Timer(0.2, disk.fails)
        closed.start()
        remove_tree(disk.path / "tree")
        closed.join()
        assert not (disk.path / "tree").exists()
        (disk.path / "other").touch()
        disk.fails(unlink="EBUSY")
        with pytest.raises(OSError, match="busy"):
            remove_tree(disk.path)
