"""Replies to large reads without a copy in this process: file to pipe to device (splice(2)).

Small replies are faster through memory: splicing takes three system calls instead of two, and moves a
page in the time in which some hundred bytes are copied.
"""

from __future__ import annotations

import os

_PIPE = 1 << 20
"""Bytes of the pipe: as many as an unprivileged process may have (/proc/sys/fs/pipe-max-size)."""

MIN_SPLICE = 1 << 16
MAX_SPLICE = _PIPE // 2
"""Bytes of a reply that is spliced. A page of the file that is read from or to its middle takes two
slots of the pipe, and the header takes one."""


class Splicer:
    """`device` is where replies go. The pipe is made with the first reply."""

    def __init__(self, device: int) -> None:
        self._device = device
        self._pipe: tuple[int, int] | None = None
        self._usable = True

    def reply(self, header: bytes, file: int, position: int, length: int) -> bool:
        """Send `header` and `length` bytes of `file` from `position` on. False if nothing has been
        sent: the file has fewer bytes, or cannot be spliced from."""
        if not self._usable:
            return False
        try:
            source, sink = self._pipe or self._open()
            os.write(sink, header)
            if os.splice(file, sink, length, offset_src=position) == length:
                os.splice(source, self._device, len(header) + length)
                return True
        except OSError:
            # The file cannot be spliced from, or its request was interrupted, or there is no room for
            # a pipe: the ordinary way finds out which.
            self._usable = self._pipe is not None
        self.close()
        return False

    def close(self) -> None:
        """Close the pipe, and drop what may be left in it."""
        if self._pipe is not None:
            for fd in self._pipe:
                os.close(fd)
            self._pipe = None

    def _open(self) -> tuple[int, int]:
        from fcntl import F_SETPIPE_SZ, fcntl

        made = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            fcntl(made[1], F_SETPIPE_SZ, _PIPE)
        except OSError:
            for fd in made:
                os.close(fd)
            raise
        self._pipe = made
        return made
