"""The files with CDI specifications."""

import os

from rootless.cdi.files import read_spec_files


def test_fifo_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "a.json")
    (found,) = read_spec_files([str(tmp_path)])
    assert (found.spec, found.error) == (None, "not a regular file")
