"""The file of a layer: what was written, its digest and its parts, on each side of the limits."""

from __future__ import annotations

import errno
import hashlib
import os
import random
import resource
from pathlib import Path

import pytest

from rootless.store import layer_file
from rootless.store.layer_file import LayerFile

BUFFER = 1 << 20


def written(path: Path, pieces: list[bytes]) -> tuple[tuple[str, int], bytes]:
    """What `finish` returns, and what `each` was called with."""
    parts: list[bytes] = []
    file = LayerFile(path, lambda part: parts.append(bytes(part)))
    try:
        for piece in pieces:
            file.write(piece)
        found = file.finish(durable=True)
    finally:
        file.close()
    return found, b"".join(parts)


@pytest.mark.parametrize("cached", [0, 128 << 20])
@pytest.mark.parametrize(
    "sizes",
    [
        [],
        [512, 3, 0, 509],
        [BUFFER],
        [BUFFER - 1, 1, 1],
        [7, 5 * BUFFER, 512],
        [BUFFER // 3] * 40,
        [2 * BUFFER],
    ],
)
def test_bytes_digest_and_parts_are_those_written(tmp_path, monkeypatch, cached, sizes):
    """With `cached` 0 every full buffer is written past the page cache, where the file system can do that."""
    monkeypatch.setattr(layer_file, "_CACHED", cached)
    pieces = [random.Random(size).randbytes(size) for size in sizes]
    whole = b"".join(pieces)
    found, parts = written(tmp_path / "layer.tar", pieces)
    assert found == (f"sha256:{hashlib.sha256(whole).hexdigest()}", len(whole))
    assert parts == whole
    assert (tmp_path / "layer.tar").read_bytes() == whole


@pytest.mark.parametrize("there", [0, 100, BUFFER, 3 * BUFFER + 5])
def test_file_is_read_up_to_its_end_or_the_size(tmp_path, there):
    content = random.Random(3).randbytes(there)
    (tmp_path / "source").write_bytes(content)
    descriptor = os.open(tmp_path / "source", os.O_RDONLY)
    file = LayerFile(tmp_path / "layer.tar", lambda _: None)
    try:
        file.write(b"head")
        assert file.read_from(descriptor, 2 * BUFFER) == min(there, 2 * BUFFER)
        file.write(b"tail")
        file.finish(durable=False)
    finally:
        file.close()
        os.close(descriptor)
    assert (tmp_path / "layer.tar").read_bytes() == b"head" + content[: 2 * BUFFER] + b"tail"


def test_error_of_the_writing_thread_is_raised(tmp_path):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (BUFFER + 100, before[1]))
    try:
        with pytest.raises(OSError, match="too large") as raised:
            written(tmp_path / "layer.tar", [bytes(BUFFER)] * 9)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert raised.value.errno == errno.EFBIG


def test_error_of_each_ends_the_threads(tmp_path):
    calls = []

    def refuse(part: memoryview) -> None:
        calls.append(len(part))
        if len(calls) == 3:
            raise ValueError("refused")

    file = LayerFile(tmp_path / "layer.tar", refuse)
    with pytest.raises(ValueError, match="refused"):
        file.write(bytes(5 * BUFFER))
    file.close()
    assert calls == [BUFFER] * 3
