"""Making a recorded device where there is something else already."""

from __future__ import annotations

import errno
import os
import stat

import pytest

from rootless.rootfs.recorded_device import make_recorded_device


def test_file_of_the_temporary_name_is_no_device_and_stays(tmp_path):
    (tmp_path / "temporary").write_text("of the user")

    def refuse(_value: bytes) -> None:
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))

    directory = os.open(tmp_path, os.O_PATH)
    try:
        with pytest.raises(FileExistsError):
            make_recorded_device(
                directory, b"n", (stat.S_IFCHR | 0o600, 259, 0), b"temporary", refuse
            )
    finally:
        os.close(directory)
    assert [(each.name, each.read_text()) for each in tmp_path.iterdir()] == [
        ("temporary", "of the user")
    ]
