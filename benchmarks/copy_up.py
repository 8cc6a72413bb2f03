"""How long the first write to a file of the lower takes, against the size of the file.

One byte is written into the middle of each file. Without reflinks the time of a union that copies whole files grows with the
size; that of one that copies lazily does not.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.filesystems import FileSystem, Kind, mounted
from benchmarks.measure import Key, Results
from benchmarks.workloads import MIB, Scale

_SIZES = (4 << 10, 64 << 10, MIB, 4 * MIB, 16 * MIB, 64 * MIB, 256 * MIB)
_PREFIX = "copy-up of "
_DIRECTORY = "copied"
_FIRST = "first"


def names() -> list[str]:
    """One workload per size."""
    return [_name(size) for size in _SIZES]


def size_of(workload: str) -> int | None:
    """Bytes of the file in a workload of this module; None for another one."""
    return next((size for size in _SIZES if _name(size) == workload), None)


def measure(
    results: Results,
    scale: Scale,
    subjects: Sequence[FileSystem],
    places: Mapping[str, Path],
    only: Sequence[str],
) -> None:
    """One sample of each size in `only` that the scale has room for, all on one fresh mount of each subject."""
    sizes = [size for size in _SIZES if _name(size) in only and size <= scale.big_mib * MIB]
    if not sizes:
        return
    for disk in {subject.disk for subject in subjects}:
        _make_files(places[disk] / "lower" / _DIRECTORY, sizes)
    for subject in subjects:
        if subject.kind in (Kind.COPY, Kind.BARE):
            continue
        where = places[subject.disk]
        try:
            with mounted(subject, [where / "lower"], where) as tree:
                # The first copy of a server is slower than all others: it loads code for it.
                _write(tree.root / _DIRECTORY / _FIRST, 1)
                for size in sizes:
                    path = tree.root / _DIRECTORY / str(size)
                    # The path is looked up, and the file's attributes read, before the clock starts.
                    os.stat(path)
                    key = Key(_name(size), subject.name, "cold")
                    results.time(key, lambda path=path, size=size: _write(path, size))  # type: ignore[misc]
        except (OSError, RuntimeError, subprocess.SubprocessError) as error:
            for size in sizes:
                results.fail(Key(_name(size), subject.name, "cold"), error)


def _make_files(directory: Path, sizes: Sequence[int]) -> None:
    directory.mkdir(exist_ok=True)
    (directory / _FIRST).write_bytes(b"first")
    block = os.urandom(MIB)
    for size in sizes:
        path = directory / str(size)
        if path.exists():
            continue
        with path.open("wb") as file:
            for start in range(0, size, MIB):
                file.write(block[: min(MIB, size - start)])


def _write(path: Path, size: int) -> None:
    fd = os.open(path, os.O_WRONLY)
    os.pwrite(fd, b"!", size // 2)
    os.close(fd)


def _name(size: int) -> str:
    return f"{_PREFIX}{size // MIB} MiB" if size >= MIB else f"{_PREFIX}{size >> 10} KiB"
