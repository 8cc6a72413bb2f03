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
from shutil import which
from typing import TYPE_CHECKING

from rootless.errors import HostSupportError, InvalidDocumentError
from unionfs.commands.mount import unmount

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

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
        HostSupportError: none of them is installed, it does not answer, or it may not mount. `package` is where they
            come from.
        InvalidDocumentError: it cannot read the file system.
    """
    program = next(filter(which, programs), None)
    if program is None:
        raise HostSupportError(
            f"cannot read {path}: {programs[-1]} is not installed",
            hint=f"install {package} and fuse3",
        )
    directory, lock = _mount([program, "-o", ",".join(options), path], path, passed)
    try:
        yield f"{directory}/{_MOUNTPOINT}"
    finally:
        _remove(directory, lock)


def remove_left() -> None:
    """Unmount what processes of this user have left that were killed while a file system was mounted."""
    for place in _places():
        _remove_left(place)


def _places() -> Iterable[str]:
    return dict.fromkeys((tempfile.gettempdir(), "/tmp", "/dev/shm"))


def _mount(argv: Sequence[str], path: str, passed: Sequence[int]) -> tuple[str, int]:
    """Mount it in a new directory; returns that and its lock. fusermount3 refuses file systems that it does not know."""
    refusal = ""
    for place in _places():
        if not os.access(place, os.W_OK):
            continue
        _remove_left(place)
        try:
            directory, lock = _make_directory(place)
        except OSError as error:  # one without locks, for one
            refusal = f"{place}: {(error.strerror or '').lower()}"
            continue
        try:
            refusal = _serve([*argv, f"{directory}/{_MOUNTPOINT}"], path, passed)
            if _is_mounted(directory):
                return directory, lock
        except BaseException:
            _remove(directory, lock)
            raise
        _remove(directory, lock)
    raise HostSupportError(
        f"cannot read {path}: {refusal or f'{argv[0]} did not mount it'}",
        hint="fusermount3 has to be installed, and TMPDIR on a file system that it takes",
    )


def _remove(directory: str, lock: int) -> None:
    """Detach what is mounted, remove the directory and close its lock. What fails is left to the next process."""
    # Root unmounts by itself what is in the locked directory. For others fusermount3 does, if it is theirs.
    top = f"/proc/self/fd/{lock}" if os.geteuid() == 0 else directory
    try:
        unmount(f"{top}/{_MOUNTPOINT}", lazy=True, follow_symlinks=False)
    except OSError:
        pass  # it was not mounted yet, or not any more
    try:
        try:
            os.rmdir(_MOUNTPOINT, dir_fd=lock)
        except FileNotFoundError:
            pass
        os.rmdir(directory)
    except OSError:
        pass
    finally:
        os.close(lock)


def _make_directory(place: str) -> tuple[str, int]:
    """A directory in `place` with one to mount on, and the descriptor that locks it as long as this process lives.
    Raises OSError."""
    while True:
        directory = tempfile.mkdtemp(prefix=_PREFIX, dir=place)
        lock = -1
        try:
            lock = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            fcntl.flock(lock, fcntl.LOCK_EX)
            os.mkdir(f"{directory}/{_MOUNTPOINT}")
            return directory, lock
        except FileNotFoundError:  # another process found it without a lock
            if lock >= 0:
                os.close(lock)
        except OSError:
            if lock >= 0:
                os.close(lock)
            os.rmdir(directory)
            raise


def _remove_left(place: str) -> None:
    """Remove what processes have left that were killed while a file system was mounted."""
    for directory in glob.glob(f"{glob.escape(place)}/{_PREFIX}*"):
        try:
            lock = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:
            continue  # another user's, or gone
        try:
            is_ours = os.fstat(lock).st_uid == os.geteuid()  # root can open all
            if is_ours:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            is_ours = False  # it is in use
        if is_ours:
            _remove(directory, lock)
        else:
            os.close(lock)


def _is_mounted(directory: str) -> bool:
    """fuse2fs succeeds without a mount too."""
    try:
        return os.stat(f"{directory}/{_MOUNTPOINT}").st_dev != os.stat(directory).st_dev
    except OSError:
        return True  # it is the image that cannot be read


def _serve(argv: Sequence[str], path: str, passed: Sequence[int]) -> str:
    """Start the program. Returns why fusermount3 refused the mount, if it did. Raises as `served`."""
    import subprocess

    # It returns when the image is mounted, and goes on serving it by itself.
    try:
        done = subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_SECONDS,
            check=False,
            pass_fds=passed,
        )
    except subprocess.TimeoutExpired:
        raise HostSupportError(f"cannot read {path}: {argv[0]} did not answer in time") from None
    lines = (done.stderr or done.stdout).decode(errors="replace").strip().splitlines()
    said = next((line for line in lines if "fusermount" in line), "")
    if not said and done.returncode != 0:
        reason = lines[-1] if lines else done.returncode
        raise InvalidDocumentError(f"cannot read {path}: {argv[0]}: {reason}")
    return said
