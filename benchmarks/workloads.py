"""Workloads on a mounted tree: a name, a call on the tree's root, and whether to repeat it warm.

The tree has `src/` (small files in directories, like a source tree), `big` (one large file), `medium` and `huge`. New files go to
`out/`, an empty directory in the lower. A workload checks what it has done and raises RuntimeError if it is incomplete. Workloads
of whole programs are in applications.py.
"""

from __future__ import annotations

import mmap
import os
import random
import sqlite3
import subprocess
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Scale:
    """Number of files under `src/`, and the sizes of `big`, `medium` and `huge` in MiB."""

    files: int
    big_mib: int
    medium_mib: int
    huge_mib: int
    layered: int
    """Files in all layers together, for the measurements of many layers."""


SCALES = {
    "tiny": Scale(40, 4, 2, 8, 60),
    "small": Scale(300, 32, 8, 64, 1000),
    "normal": Scale(3000, 256, 64, 1024, 10_000),
    "full": Scale(30_000, 1024, 64, 10_240, 100_000),
}


Call: TypeAlias = Callable[[Path, Path], "float | None"]
"""A float is the sample, in seconds; None: the sample is the time of the call."""


@dataclass(frozen=True, slots=True)
class Workload:
    """`call` gets the root of the mounted tree and the directory with the inputs (`src.tar`). `again`: run it again on the same
    mount (second, warm). `changes`: it changes files of the lower."""

    name: str
    call: Call
    again: bool = True
    changes: bool = False
    program: str | None = None
    """The workload is left out if this is not installed."""


NEEDLE = "the text that one file has"


def require(found: int, wanted: int, what: str) -> None:
    if found < wanted:
        raise RuntimeError(f"{found} {what} instead of {wanted}")


def count_of(inputs: Path, what: str) -> int:
    """Number of `files` in the lower, or of `bytes` of all of them."""
    return int((inputs / what).read_text())


