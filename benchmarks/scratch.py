"""The directory that a run works in: removed at its end, after signals too; and what killed runs left."""

from __future__ import annotations

import ctypes
import fcntl
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

_PREFIX = "rl-bench-"
_LOCK = "lock"
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36


@contextmanager
def scratch_directory(base: Path | None = None) -> Iterator[Path]:
    """A new directory for a run, in `base` or the directory for temporary files. Removes those of runs that were killed first."""
    base = base or Path(tempfile.gettempdir())
    for left in base.glob(f"{_PREFIX}*"):
        if left.stat().st_uid == os.geteuid() and not _is_locked(left):
            remove(left)
    directory = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=base))
    lock = os.open(directory / _LOCK, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC)
    fcntl.flock(lock, fcntl.LOCK_EX)
    try:
        yield directory
    finally:
        remove(directory)
        os.close(lock)


def _is_locked(directory: Path) -> bool:
    try:
        lock = os.open(directory / _LOCK, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(lock)
    return False


def remove(directory: Path) -> None:
    """Remove a tree, files of subordinate ids (podman's store) included."""
    shutil.rmtree(directory, ignore_errors=True)
    if directory.exists():
        subprocess.run(["chmod", "-R", "u+rwX", directory], check=False, stderr=subprocess.DEVNULL)
        shutil.rmtree(directory, ignore_errors=True)
    if directory.exists() and shutil.which("podman"):
        argv = ["podman", "unshare", "rm", "-rf", directory]
        subprocess.run(argv, check=False, capture_output=True)


def exit_on_signals() -> None:
    """Let SIGTERM, SIGHUP and SIGINT end this process by SystemExit, so that `finally` clauses run."""

    def leave(number: int, _: FrameType | None) -> None:
        for each in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            signal.signal(each, signal.SIG_IGN)
        sys.exit(128 + number)

    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, leave)


def die_with_parent() -> None:
    """Send this process SIGTERM when its parent dies (PR_SET_PDEATHSIG, prctl(2)). An execve of a program
    without privileges keeps that."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def end_children() -> None:
    """Kill the children of this process that are left, and wait for them."""
    own = os.getpid()
    for pid in Path(f"/proc/{own}/task/{own}/children").read_text().split():
        os.kill(int(pid), signal.SIGKILL)
        os.waitpid(int(pid), 0)


def adopt_orphans() -> None:
    """Make this process the parent of descendants whose parents have ended (PR_SET_CHILD_SUBREAPER, prctl(2))."""
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1)


def wait_for_orphans() -> None:
    """Wait until this process has no children any more."""
    try:
        while True:
            os.wait()
    except ChildProcessError:
        return


def unmount_below(directory: Path) -> None:
    """Detach every mount below a directory, the last one first."""
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as lines:
        points = [line.split()[4] for line in lines]
    for point in reversed(points):
        if point.startswith(f"{directory}/"):
            subprocess.run(["umount", "-l", point], check=False, capture_output=True)
