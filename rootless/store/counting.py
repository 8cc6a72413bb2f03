"""Counts the bytes of a transfer, for progress."""

from __future__ import annotations

from collections.abc import Callable

from rootless.store.decompression import Read

Moved = Callable[[int], None]
"""Called with the number of bytes of each piece that was read or written, in the thread that did it."""


def counted(read: Read, moved: Moved | None) -> Read:
    """`read` that reports the size of each piece."""
    if moved is None:
        return read

    def read_and_report(size: int) -> bytes:
        piece = read(size)
        moved(len(piece))
        return piece

    return read_and_report
