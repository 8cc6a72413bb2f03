"""Reports a full disk to the next write(2).

With the writeback cache write(2) returns before the server is asked, and what the server could not store is reported
only at fsync(2) or close(2): `dd` without a count never ends. So the server has the kernel forget the attributes of
the file. The next write(2) asks for them (fuse_cache_write_iter, fs/fuse/file.c), with the flag of an open file, and
gets the error in place of the answer. stat(2) asks without the flag; read(2) and lseek(2) want only the size, which
the kernel knows itself.
"""

from __future__ import annotations

import os
from errno import EDQUOT, ENOSPC
from time import monotonic

from unionfs.session import replies

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeAlias

    from unionfs.model import NodeId

Lost: TypeAlias = "dict[int, tuple[int, float]]"
"""By node: the error that the next write(2) to a file gets, and until when (monotonic clock)."""

_REPORTED = frozenset({ENOSPC, EDQUOT})
_SECONDS = 1.0
"""For which a failure is reported: a program that goes on writing asks within it."""


def note(lost: Lost, device: int, nodeid: NodeId, failed: OSError) -> None:
    """Pages of the kernel's cache could not be written."""
    number = failed.errno
    if number not in _REPORTED or number is None:
        return
    lost[nodeid] = number, monotonic() + _SECONDS
    try:
        os.write(device, replies.notify_inval_inode(nodeid, -1))
    except OSError:
        # ENOENT: the kernel has forgotten the file, and so no process has it open.
        del lost[nodeid]


def report(lost: Lost, nodeid: NodeId) -> None:
    """Raise the error of a file, once."""
    number, until = lost.pop(nodeid, (0, 0.0))
    if monotonic() < until:
        raise OSError(number, os.strerror(number))