def make_lower(directory: Path, scale: Scale) -> Path:
    """Make the lower tree, the same for the same scale, and `src.tar` beside it. Returns the tree."""
    lower = directory / "lower"
    if (directory / "src.tar").exists():
        return lower
    chance = random.Random(7)
    words = [f"word{number}" for number in range(500)]
    size = 0
    for number in range(scale.files):
        parent = lower / "src" / f"d{number // 200}" / f"s{number // 20 % 10}"
        parent.mkdir(parents=True, exist_ok=True)
        length = min(int(chance.lognormvariate(7.5, 1.2)), 200_000)
        text = " ".join(chance.choices(words, k=length // 8 + 1))
        text = NEEDLE if number == scale.files - 1 else text[:length]
        (parent / f"file{number}.c").write_text(text)
        size += len(text)
    (lower / "out").mkdir()
    block = chance.randbytes(MIB)
    sizes = {"big": scale.big_mib, "medium": scale.medium_mib, "huge": scale.huge_mib}
    for name, mib in sizes.items():
        with open(lower / name, "wb") as file:
            file.writelines(block for _ in range(mib))
    (directory / "files").write_text(str(scale.files))
    (directory / "bytes").write_text(str(size))
    with tarfile.open(directory / "src.tar", "w") as archive:
        archive.add(lower / "src", "src")
    os.sync()
    return lower


def run(*argv: str | Path) -> bytes:
    """Run a program. Returns its output. Raises CalledProcessError."""
    return subprocess.run(argv, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE).stdout


def _files(root: Path, inputs: Path) -> list[str]:
    found = []
    for directory, _, names in os.walk(root / "src"):
        found += [f"{directory}/{name}" for name in names]
    require(len(found), count_of(inputs, "files"), "files")
    return found


def untar(root: Path, inputs: Path) -> None:
    run("tar", "-C", root / "out", "-xf", inputs / "src.tar")


def find(root: Path, inputs: Path) -> None:
    found = run("find", f"{root}/src/", "-type", "f", "-size", "-1000k", "-printf", ".")
    require(len(found), count_of(inputs, "files"), "files found")


def grep(root: Path, _: Path) -> None:
    require(len(run("grep", "-rl", NEEDLE, f"{root}/src/").splitlines()), 1, "files found")


def tar_c(root: Path, inputs: Path) -> None:
    # Not into /dev/null: tar recognizes that, and reads nothing.
    written = run("sh", "-c", 'tar -C "$1/src" -cf - . | wc -c', "sh", root)
    require(int(written), count_of(inputs, "bytes"), "bytes archived")


def read_small(root: Path, inputs: Path) -> None:
    size = 0
    for path in _files(root, inputs):
        fd = os.open(path, os.O_RDONLY)
        size += len(os.read(fd, 1 << 18))
        os.close(fd)
    require(size, count_of(inputs, "bytes"), "bytes read")


def open_close(root: Path, inputs: Path) -> None:
    for path in _files(root, inputs):
        os.close(os.open(path, os.O_RDONLY))


def stat_all(root: Path, inputs: Path) -> None:
    size = sum(os.stat(path).st_size for path in _files(root, inputs))
    require(size, count_of(inputs, "bytes"), "bytes in all files")


def listdir(root: Path, inputs: Path) -> None:
    _files(root, inputs)


def read_big(root: Path, _: Path) -> None:
    fd = os.open(root / "big", os.O_RDONLY)
    buffer = bytearray(MIB)
    size = 0
    while done := os.readv(fd, [buffer]):
        size += done
    require(size, os.fstat(fd).st_size, "bytes read")
    os.close(fd)


def write_big(root: Path, _: Path) -> None:
    block = b"\x5a" * MIB
    with open(root / "out/big", "wb", buffering=0) as file:
        for _ in range((root / "big").stat().st_size // MIB):
            file.write(block)


def small_writes(root: Path, _: Path) -> None:
    with open(root / "out/appended", "wb", buffering=0) as file:
        for _ in range(20_000):
            file.write(b"a line of one hundred bytes, as a log has them " * 2 + b"\n")


def first_write(name: str) -> Call:
    """4 KiB into the middle of a file of the lower."""

    def call(root: Path, _: Path) -> None:
        fd = os.open(root / name, os.O_RDWR)
        os.pwrite(fd, b"!" * 4096, os.fstat(fd).st_size // 2)
        os.fsync(fd)
        os.close(fd)

    return call


def chmod_big(root: Path, _: Path) -> None:
    os.chmod(root / "big", 0o600)


def remove(root: Path, _: Path) -> None:
    run("rm", "-rf", f"{root}/src")


def _sqlite(root: Path, journal: str, commits: int) -> None:
    connection = sqlite3.connect(root / f"out/{journal}.db", isolation_level=None)
    connection.execute(f"pragma journal_mode={journal}")
    connection.execute("create table if not exists t (a integer primary key, b text)")
    for number in range(commits):
        connection.execute("insert into t (b) values (?)", (f"row {number}" * 10,))
    connection.close()


def sqlite_wal(root: Path, _: Path) -> None:
    _sqlite(root, "wal", 300)


def sqlite_rollback(root: Path, _: Path) -> None:
    _sqlite(root, "delete", 100)


def random_reads(root: Path, _: Path) -> None:
    chance = random.Random(3)
    fd = os.open(root / "big", os.O_RDONLY)
    pages = os.fstat(fd).st_size // 4096
    for _ in range(5000):
        os.pread(fd, 4096, chance.randrange(pages) * 4096)
    os.close(fd)


def random_writes(root: Path, _: Path) -> None:
    chance = random.Random(4)
    fd = os.open(root / "out/random", os.O_RDWR | os.O_CREAT)
    os.truncate(fd, 16 * MIB)
    for _ in range(5000):
        os.pwrite(fd, b"r" * 4096, chance.randrange(4096) * 4096)
    os.fsync(fd)
    os.close(fd)


def read_mapped(root: Path, _: Path) -> None:
    fd = os.open(root / "big", os.O_RDONLY)
    with mmap.mmap(fd, 0, prot=mmap.PROT_READ) as view:
        for start in range(0, len(view), 4096):
            view[start]
    os.close(fd)


def write_mapped(root: Path, _: Path) -> None:
    fd = os.open(root / "out/mapped", os.O_RDWR | os.O_CREAT)
    os.truncate(fd, 16 * MIB)
    with mmap.mmap(fd, 0) as view:
        for start in range(0, len(view), 4096):
            view[start] = 1
        view.flush()
    os.close(fd)


def temporary_files(root: Path, _: Path) -> None:
    for number in range(500):
        path = f"{root}/out/t{number}"
        fd = os.open(path, os.O_CREAT | os.O_WRONLY)
        os.write(fd, b"t" * 1000)
        os.close(fd)
        os.unlink(path)


def saves(root: Path, _: Path) -> None:
    """As an editor saves: write a new file, then rename it over the old one."""
    for _ in range(300):
        with open(root / "out/saved.new", "w") as file:
            file.write("s" * 500)
        os.rename(root / "out/saved.new", root / "out/saved")


def rename_directory(root: Path, _: Path) -> None:
    # On EXDEV mv(1) copies.
    run("mv", root / "src", root / "moved")


def clients(count: int) -> Call:
    """`count` processes at once, each of which reads every file."""

    def call(root: Path, inputs: Path) -> None:
        children = []
        for _ in range(count):
            child = os.fork()
            if child == 0:
                status = 1
                try:
                    read_small(root, inputs)
                    status = 0
                finally:
                    os._exit(status)
            children.append(child)
        statuses = [os.waitpid(child, 0)[1] for child in children]
        if any(statuses):
            raise RuntimeError("a client failed")

    return call


WORKLOADS = (
    Workload("find", find),
    Workload("grep -r", grep),
    Workload("tar c", tar_c),
    Workload("stat every file", stat_all),
    Workload("list every directory", listdir),
    Workload("open+close every file", open_close),
    Workload("open+read+close every file", read_small),
    Workload("read one large file", read_big),
    Workload("write one large file", write_big),
    Workload("20,000 writes of 95 bytes", small_writes),
    Workload("untar", untar, again=False),
    Workload("rm -rf", remove, again=False, changes=True),
    Workload("first write, medium lower file", first_write("medium"), again=False, changes=True),
    Workload("first write, large lower file", first_write("big"), again=False, changes=True),
    Workload("first write, huge lower file", first_write("huge"), again=False, changes=True),
    Workload("chmod of a large lower file", chmod_big, again=False, changes=True),
    Workload("5,000 random reads of 4 KiB", random_reads),
    Workload("5,000 random writes of 4 KiB", random_writes),
    Workload("read one large file, mapped", read_mapped),
    Workload("write 16 MiB, mapped", write_mapped),
    Workload("500 temporary files", temporary_files),
    Workload("300 saves by rename", saves),
    Workload("mv of a lower directory", rename_directory, again=False, changes=True),
    *[Workload(f"open+read+close, {count} clients", clients(count)) for count in (1, 2, 4, 8, 16)],
    Workload("sqlite, 300 commits, WAL", sqlite_wal),
    Workload("sqlite, 100 commits, rollback journal", sqlite_rollback),
)
