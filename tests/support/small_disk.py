"""A tmpfs of a given size, in namespaces of one process."""

from __future__ import annotations

import ctypes
import os
import pickle
import traceback
from collections.abc import Callable
from pathlib import Path

from tests.support.unionmount import enter_new_namespaces

_libc = ctypes.CDLL(None, use_errno=True)


def mount_small_disk(place: Path, size: int) -> None:
    """Enter namespaces of this process's own, and mount it there."""
    enter_new_namespaces()
    if _libc.mount(b"tmpfs", os.fsencode(place), b"tmpfs", 0, b"size=%d" % size):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(place))


def with_small_disk(place: Path, size: int, body: Callable[[], None]) -> None:
    """Run `body` in a process for which a tmpfs lies on `place`. Raises AssertionError with what it
    raised."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        said = None
        try:
            mount_small_disk(place, size)
            body()
        except BaseException:
            said = traceback.format_exc()
        finally:
            os.write(writer, pickle.dumps(said))
            os._exit(0)
    os.close(writer)
    with open(reader, "rb") as pipe:
        said = pickle.load(pipe)
    os.waitpid(pid, 0)
    assert said is None, said
