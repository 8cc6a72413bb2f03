"""Merges texts that both the host and a container have changed, for an apply."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

from rootless.applying.host_files import HostFiles
from rootless.applying.merge import merge
from rootless.applying.plan import Left
from rootless.changes.change import Change

_LARGEST = 1 << 24
"""Bytes of a text that is merged; a larger one is left as it is."""
_LOOK = 8000
"""A NUL among so many first bytes is in no text, as git has it (buffer_is_binary)."""


class Merging:
    """Args:
        places: The files with the contents, relative to the container's `directory`.
        made: Where merged texts are written.
        bases: What the command saw of small files before it wrote over them.

    `marked`: texts with lines that both sides have changed.
    """

    def __init__(
        self,
        host: HostFiles,
        directory: Path,
        made: Path,
        places: Mapping[bytes, str],
        bases: Mapping[bytes, bytes],
    ) -> None:
        self._host = host
        self._directory = directory
        self._made = made
        self._places = places
        self._bases = bases
        self.marked: list[Left] = []

    def merged(self, change: Change) -> str:
        """A file with the merged text, relative to the container's directory; empty if it cannot be merged."""
        base = self._bases.get(change.path)
        place = self._places.get(change.path)
        if base is None or place is None:
            return ""
        data = os.path.join(os.fsencode(self._directory), place.encode("latin-1"))
        theirs = _read(os.open(data, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC))
        ours = _read(self._host.open(change.path, os.O_RDONLY))
        if any(len(text) > _LARGEST or b"\0" in text[:_LOOK] for text in (base, ours, theirs)):
            return ""
        made = merge(base, ours, theirs)
        if made.has_conflicts:
            reason = "both have changed the same lines: they stand between marks"
            self.marked.append(Left(change.path, reason, is_conflict=True))
        descriptor, name = tempfile.mkstemp(dir=self._made, prefix="merged-")
        with open(descriptor, "wb") as file:
            file.write(made.text)
        return os.path.relpath(name, self._directory)


def _read(descriptor: int) -> bytes:
    with open(descriptor, "rb") as file:
        return file.read(_LARGEST + 1)
