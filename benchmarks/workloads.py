"""What is done on a mounted tree. A workload is a name, a call on the tree's root, and whether it is worth repeating warm.

The tree holds `src/` (small files in directories, like a source tree), `big` (one large file) and `medium`. New work goes to
`out/`, which is there and empty in the lower.
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

MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Scale:
    """How much there is: files under `src/`, and the sizes of `big` and `medium` in MiB."""

    files: int
    big_mib: int
    medium_mib: int


SCALES = {
    "small": Scale(300, 32, 8),
    "normal": Scale(3000, 256, 64),
    "full": Scale(30_000, 1024, 1024),
}


@dataclass(frozen=True, slots=True)
class Workload:
    """`call` gets the root of the mounted tree and the directory that holds the inputs (`src.tar`). `again`: a second run on
    the same mount means something (warm). `changes`: it changes what is in the lower."""

    name: str
    call: Callable[[Path, Path], object]
    again: bool = True
    changes: bool = False
    program: str | None = None
    """Left out where this is not installed."""


def make_lower(directory: Path, scale: Scale) -> Path:
    """Make the lower tree, always the same for a scale, and `src.tar` beside it. Returns the tree."""
    lower = directory / "lower"
    if (directory / "src.tar").exists():
        return lower
    chance = random.Random(7)
    words = [f"word{number}" for number in range(500)]
    for number in range(scale.files):
        parent = lower / "src" / f"d{number // 200}" / f"s{number // 20 % 10}"
        parent.mkdir(parents=True, exist_ok=True)
        length = min(int(chance.lognormvariate(7.5, 1.2)), 200_000)
        text = " ".join(chance.choices(words, k=length // 8 + 1))
        (parent / f"file{number}.c").write_text(text[:length])
    (lower / "out").mkdir()
    block = chance.randbytes(MIB)
    for name, mib in (("big", scale.big_mib), ("medium", scale.medium_mib)):
        with open(lower / name, "wb") as file:
            file.writelines(block for _ in range(mib))
    with tarfile.open(directory / "src.tar", "w") as archive:
        archive.add(lower / "src", "src")
    os.sync()
    return lower


def _run(*argv: str | Path) -> None:
    subprocess.run(argv, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)


def _files(root: Path) -> list[str]:
    found = []
    for directory, _, names in os.walk(root / "src"):
        found += [f"{directory}/{name}" for name in names]
    return found


def untar(root: Path, inputs: Path) -> None:
    _run("tar", "-C", root / "out", "-xf", inputs / "src.tar")


def find(root: Path, _: Path) -> None:
    _run("find", f"{root}/src/", "-size", "+1000k")


def grep(root: Path, _: Path) -> None:
    # grep's status for "nothing found" is 1, which is what is wanted of it.
    done = subprocess.run(
        ["grep", "-r", "no such word", f"{root}/src/"], stdout=subprocess.DEVNULL, check=False
    )
    if done.returncode != 1:
        raise RuntimeError(f"grep ended with status {done.returncode}")


def tar_c(root: Path, _: Path) -> None:
    _run("sh", "-c", 'tar -C "$1" -cf - src/ | cat >/dev/null', "sh", root)


def read_small(root: Path, _: Path) -> None:
    for path in _files(root):
        fd = os.open(path, os.O_RDONLY)
        os.read(fd, 1 << 18)
        os.close(fd)


def open_close(root: Path, _: Path) -> None:
    for path in _files(root):
        os.close(os.open(path, os.O_RDONLY))


def stat_all(root: Path, _: Path) -> None:
    for path in _files(root):
        os.stat(path)


def listdir(root: Path, _: Path) -> None:
    for _, _, names in os.walk(root / "src"):
        len(names)


def read_big(root: Path, _: Path) -> None:
    fd = os.open(root / "big", os.O_RDONLY)
    buffer = bytearray(MIB)
    while os.readv(fd, [buffer]):
        pass
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


def copy_up(root: Path, _: Path) -> None:
    fd = os.open(root / "medium", os.O_RDWR)
    os.pwrite(fd, b"!", 4096)
    os.close(fd)


def chmod_big(root: Path, _: Path) -> None:
    os.chmod(root / "big", 0o600)


def remove(root: Path, _: Path) -> None:
    _run("rm", "-rf", f"{root}/src")


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


def temporary_files(root: Path, _: Path) -> None:
    for number in range(500):
        path = f"{root}/out/t{number}"
        fd = os.open(path, os.O_CREAT | os.O_WRONLY)
        os.write(fd, b"t" * 1000)
        os.close(fd)
        os.unlink(path)


def saves(root: Path, _: Path) -> None:
    """As editors do it: a new file, then a rename over the old one."""
    for _ in range(300):
        with open(root / "out/saved.new", "w") as file:
            file.write("s" * 500)
        os.rename(root / "out/saved.new", root / "out/saved")


def rename_directory(root: Path, _: Path) -> None:
    # A file system that cannot says EXDEV, and mv(1) copies.
    _run("mv", root / "src", root / "moved")


def clients(root: Path, _: Path) -> None:
    """Eight at once, each reading every file."""
    children = []
    for _ in range(8):
        child = os.fork()
        if child == 0:
            status = 1
            try:
                read_small(root, root)
                status = 0
            finally:
                os._exit(status)
        children.append(child)
    if any(os.waitpid(child, 0)[1] for child in children):
        raise RuntimeError("a client failed")


def make_objects(root: Path, _: Path) -> None:
    place = root / "out/build"
    place.mkdir()
    names = [f"unit{number}" for number in range(24)]
    for name in names:
        source = (
            f'#include <stdio.h>\n#include <stdlib.h>\nint {name}(void) {{ return puts("x"); }}\n'
        )
        (place / f"{name}.c").write_text(source)
    objects = " ".join(f"{name}.o" for name in names)
    (place / "Makefile").write_text(f"all: {objects}\n\tld -r -o all.o {objects}\n")
    _run("make", "-s", "-j2", "-C", place)


def postmark(root: Path, _: Path) -> None:
    place = root / "out/postmark"
    place.mkdir()
    script = f"set location {place}\nset number 500\nset transactions 2000\nrun\nquit\n"
    subprocess.run(["postmark"], input=script, text=True, check=True, stdout=subprocess.DEVNULL)


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
    Workload("first write to a lower file", copy_up, again=False, changes=True),
    Workload("chmod of a large lower file", chmod_big, again=False, changes=True),
    Workload("5,000 random reads of 4 KiB", random_reads),
    Workload("5,000 random writes of 4 KiB", random_writes),
    Workload("read one large file, mapped", read_mapped),
    Workload("500 temporary files", temporary_files),
    Workload("300 saves by rename", saves),
    Workload("mv of a lower directory", rename_directory, again=False, changes=True),
    Workload("open+read+close, 8 clients", clients),
    Workload("make -j2", make_objects, again=False, program="make"),
    Workload("postmark", postmark, again=False, program="postmark"),
    Workload("sqlite, 300 commits, WAL", sqlite_wal),
    Workload("sqlite, 100 commits, rollback journal", sqlite_rollback),
)
