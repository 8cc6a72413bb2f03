"""The file systems that are compared, each mounted over the same lower with a fresh upper. In a user namespace, as its root; or
as root of the machine, with peers on loop devices."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from importlib.util import find_spec
from pathlib import Path

from benchmarks.scratch import die_with_parent, remove

MOUNT_SECONDS = 30
UNMOUNT_SECONDS = 300
"""A lazy copy of a large file is completed at the end."""

USED = "used"
"""Directory of the trees that workloads have written."""

_LARGE = 8 << 20
"""Bytes from which a file of a tree that has been used is not kept to the end."""


class Kind(Enum):
    SERVED = "a FUSE server"
    KERNEL = "the kernel's overlayfs"
    COPY = "the lower copied whole before it is used, as podman's vfs driver does"
    CLONE = "the lower copied by sharing its blocks: reflinks or a snapshot"
    BARE = "no union: the lower is read where it lies, and copied only for workloads that change it"


@dataclass(frozen=True, slots=True)
class FileSystem:
    """How a file system is mounted. `command` serves a union in the foreground and takes `-o OPTIONS MOUNTPOINT`; of a clone it
    is the command that takes a lower and makes a tree."""

    name: str
    kind: Kind
    command: tuple[str, ...] = ()
    options: str = ""
    """Mount options besides the directories."""
    disk: str = ""
    """The file system of the lower and the upper, on a loop device: "btrfs" or "xfs"; else that of the scratch directory."""

    def missing(self) -> str | None:
        """Why it cannot be measured here; None if it can."""
        if self.disk and not is_root():
            return "needs root, for a loop device"
        if self.disk and shutil.which(f"mkfs.{self.disk}") is None:
            return f"mkfs.{self.disk} is not installed"
        if "pyfuse3" in self.command and find_spec("pyfuse3") is None:
            return "pyfuse3 is not installed"
        if self.command and shutil.which(self.command[0]) is None:
            return f"{self.command[0]} is not installed"
        return None


def is_root() -> bool:
    """Root of the machine, and not of a user namespace: only that can make loop devices and mount them."""
    with open("/proc/self/uid_map", encoding="ascii") as lines:
        everything = lines.read().split() == ["0", "0", "4294967295"]
    return os.geteuid() == 0 and everything


_OURS = (sys.executable, "-m", "unionfs", "-f", "--session")
LAZY = "lazy=1m"
"""As the engine mounts an image."""

DISKS = ("xfs", "btrfs")
"""File systems that share blocks between files (FICLONE, ioctl_ficlone(2))."""

FILE_SYSTEMS = (
    FileSystem("unionfs device", Kind.SERVED, (*_OURS, "device")),
    FileSystem("unionfs lazy", Kind.SERVED, (*_OURS, "device"), LAZY),
    FileSystem("unionfs pyfuse3", Kind.SERVED, (*_OURS, "pyfuse3")),
    FileSystem("fuse-overlayfs", Kind.SERVED, ("fuse-overlayfs", "-f")),
    FileSystem("kernel overlayfs", Kind.KERNEL, options="userxattr"),
    FileSystem("full copy", Kind.COPY),
    FileSystem("bare disk", Kind.BARE),
    FileSystem("unionfs device on xfs", Kind.SERVED, (*_OURS, "device"), disk="xfs"),
    FileSystem("fuse-overlayfs on xfs", Kind.SERVED, ("fuse-overlayfs", "-f"), disk="xfs"),
    FileSystem("kernel overlayfs on xfs", Kind.KERNEL, options="userxattr", disk="xfs"),
    FileSystem("xfs reflinks", Kind.CLONE, ("cp", "-a", "--reflink=always"), disk="xfs"),
    FileSystem("unionfs device on btrfs", Kind.SERVED, (*_OURS, "device"), disk="btrfs"),
    FileSystem("fuse-overlayfs on btrfs", Kind.SERVED, ("fuse-overlayfs", "-f"), disk="btrfs"),
    FileSystem("kernel overlayfs on btrfs", Kind.KERNEL, options="userxattr", disk="btrfs"),
    FileSystem("btrfs snapshot", Kind.CLONE, ("btrfs", "subvolume", "snapshot"), disk="btrfs"),
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

    `copy`: the workload changes files of the lower; if it does not, the bare disk is read where it lies and written beside it.
    Written files stay until `scratch` is removed, except large ones: for minutes ext4 steps over the inodes of files that have
    been deleted, one by one, whenever it makes a file (recently_deleted, fs/ext4/ialloc.c), and after some thousand of them
    that takes longer than everything else."""
    here = scratch / "fresh"
    if here.exists():
        remove(here)
    here.mkdir()
    try:
        start = time.perf_counter()
        if file_system.kind is Kind.CLONE:
            tree = here / "tree"
            argv = [*file_system.command, lowers[0], tree]
            subprocess.run(argv, check=True, stdout=subprocess.DEVNULL)
            yield Tree(tree, None, time.perf_counter() - start)
            return
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
            _unmount(point, server)
    finally:
        _put_aside(here, scratch / USED)


def _unmount(point: Path, server: subprocess.Popen[bytes] | None) -> None:
    done = subprocess.run(["umount", point], check=False, capture_output=True)
    if done.returncode:
        # A workload that was interrupted may still use it.
        subprocess.run(["umount", "-l", point], check=False, capture_output=True)
    if server is None:
        return
    try:
        server.wait(10 if done.returncode else UNMOUNT_SECONDS)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()


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
            argv,
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
            cwd=here,
            env=_ENVIRONMENT,
            preexec_fn=die_with_parent,  # noqa: PLW1509 - there is one thread
        )
    deadline = time.monotonic() + MOUNT_SECONDS
    while os.stat(point).st_dev == before:
        if server.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(
                f"{file_system.name} did not mount: {log.read_text().strip()[-300:]}"
            )
        time.sleep(0.002)
    return server


@contextmanager
def loop_disk(kind: str, scratch: Path, lower: Path) -> Iterator[Path]:
    """A directory on a new file system of `kind` with a copy of `lower` in `lower/`, sized for it. As root."""
    image, point = scratch / f"{kind}.img", scratch / kind
    point.mkdir()
    size = int(subprocess.check_output(["du", "-s", "-B1", lower]).split()[0])
    with image.open("wb") as file:
        file.truncate(4 * size + (1 << 30))
    options = ("-m", "reflink=1") if kind == "xfs" else ()
    subprocess.run([f"mkfs.{kind}", "-q", *options, image], check=True, stdout=subprocess.DEVNULL)
    subprocess.run(["mount", "-o", "loop", image, point], check=True)
    try:
        copy = point / "lower"
        if kind == "btrfs":
            argv = ["btrfs", "subvolume", "create", copy]
            subprocess.run(argv, check=True, stdout=subprocess.DEVNULL)
        else:
            copy.mkdir()
        subprocess.run(["cp", "-a", f"{lower}/.", copy], check=True)
        os.sync()
        yield point
    finally:
        subprocess.run(["umount", "-l", point], check=False)
        image.unlink()


# The server is started in another directory than the one that `unionfs` is imported from.
_ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
