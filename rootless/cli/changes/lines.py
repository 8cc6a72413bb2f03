"""Changes as lines for people: one a path, and the summary of git's --stat."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence

from rootless.changes.change import Aspect, Change, Kind, State
from rootless.changes.names import quoted
from rootless.changes.patch import Counts
from rootless.cli.output import human_size

_BAR = 40


def change_line(change: Change) -> str:
    """A change: what happened, the path, and in what it differs."""
    state = change.after or change.before
    name = shown(change.path, is_directory=state is not None and state.is_directory)
    if change.kind is Kind.MOVED and change.source is not None:
        source = shown(change.source, is_directory=state is not None and state.is_directory)
        name = f"{source} -> {name}"
    details = ", ".join(_details(change))
    return f"{change.kind.value:<8} {name}" + (f"  ({details})" if details else "")


def shown(path: bytes, *, is_directory: bool = False) -> str:
    """A path as a terminal may be given it."""
    ending = b"/" if is_directory and path else b""
    return os.fsdecode(quoted(b"/" + path + ending))


def _details(change: Change) -> Iterator[str]:
    before, after = change.before, change.after
    if change.kind is Kind.CREATED and after is not None:
        yield from _described(after, change.link)
    elif change.kind is Kind.DELETED and before is not None:
        yield from _described(before, None)
    elif before is not None and after is not None:
        yield from _differences(change, before, after)


def _described(state: State, link: bytes | None) -> Iterator[str]:
    if link is not None:
        yield f"hard link to {shown(link)}"
    elif state.is_file:
        yield human_size(state.size)
        if state.allocated + 4096 < state.size:
            yield f"sparse, {human_size(state.allocated)} allocated"
    elif stat.S_ISLNK(state.mode):
        yield f"symlink to {os.fsdecode(quoted(state.target))}"
    elif not state.is_directory:
        yield state.file_type


def _differences(change: Change, before: State, after: State) -> Iterator[str]:
    aspects = change.aspects
    if Aspect.TYPE in aspects:
        yield f"{before.file_type} -> {after.file_type}"
    elif Aspect.CONTENT in aspects and after.is_file:
        sizes = human_size(before.size), human_size(after.size)
        yield sizes[0] if before.size == after.size else f"{sizes[0]} -> {sizes[1]}"
    elif Aspect.CONTENT in aspects:
        yield "content"
    if Aspect.MODE in aspects:
        yield f"mode {stat.S_IMODE(before.mode):o} -> {stat.S_IMODE(after.mode):o}"
    if Aspect.OWNER in aspects:
        yield f"owner {before.uid}:{before.gid} -> {after.uid}:{after.gid}"
    if Aspect.XATTRS in aspects:
        yield "extended attributes"
    if aspects == (Aspect.TIMES,) and not after.is_directory:
        yield "times"


def stat_lines(counts: Sequence[Counts]) -> Iterator[str]:
    """As git diff --stat: a line a file, and the sums."""
    if not counts:
        return
    names = [shown(each.path) for each in counts]
    width = max(map(len, names))
    most = max(each.added + each.removed for each in counts)
    scale = min(1.0, _BAR / most) if most else 1.0
    for name, each in zip(names, counts, strict=True):
        if each.is_binary:
            yield f" {name:<{width}} | binary"
            continue
        bar = "+" * _scaled(each.added, scale) + "-" * _scaled(each.removed, scale)
        yield f" {name:<{width}} | {each.added + each.removed:>5} {bar}".rstrip()
    added, removed = sum(each.added for each in counts), sum(each.removed for each in counts)
    plural = "" if len(counts) == 1 else "s"
    yield f" {len(counts)} file{plural} changed, {added} insertions(+), {removed} deletions(-)"


def _scaled(count: int, scale: float) -> int:
    return max(1, round(count * scale)) if count else 0
