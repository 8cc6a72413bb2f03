"""Stand-ins for `signal`, `socket` and `struct` that cost less to import, and for `open` of whole files, which takes fewer
system calls.

The library's modules make an enumeration of their constants, and import `enum`, `selectors` and more for it
(docs/decisions/1300 has the figure). The C modules below them have the same functions and constants under the same names.
Constants are plain numbers; a socket has no `accept`, `makefile`, `dup` or `with`: close it with `close`.

The library's `open` makes nine system calls for a file of one page (fstat, ioctl, two lseek), and text in another encoding
than UTF-8 imports a codec. A start reads some twenty small files.
"""

from __future__ import annotations

import posix
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
    import socket
    import struct
else:
    import _signal as signal
    import _socket as socket
    import _struct as struct

__all__ = ["read_file", "read_to_end", "signal", "socket", "struct"]

_CHUNK = 1 << 14


def read_file(path: str) -> bytes:
    """The content of a file. Raises OSError."""
    descriptor = posix.open(path, posix.O_RDONLY | posix.O_CLOEXEC)
    try:
        return read_to_end(descriptor)
    finally:
        posix.close(descriptor)


def read_to_end(descriptor: int, limit: int = sys.maxsize) -> bytes:
    """What can be read up to the end of a file or pipe, at most `limit` bytes. Raises OSError."""
    data = b""
    # A file of /proc gives less than was asked for before its end (seq_read_iter in the kernel).
    while more := posix.read(descriptor, min(_CHUNK, limit - len(data))):
        data += more
    return data
