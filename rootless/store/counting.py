"""Counting the bytes of a transfer, for who shows how far it is."""

from __future__ import annotations

from collections.abc import Callable

from rootless.store.decompression import Read

Moved = Callable[[int], None]
"""Called with the number of bytes of each piece that was read or written, in the thread that did it."""


def counted(read: Read, moved: Moved | None) -> Read:
    """`read` that reports each piece."""
    if moved is None:
        return read

    def read_and_report(size: int) -> bytes:
        piece = read(size)
        moved(len(piece))
        return piece

    return read_and_report
