"""Copies the data of a file, with its holes."""

from __future__ import annotations

import errno
import os

from rootless.durable import write_all

SMALL = 1 << 16
"""Bytes of a file that is copied by one read(2)."""

_PIECE = 1 << 20
_BLOCK = 512


def copy_data(source: int, found: os.stat_result, copied: int) -> None:
    """Between two open files. `found`: the status of the source, which may be growing."""
    size = found.st_size
    if size <= SMALL and found.st_blocks * _BLOCK >= size:
        left = size
        while data := os.read(source, SMALL):
            write_all(copied, data)
            left -= len(data)
            if left == 0:
                return  # not to ask for its end; a file of procfs has no size
        return
    at = 0
    while at < size:
        try:
            at = os.lseek(source, at, os.SEEK_DATA)
            end = os.lseek(source, at, os.SEEK_HOLE)
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise
            break
        os.lseek(source, at, os.SEEK_SET)
        os.lseek(copied, at, os.SEEK_SET)
        while at < end:
            data = os.read(source, min(_PIECE, end - at))
            if not data:
                break
            write_all(copied, data)
            at += len(data)
        else:
            continue
        break
    if os.fstat(copied).st_size < size:
        os.ftruncate(copied, size)
