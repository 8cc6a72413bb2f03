"""The cost of a stack of many layers: until the mount answers, and a walk through it.

The same files each time, divided among 1, 8, 64 and 200 layers. The union takes part twice: with the layers as directories, as
the peers have them, and as the engine has them, archives that are read in place through one merged index (built once for an
image, before anything is mounted).
"""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path

from benchmarks.filesystems import FILE_SYSTEMS, FileSystem, Kind, mounted
from benchmarks.measure import Key, Results, rotated
from benchmarks.servers import usage
from benchmarks.workloads import Scale, require, run
from unionfs.tar.chain import build_chain
from unionfs.tar.indexer import TarIndexer

COUNTS = (1, 8, 64, 200)
CHAIN = FileSystem(
    "unionfs chain", Kind.SERVED, (sys.executable, "-m", "benchmarks.chain_server"), "chain"
)
SUBJECTS = (
    *[item for item in FILE_SYSTEMS if item.kind in (Kind.SERVED, Kind.KERNEL) and not item.disk],
    CHAIN,
)


def names(counts: Sequence[int] = COUNTS) -> list[str]:
    return [f"{what}, {count} layers" for count in counts for what in ("mount", "find")]


def make_layers(directory: Path, files: int, count: int) -> list[Path]:
    """`files` files in `count` layers, top first, each with its archive and index beside it, and all with a merged index.
    Directories are in several layers."""
    place = directory / f"layers{count}"
    layers = [place / f"{number}" for number in range(count)]
    if place.exists():
        return layers
    for number in range(files):
        parent = layers[number % count] / f"d{number // 500}" / f"s{number // 50 % 10}"
        parent.mkdir(parents=True, exist_ok=True)
        (parent / f"f{number}").write_text(f"{number}\n")
    indexes = []
    for layer in reversed(layers):
        layer.mkdir(parents=True, exist_ok=True)
        archive, index = layer.with_suffix(".tar"), layer.with_suffix(".index")
        with tarfile.open(archive, "w") as file:
            file.add(layer, ".")
        with TarIndexer(index) as indexer:
            indexer.feed(archive.read_bytes())
            indexer.finish()
        indexes.append(index)
    build_chain(indexes, place / "chain")
    return layers


def measure(
    results: Results,
    scale: Scale,
    scratch: Path,
    number: int,
    *,
    subjects: AbstractSet[str],
    only: AbstractSet[str],
) -> None:
    """Round `number` of the measurements in `only`, on those of SUBJECTS that `subjects` names."""
    wanted = [item for item in SUBJECTS if item.name in subjects]
    for count in [count for count in COUNTS if only & set(names((count,)))]:
        layers = make_layers(scratch, scale.layered, count)
        print(f"round {number + 1}: {count} layers", file=sys.stderr)
        for subject in rotated(wanted, number):
            _measure(results, subject, layers, scale.layered, scratch)


def _measure(
    results: Results, subject: FileSystem, layers: Sequence[Path], files: int, scratch: Path
) -> None:
    mount = Key(f"mount, {len(layers)} layers", subject.name, "cold")
    walk = Key(f"find, {len(layers)} layers", subject.name, "cold")
    if results.failed(mount):
        return
    try:
        with mounted(subject, layers, scratch) as tree:
            os.stat(tree.root / "d0")
            results.record(mount, tree.seconds)
            server = tree.server
            results.time(
                walk,
                lambda: _find(tree.root, files),
                None if server is None else lambda: usage(server),
            )
    except (OSError, RuntimeError, subprocess.SubprocessError) as error:
        results.fail(mount, error)


def _find(root: Path, files: int) -> None:
    require(len(run("find", root, "-type", "f", "-size", "-9k", "-printf", ".")), files, "files")
