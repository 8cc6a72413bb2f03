"""Selects changes by the paths that a user names. Pure."""

from __future__ import annotations

import os
from collections.abc import Sequence

from rootless.changes.change import Change, Kind, is_within
from rootless.changes.names import quoted
from rootless.errors import NotFoundError


def is_at(change: Change, path: bytes) -> bool:
    """Whether a change is at or in a path, or moves something away from there."""
    return is_within(change.path, path) or (
        change.source is not None and is_within(change.source, path)
    )


def require_matches(changes: Sequence[Change], paths: Sequence[bytes]) -> None:
    """Raises NotFoundError for a path at and in which nothing has changed."""
    for path in paths:
        if not any(is_at(each, path) for each in changes if not each.is_bare):
            raise NotFoundError(
                f"nothing has changed at or in {_shown(path)}", hint=_hint(changes, path)
            )


def _hint(changes: Sequence[Change], path: bytes) -> str:
    """What a directory that has gone or moved stands for has no changes of its own."""
    for each in changes:
        if each.kind is Kind.DELETED and is_within(path, each.path):
            return f"it was in {_shown(each.path)}, which was deleted as a whole"
        if each.source is not None and is_within(path, each.source):
            return f"it was in {_shown(each.source)}, which was moved as a whole"
        if each.kind is Kind.MOVED and is_within(path, each.path):
            return f"it is in {_shown(each.path)}, which was moved as a whole"
    return ""


def _shown(path: bytes) -> str:
    return os.fsdecode(quoted(b"/" + path))
