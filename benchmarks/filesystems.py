"""The file systems that are compared, each mounted over the same lower with a fresh upper. In a user namespace, as its root."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

MOUNT_SECONDS = 30


@dataclass(frozen=True, slots=True)
class FileSystem:
    """`command` serves a union in the foreground and takes `-o OPTIONS MOUNTPOINT`; None is the kernel's overlayfs, an
    empty one a plain copy of the lower."""

    name: str
    command: tuple[str, ...] | None


FILE_SYSTEMS = (
    FileSystem("unionfs device", (sys.executable, "-m", "unionfs", "-f", "--session", "device")),
    FileSystem("unionfs pyfuse3", (sys.executable, "-m", "unionfs", "-f", "--session", "pyfuse3")),
    FileSystem("fuse-overlayfs", ("fuse-overlayfs", "-f")),
    FileSystem("kernel overlayfs", None),
    FileSystem("bare disk", ()),
)


@contextmanager
def mounted(file_system: FileSystem, lower: Path, scratch: Path, *, copy: bool) -> Iterator[Path]:
    """A tree with the content of `lower`, writable, and gone with its changes at the end.

    `copy` says whether the workload changes what is in the lower; if it does not, the bare disk is read where it lies and
    written beside it."""
    here = scratch / "fresh"
    here.mkdir()
    try:
        if file_system.command == ():
            yield _plain(lower, here, copy=copy)
            return
        upper, work, point = (here / name for name in ("upper", "work", "merged"))
        for directory in (upper, work, point):
            directory.mkdir()
        options = f"lowerdir={lower},upperdir={upper},workdir={work}"
        server = _mount(file_system, options, point, here / "log")
        try:
            yield point
        finally:
            subprocess.run(["umount", point], check=True)
            if server is not None:
                server.wait(MOUNT_SECONDS)
    finally:
        subprocess.run(["chmod", "-R", "u+rwX", here], check=False, stderr=subprocess.DEVNULL)
        shutil.rmtree(here)


def _plain(lower: Path, here: Path, *, copy: bool) -> Path:
    tree = here / "tree"
    if copy:
        subprocess.run(["cp", "-a", lower, tree], check=True)
    else:
        tree.mkdir()
        for entry in lower.iterdir():
            (tree / entry.name).symlink_to(entry)
    return tree


def _mount(
    file_system: FileSystem, options: str, point: Path, log: Path
) -> subprocess.Popen[bytes] | None:
    if file_system.command is None:
        subprocess.run(
            ["mount", "-t", "overlay", "overlay", "-o", f"userxattr,{options}", point], check=True
        )
        return None
    before = point.stat().st_dev
    with open(log, "wb") as stream:
        argv = [*file_system.command, "-o", options, str(point)]
        server = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream)
    deadline = time.monotonic() + MOUNT_SECONDS
    while os.stat(point).st_dev == before:
        if server.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(
                f"{file_system.name} did not mount: {log.read_text().strip()[-300:]}"
            )
        time.sleep(0.002)
    return server
