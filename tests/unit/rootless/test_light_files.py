"""Reading whole files."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from rootless.light_files import read_file, read_to_end


@pytest.mark.parametrize("size", [0, 1, (1 << 14) - 1, 1 << 14, 50_000])
def test_file_of_any_size_is_read_whole(tmp_path: Path, size: int) -> None:
    content = os.urandom(size)
    (tmp_path / "file").write_bytes(content)
    assert read_file(str(tmp_path / "file")) == content


def test_file_of_proc_is_read_to_its_end() -> None:
    """Of such a file the kernel gives less than was asked for (seq_file)."""
    libraries = read_file("/proc/self/maps")
    assert libraries.endswith(b"\n")
    assert b"[stack]" in libraries


def test_missing_file_is_reported_by_name(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as raised:
        read_file(str(tmp_path / "none"))
    assert raised.value.filename == str(tmp_path / "none")


def test_descriptor_is_closed(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    before = os.listdir("/proc/self/fd")
    read_file(str(tmp_path / "file"))
    assert os.listdir("/proc/self/fd") == before


def test_pipe_is_read_until_its_writer_closes_it() -> None:
    reader, writer = os.pipe()
    os.write(writer, b"one")
    os.write(writer, b"two")
    os.close(writer)
    assert read_to_end(reader) == b"onetwo"
    os.close(reader)
