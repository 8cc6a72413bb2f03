"""Reading whole files with few system calls.

The library's `open` asks nine of them for a file of one page (fstat, ioctl, two lseek), and text in another encoding than
UTF-8 imports a codec. A start reads some twenty small files.
"""

from __future__ import annotations

import os

_CHUNK = 1 << 14


def read_file(path: str) -> bytes:
    """The content of a file. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return read_to_end(descriptor)
    finally:
        os.close(descriptor)


def read_to_end(descriptor: int) -> bytes:
    """What can be read up to the end of a file or pipe. Raises OSError."""
    data = b""
    # A file of /proc gives less than was asked for before its end (seq_read_iter in the kernel).
    while more := os.read(descriptor, _CHUNK):
        data += more
    return data
