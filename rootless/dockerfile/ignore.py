"""Matches paths against the patterns of a .dockerignore. Pure.

Docker's manual, ".dockerignore files". The rules are those of github.com/moby/patternmatcher: patterns are anchored at the
context, a pattern covers what is below a directory that it matches, and the last pattern that matches
decides; one that begins with `!` takes paths in again. COPY --exclude has the same patterns.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable

from rootless.dockerfile.characters import SPACE
from rootless.dockerfile.errors import DockerfileError
from rootless.dockerfile.path_patterns import compile_path_pattern, has_wildcard
from unionfs.light_types import NamedTuple


def read_ignore_file(text: str) -> tuple[str, ...]:
    """The patterns of a .dockerignore. A line that begins with `#` is a comment; white space around a pattern
    and slashes around it do not count, `.` and `..` are resolved."""
    patterns = []
    for line in text.removeprefix("\ufeff").split("\n"):
        pattern = line.strip(SPACE)
        if line.startswith("#") or not pattern:
            continue
        exception = pattern.startswith("!")
        pattern = pattern[1:].strip(SPACE) if exception else pattern
        if pattern:
            pattern = _clean(pattern)
            pattern = pattern[1:] if len(pattern) > 1 and pattern[0] == "/" else pattern
        patterns.append(f"!{pattern}" if exception else pattern)
    return tuple(patterns)


class Walked(NamedTuple):
    """The state of a directory while its tree is walked."""

    is_ignored: bool
    matched: tuple[bool, ...]
    """For each pattern, whether the directory or one above it matched."""


class IgnorePatterns:
    """A list of patterns, the later of which count more."""

    def __init__(self, patterns: Iterable[str]) -> None:
        """Raises DockerfileError for a pattern that Go calls malformed."""
        self._patterns = [
            _pattern(each) for each in (pattern.strip(SPACE) for pattern in patterns) if each
        ]
        self.has_exceptions = any(each.is_exception for each in self._patterns)
        self.root = Walked(is_ignored=False, matched=(False,) * len(self._patterns))
        """Of the context itself, which no pattern ignores."""

    def ignores(self, path: str) -> bool:
        """Whether a path is left out. It has no slash at either end and no `.` or `..`."""
        walked = self.root
        for end in (*_slashes(path), len(path)):
            walked = self.walk(path[:end], walked)
        return walked.is_ignored

    def walk(self, path: str, parent: Walked) -> Walked:
        """The state of a path, from that of its directory."""
        ignored = False
        matched = []
        for pattern, above in zip(self._patterns, parent.matched, strict=True):
            # A pattern that would change nothing need not be tried.
            matches = above or (pattern.is_exception is ignored and pattern.matches(path))
            matched.append(matches)
            if matches:
                ignored = not pattern.is_exception
        return Walked(ignored, tuple(matched))

    def may_take_in_below(self, directory: str) -> bool:
        """Whether an exception may match something below a directory that is ignored; False: there is no need
        to read it."""
        return any(each.may_match_below(directory) for each in self._patterns if each.is_exception)

    def ignores_all_of_the_context(self) -> bool:
        """Whether a pattern leaves out every entry of the context's top."""
        everything = ("*", "**", "**/*")
        return any(each.text in everything for each in self._patterns if not each.is_exception)


def _slashes(path: str) -> list[int]:
    return [place for place, letter in enumerate(path) if letter == "/"]


class _Pattern:
    def __init__(self, text: str, *, is_exception: bool) -> None:
        self.text = text
        self.is_exception = is_exception
        self._expression = None
        self._prefix: str | None = None
        self._suffix: str | None = None
        if text.endswith("**") and not has_wildcard(text[:-2]) and text != "**":
            self._prefix = text[:-2]
        elif text.startswith("**") and not has_wildcard(text[2:]):
            self._suffix = text[2:]
        elif has_wildcard(text):
            self._expression = compile_path_pattern(text)

    def matches(self, path: str) -> bool:
        if self._expression is not None:
            return self._expression.fullmatch(path) is not None
        if self._prefix is not None:
            return path.startswith(self._prefix)
        if self._suffix is not None:
            return path.endswith(self._suffix) or f"/{path}" == self._suffix
        return path == self.text

    def may_match_below(self, directory: str) -> bool:
        """By the letters before the first wildcard."""
        fixed = self.text
        for place, letter in enumerate(fixed):
            if letter in "*?[\\":
                fixed = fixed[:place]
                break
        below = f"{directory}/"
        if fixed == self.text:
            return fixed.startswith(below)
        return fixed.startswith(below) or below.startswith(fixed)


def _pattern(text: str) -> _Pattern:
    is_exception = text.startswith("!")
    clean = _clean(text)[1:] if is_exception else _clean(text)
    if not clean:
        raise DockerfileError('illegal exclusion pattern: "!"')
    try:
        return _Pattern(clean, is_exception=is_exception)
    except ValueError as error:
        raise DockerfileError(str(error)) from None


def _clean(path: str) -> str:
    """Go's filepath.Clean."""
    clean = posixpath.normpath(path)
    return clean[1:] if clean.startswith("//") else clean
