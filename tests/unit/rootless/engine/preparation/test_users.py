"""The files that name the caller beside the users of a directory of the host."""

import os

import pytest

from rootless.engine.preparation.users import user_files

ENTRIES = {"passwd": "me:*:1:1::/home/me:/bin/sh"}


@pytest.fixture
def root(tmp_path):
    (tmp_path / "root/etc").mkdir(parents=True)
    (tmp_path / "outside").write_text("secret\n")
    return tmp_path / "root"


def text_of(root):
    path, text = user_files(str(root), ENTRIES)["passwd"]
    assert path == "/etc/passwd"
    return text


def test_the_line_is_before_those_of_the_directory(root):
    assert text_of(root) == f"{ENTRIES['passwd']}\n"
    (root / "etc/passwd").write_text("root:x:0:0::/root:/bin/sh\n")
    assert text_of(root) == f"{ENTRIES['passwd']}\nroot:x:0:0::/root:/bin/sh\n"


def test_links_are_resolved_in_the_directory(root):
    (root / "usr").mkdir()
    (root / "usr/passwd").write_text("bin:x:1:1::/:/bin/sh\n")
    (root / "etc/passwd").symlink_to("/usr/passwd")
    assert text_of(root) == f"{ENTRIES['passwd']}\nbin:x:1:1::/:/bin/sh\n"


def test_nothing_is_read_outside_the_directory(root):
    (root / "etc/passwd").symlink_to(root.parent / "outside")
    assert text_of(root) == f"{ENTRIES['passwd']}\n"


def test_a_fifo_does_not_block(root):
    os.mkfifo(root / "etc/passwd")
    assert text_of(root) == f"{ENTRIES['passwd']}\n"
