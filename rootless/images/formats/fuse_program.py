"""A file system in a file, served by a program: squashfuse, fuse2fs.

Its mount is detached as soon as something of it is open: from then on descriptors alone keep it, no other process
sees it, and when the last is closed, at the latest by the end of this process, the kernel ends the file system and
with it the program: nothing is left behind.
"""

from __future__ import annotations

import os
import tempfile
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rootless.errors import HostSupportError, InvalidDocumentError
from unionfs.commands.mount import unmount

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_SECONDS = 60


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
    mountpoint = tempfile.mkdtemp(prefix="rootless-image-")
    try:
        _serve(programs, path, ["-o", ",".join(options), path, mountpoint], package, passed)
        try:
            yield mountpoint
        finally:
            unmount(mountpoint, lazy=True)
    finally:
        os.rmdir(mountpoint)


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
