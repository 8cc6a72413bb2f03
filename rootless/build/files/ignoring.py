"""A directory of the host without the files that its .dockerignore excludes."""

from __future__ import annotations

import os

from rootless.dockerfile.ignore import IgnorePatterns, Walked

_MOST_KNOWN = 10_000


class IgnoreFilter:
    """Answers for the paths of one context. What is known of directories is kept while a tree is walked."""

    def __init__(self, patterns: IgnorePatterns) -> None:
        self._patterns = patterns
        self._known: dict[bytes, Walked] = {b"": patterns.root}

    def ignores(self, path: bytes) -> bool:
        """Whether the path itself is left out."""
        return bool(path) and self._walked(path).is_ignored

    def may_hold_more(self, directory: bytes) -> bool:
        """Whether something below an ignored directory may be taken in again."""
        return self._patterns.may_take_in_below(os.fsdecode(directory))

    def _walked(self, path: bytes) -> Walked:
        known = self._known.get(path)
        if known is None:
            parent = self._walked(path.rpartition(b"/")[0])
            known = self._patterns.walk(os.fsdecode(path), parent)
            if len(self._known) >= _MOST_KNOWN:
                self._known = {b"": self._patterns.root}
            self._known[path] = known
        return known
