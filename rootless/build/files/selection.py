"""The sources of one COPY or ADD: the places in a tree that its words name."""

from __future__ import annotations

import errno
import os
import posixpath
import stat

from rootless.build.errors import BuildError
from rootless.build.files.copying import CHECKSUM_FAILED, CopyItem, not_found
from rootless.build.files.sources import Source, SourceEntry
from rootless.dockerfile.path_patterns import compile_path_pattern, has_wildcard


def select(source: Source, word: str, *, parents: bool = False) -> list[CopyItem]:
    """The files that a source of COPY names, sorted by name. `..` does not leave the tree.

    Raises BuildError if it names nothing, OSError.
    """
    pivot, path = _pivot(word) if parents else ("", clean(word))
    if not has_wildcard(path):
        found = [os.fsencode(path)]
    else:
        # A wildcard that matches nothing is no error in BuildKit.
        found = _matches(source, path, any_depth=parents)
    return [_item(source, path, os.fsencode(pivot) if parents else None) for path in found]


def clean(word: str) -> str:
    """A path relative to the top of the tree."""
    return posixpath.normpath(f"/{word}").strip("/")


def _pivot(word: str) -> tuple[str, str]:
    """--parents keeps the directories after `/./`; those before it as a clean path, and the whole one."""
    before, mark, after = word.partition("/./")
    return (clean(before), clean(f"{before}/{after}")) if mark else ("", clean(word))


def _item(source: Source, path: bytes, pivot: bytes | None) -> CopyItem:
    resolved = resolved_path(source, path)
    if resolved is None:
        raise not_found(path)
    name = path.rpartition(b"/")[2]
    if pivot is None:
        return CopyItem(source, resolved, name)
    below = path[len(pivot) :].lstrip(b"/")
    entry = source.entry(resolved)
    if entry is not None and stat.S_ISDIR(entry.attributes.mode):
        return CopyItem(source, resolved, name, below)
    return CopyItem(source, resolved, name, below.rpartition(b"/")[0])


def resolved_path(source: Source, path: bytes) -> bytes | None:
    """Where a path leads; None if there is nothing. Raises BuildError for links without end."""
    try:
        resolved = source.resolve(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        raise BuildError(f"{CHECKSUM_FAILED}too many links") from error
    return None if source.entry(resolved) is None else resolved


def _matches(source: Source, pattern: str, *, any_depth: bool) -> list[bytes]:
    """The paths that a pattern names, sorted by name. `any_depth`: `**` stands for any number of directories, and
    not for one as `*` does."""
    found: list[bytes] = []
    seen: set[bytes] = set()
    names = pattern.split("/")

    def descend(path: bytes, left: list[str]) -> None:
        if not left:
            if path not in seen:
                seen.add(path)
                found.append(path)
            return
        first, *rest = left
        if first == "**" and any_depth:
            if rest:
                descend(path, rest)
            for child in _children(source, path):
                if stat.S_ISDIR(child.attributes.mode) and rest:
                    descend(child.path, left)
                elif not rest:
                    descend(child.path, rest)
            return
        try:
            expression = compile_path_pattern(first)
        except ValueError as error:
            raise BuildError(f"{pattern}: {error}") from None
        for child in _children(source, path):
            name = os.fsdecode(child.path.rpartition(b"/")[2])
            if expression.fullmatch(name):
                descend(child.path, rest)

    descend(b"", names)
    return found


def _children(source: Source, path: bytes) -> list[SourceEntry]:
    resolved = resolved_path(source, path)
    entry = None if resolved is None else source.entry(resolved)
    if entry is None or not stat.S_ISDIR(entry.attributes.mode):
        return []
    return source.children(entry.path)
