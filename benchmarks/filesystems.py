"""The file systems that are compared, each mounted over the same lower with a fresh upper. In a user namespace, as its root."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

MOUNT_SECONDS = 30
UNMOUNT_SECONDS = 300
"""A lazy copy of a large file is completed at the end."""

_LARGE = 8 << 20
"""Bytes from which a file of a tree that has been used is not kept to the end."""


class Kind(Enum):
    SERVED = "a file server of ours, or a peer's"
    KERNEL = "the kernel's overlayfs"
    COPY = "the lower copied whole before it is used, as podman's vfs driver does"
    BARE = "no union: the lower is read where it lies, and copied only for workloads that change it"


@dataclass(frozen=True, slots=True)
class FileSystem:
    """How one is mounted. `command` serves a union in the foreground and takes `-o OPTIONS MOUNTPOINT`."""

    name: str
    kind: Kind
    command: tuple[str, ...] = ()
    options: str = ""
    """Mount options besides the directories."""


_OURS = (sys.executable, "-m", "unionfs", "-f", "--session")
LAZY = "lazy=1m"
"""As the engine mounts an image."""

FILE_SYSTEMS = (
    FileSystem("unionfs device", Kind.SERVED, (*_OURS, "device"), LAZY),
    FileSystem("unionfs pyfuse3", Kind.SERVED, (*_OURS, "pyfuse3"), LAZY),
    FileSystem("fuse-overlayfs", Kind.SERVED, ("fuse-overlayfs", "-f")),
    FileSystem("kernel overlayfs", Kind.KERNEL, options="userxattr"),
    FileSystem("full copy", Kind.COPY),
    FileSystem("bare disk", Kind.BARE),
)


@dataclass(frozen=True, slots=True)
class Tree:
    """One that is mounted: its root, the process that serves it, and how long it took until it answered."""

    root: Path
    server: int | None
    seconds: float


@contextmanager
def mounted(
    file_system: FileSystem, lowers: Sequence[Path], scratch: Path, *, copy: bool = False
) -> Iterator[Tree]:
    """A tree with the content of `lowers` (top first), writable, and unmounted at the end.

    `copy` says whether the workload changes what is in the lower; if it does not, the bare disk is read where it lies and
    written beside it. What has been written is left to whoever removes `scratch`, its large files apart: for minutes ext4 steps
    over the inodes of files that have been deleted, one by one, whenever it makes a file (recently_deleted,
    fs/ext4/ialloc.c), and after some thousand of them that takes longer than everything else."""
    here = scratch / "fresh"
    here.mkdir()
    try:
        start = time.perf_counter()
        if file_system.kind in (Kind.COPY, Kind.BARE):
            tree = _plain(lowers, here, copy=copy or file_system.kind is Kind.COPY)
            yield Tree(tree, None, time.perf_counter() - start)
            return
        upper, work, point = (here / name for name in ("upper", "work", "merged"))
        for directory in (upper, work, point):
            directory.mkdir()
        names = ":".join(os.path.relpath(lower, here) for lower in lowers)
        options = [f"lowerdir={names}", f"upperdir={upper}", f"workdir={work}"]
        options += [file_system.options] if file_system.options else []
        server = _mount(file_system, ",".join(options), point, here)
        try:
            yield Tree(point, server.pid if server else None, time.perf_counter() - start)
        finally:
            subprocess.run(["umount", point], check=True)
            if server is not None:
                server.wait(UNMOUNT_SECONDS)
    finally:
        _put_aside(here, scratch / "used")


def _put_aside(here: Path, used: Path) -> None:
    used.mkdir(exist_ok=True)
    subprocess.run(["chmod", "-R", "u+rwX", here], check=False, stderr=subprocess.DEVNULL)
    for directory, _, names in os.walk(here):
        for name in names:
            file = Path(directory, name)
            if file.lstat().st_size >= _LARGE:
                file.unlink()
    here.rename(used / f"{len(os.listdir(used))}")


def _plain(lowers: Sequence[Path], here: Path, *, copy: bool) -> Path:
    tree = here / "tree"
    tree.mkdir()
    for lower in reversed(lowers):
        if copy:
            # Without reflinks, which is what most file systems of most machines leave one with.
            subprocess.run(["cp", "-a", "--reflink=never", f"{lower}/.", tree], check=True)
        else:
            for entry in lower.iterdir():
                # What an empty directory is for is to be written to, and the lower stays as it is.
                if entry.is_dir() and not any(entry.iterdir()):
                    (tree / entry.name).mkdir()
                else:
                    (tree / entry.name).symlink_to(entry)
    return tree


def _mount(
    file_system: FileSystem, options: str, point: Path, here: Path
) -> subprocess.Popen[bytes] | None:
    """Mount from `here`, so that the names of many layers fit into a page of options (mount(2))."""
    if file_system.kind is Kind.KERNEL:
        argv = ["mount", "-t", "overlay", "overlay", "-o", options, str(point)]
        subprocess.run(argv, check=True, cwd=here)
        return None
    before = point.stat().st_dev
    log = here / "log"
    with open(log, "wb") as stream:
        argv = [*file_system.command, "-o", options, str(point)]
        server = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream, cwd=here, env=_ENVIRONMENT
        )
    deadline = time.monotonic() + MOUNT_SECONDS
    while os.stat(point).st_dev == before:
        if server.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(
                f"{file_system.name} did not mount: {log.read_text().strip()[-300:]}"
            )
        time.sleep(0.002)
    return server


# The server is started in another directory than the one that `unionfs` is imported from.
_ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
