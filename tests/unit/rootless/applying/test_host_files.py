"""Paths of apply are resolved beneath the root and through no symbolic link."""

import os

import pytest

from rootless.applying.host_files import HostFiles
from rootless.applying.step import Attributes

FILE = Attributes(0o100644, 0)


@pytest.fixture
def host(tmp_path):
    root = tmp_path / "root"
    (root / "dir").mkdir(parents=True)
    (tmp_path / "outside").mkdir()
    (root / "link").symlink_to("../outside")
    (root / "inside").symlink_to("dir")
    files = HostFiles(str(root))
    yield files
    files.close()


@pytest.mark.parametrize(
    "path", [b"link/made", b"inside/made", b"../outside/made", b"link/../made"]
)
def test_nothing_is_made_through_a_link_or_outside(host, tmp_path, path):
    for act in (
        lambda: host.make_directory(path),
        lambda: host.make(path, b".tmp", Attributes(0o120777, 0, "x"), new=True),
        lambda: host.move(b"dir", path),
    ):
        with pytest.raises(OSError, match=r"symbolic links|cross-device"):
            act()
    assert list((tmp_path / "outside").iterdir()) == []


def test_directory_that_becomes_a_link_meanwhile_is_not_followed(host, tmp_path):
    assert host.fingerprint(b"dir/made") is None
    (tmp_path / "root/dir").rename(tmp_path / "root/away")
    (tmp_path / "root/dir").symlink_to(tmp_path / "outside")
    host.make_directory(b"dir/made")
    assert list((tmp_path / "outside").iterdir()) == []
    host.forget()
    with pytest.raises(OSError, match="symbolic links"):
        host.make_directory(b"dir/made")


def test_file_that_is_there_is_replaced_complete(host, tmp_path):
    place = tmp_path / "root/dir/file"
    place.write_text("old")
    source = os.open(tmp_path / "new", os.O_RDWR | os.O_CREAT)
    os.write(source, b"new")
    os.lseek(source, 0, os.SEEK_SET)
    before = place.stat().st_ino
    host.write(b"dir/file", b".tmp", source, FILE, new=False)
    os.close(source)
    assert (place.read_text(), place.stat().st_mtime) == ("new", 0)
    assert place.stat().st_ino != before
    assert os.listdir(place.parent) == ["file"]


def test_file_that_came_meanwhile_is_not_replaced(host, tmp_path):
    (tmp_path / "root/dir/file").write_text("mine")
    with pytest.raises(FileExistsError):
        host.make(b"dir/file", b".tmp", Attributes(0o120777, 0, "x"), new=True)
    assert os.listdir(tmp_path / "root/dir") == ["file"]
