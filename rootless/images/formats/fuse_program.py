"""A file system in a file, served by a program: squashfuse, fuse2fs.

Its mount is detached as soon as something of it is open: from then on descriptors alone keep it, no other process
sees it, and when the last is closed, at the latest by the end of this process, the kernel ends the file system and
with it the program: nothing is left behind. What a process leaves that is killed before, the next one removes.
"""

from __future__ import annotations

import fcntl
import glob
import os
import tempfile
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rootless.errors import HostSupportError, InvalidDocumentError
from unionfs.commands.mount import unmount

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_SECONDS = 60
_PREFIX = "rootless-mount-"
_MOUNTPOINT = "top"


@contextmanager
def served(
    path: str,
    programs: Sequence[str],
    options: Sequence[str],
    *,
    package: str,
    passed: Sequence[int] = (),
) -> Iterator[str]:
    """The directory on which the file system in `path` is mounted during the block, by the first of the programs that
    is installed. The program keeps the descriptors `passed`.

    Raises:
        HostSupportError: none of them is installed, or it does not answer. `package` is where they come from.
        InvalidDocumentError: it cannot read the file system.
    """
    _remove_left()
    directory, lock = _make_directory()
    mountpoint = f"{directory}/{_MOUNTPOINT}"
    try:
        _serve(programs, path, ["-o", ",".join(options), path, mountpoint], package, passed)
        try:
            yield mountpoint
        finally:
            unmount(mountpoint, lazy=True)
    finally:
        os.rmdir(mountpoint)
        os.rmdir(directory)
        os.close(lock)


def _make_directory() -> tuple[str, int]:
    """A directory with a place to mount on, and the descriptor that locks it as long as this process lives."""
    while True:
        directory = tempfile.mkdtemp(prefix=_PREFIX)
        lock = -1
        try:
            lock = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            fcntl.flock(lock, fcntl.LOCK_EX)
            os.mkdir(f"{directory}/{_MOUNTPOINT}")
            return directory, lock
        except FileNotFoundError:  # another process found it without a lock
            if lock >= 0:
                os.close(lock)


def _remove_left() -> None:
    """Remove what processes have left that were killed while a file system was mounted."""
    for directory in glob.glob(f"{glob.escape(tempfile.gettempdir())}/{_PREFIX}*"):
        try:
            lock = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:
            continue  # another user's, or gone
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            mountpoint = f"{directory}/{_MOUNTPOINT}"
            try:
                unmount(mountpoint, lazy=True)
            except OSError:
                pass  # it was not mounted yet, or not any more
            try:
                os.rmdir(mountpoint)
            except FileNotFoundError:
                pass
            os.rmdir(directory)
        except OSError:
            pass  # it is in use
        finally:
            os.close(lock)


def _serve(
    programs: Sequence[str],
    path: str,
    arguments: Sequence[str],
    package: str,
    passed: Sequence[int],
) -> None:
    import shutil
    import subprocess

    program = next(filter(shutil.which, programs), None)
    if program is None:
        raise HostSupportError(
            f"cannot read {path}: {programs[-1]} is not installed",
            hint=f"install {package} and fuse3",
        )
    # It returns when the image is mounted, and goes on serving it by itself.
    try:
        done = subprocess.run(
            [program, *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_SECONDS,
            check=False,
            pass_fds=passed,
        )
    except subprocess.TimeoutExpired:
        raise HostSupportError(f"cannot read {path}: {program} did not answer in time") from None
    if done.returncode != 0:
        said = (done.stderr or done.stdout).decode(errors="replace").strip().splitlines()
        raise InvalidDocumentError(
            f"cannot read {path}: {program}: {said[-1] if said else done.returncode}"
        )
