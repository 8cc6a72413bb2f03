"""Changes as a unified diff in git's format, which git apply and patch -p1 read.

A line that begins with `#` belongs to no diff and is skipped by both: it stands for what the format cannot hold,
such as a binary file, of which it has size and digest, or an owner.
"""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from typing import NamedTuple

from rootless.changes.change import Aspect, Change, Kind, State
from rootless.changes.compare import Compared, lower_state, open_lower, open_node
from rootless.changes.line_diff import Hunk, hunks
from rootless.changes.names import quoted
from unionfs.changes.snapshot import Snapshot
from unionfs.changes.upper import Lower
from unionfs.layer import OpenFile
from unionfs.nodes import UPPER, Node

_LARGEST = 64 << 20
"""Bytes of a file above which it counts as binary."""

_LARGEST_DIGESTED = 16 << 30
"""Bytes of a file above which it is shown by its size alone: its holes would be read for hours."""

_LOOK = 8000
"""Bytes at the start of a file in which a NUL makes it binary, as for git."""

_PIECE = 1 << 20


class Counts(NamedTuple):
    """Lines of one file that came and went; None for a binary file."""

    path: bytes
    added: int
    removed: int
    is_binary: bool = False


class _Side(NamedTuple):
    """A file as one side of a diff has it. `text` is None for a binary file, of which `summary` tells size and
    digest."""

    path: bytes
    mode: int
    text: list[bytes] | None
    summary: bytes = b""


def render(
    snapshot: Snapshot, compared: Sequence[Compared], whole: Callable[[bytes], bytes]
) -> Iterator[bytes]:
    """The diff in pieces; `whole` makes its paths of those in the snapshot. Raises OSError if a layer cannot be
    read."""
    for old, new in _pairs(snapshot, compared):
        yield from _file_diff(_renamed(old, whole), _renamed(new, whole))
    for each in compared:
        yield from _notes(each.change, whole)


def _renamed(side: _Side | None, whole: Callable[[bytes], bytes]) -> _Side | None:
    return None if side is None else side._replace(path=whole(side.path))


def count_lines(snapshot: Snapshot, compared: Sequence[Compared]) -> Iterator[Counts]:
    """How many lines of each file the diff adds and removes. Raises OSError if a layer cannot be read."""
    for old, new in _pairs(snapshot, compared):
        side = new or old
        if side is None:
            continue
        if (old is not None and old.text is None) or (new is not None and new.text is None):
            yield Counts(side.path, 0, 0, is_binary=True)
            continue
        lines = [line[:1] for hunk in _hunks(old, new) for line in hunk.lines]
        yield Counts(side.path, lines.count(b"+"), lines.count(b"-"))


class _Version(NamedTuple):
    """A file before or after, not read yet."""

    path: bytes
    state: State
    source: Node | Lower


def _pairs(
    snapshot: Snapshot, compared: Sequence[Compared]
) -> Iterator[tuple[_Side | None, _Side | None]]:
    """The files, before and after; those in directories that have moved or gone too. A file that has another path
    after is a pair, a rename, only if nothing was at its new path and nothing is at its old one: patch reads no
    other renames."""
    before = {each.lower.path for each in compared if each.lower is not None}
    after = {each.change.path for each in compared if each.node is not None}
    old: dict[bytes, _Version] = {}
    new: dict[bytes, _Version] = {}
    for first, second in _versions(snapshot, compared, before):
        if first is not None and second is not None and first.path != second.path:
            is_rename = first.path not in after and second.path not in before
            if is_rename and stat.S_IFMT(first.state.mode) == stat.S_IFMT(second.state.mode):
                yield _read(snapshot, first), _read(snapshot, second)
                continue
        if first is not None:
            old[first.path] = first
        if second is not None:
            new[second.path] = second
    for path in sorted(old.keys() | new.keys()):
        yield from _sides(snapshot, old.get(path), new.get(path))


def _sides(
    snapshot: Snapshot, old: _Version | None, new: _Version | None
) -> Iterator[tuple[_Side | None, _Side | None]]:
    before = None if old is None else _read(snapshot, old)
    after = None if new is None else _read(snapshot, new)
    if before and after and stat.S_IFMT(before.mode) != stat.S_IFMT(after.mode):
        yield before, None
        before = None
    yield before, after


def _versions(
    snapshot: Snapshot, compared: Sequence[Compared], known: set[bytes]
) -> Iterator[tuple[_Version | None, _Version | None]]:
    for change, node, lower in compared:
        old = new = None
        if lower is not None and change.before is not None:
            if change.before.is_directory:
                yield from _in_directory(snapshot, change, lower, known)
            elif _is_text_type(change.before):
                old = _Version(lower.path, change.before, lower)
        if node is not None and change.after is not None and _is_text_type(change.after):
            new = _Version(change.path, change.after, node)
        if old is not None or new is not None:
            yield old, new


def _in_directory(
    snapshot: Snapshot, change: Change, lower: Lower, known: set[bytes]
) -> Iterator[tuple[_Version | None, _Version | None]]:
    """The files of a directory that has gone, or moved; those that have changed besides are `known`."""
    is_moved = change.kind is Kind.MOVED
    if not is_moved and change.kind is not Kind.DELETED and Aspect.TYPE not in change.aspects:
        return
    for path, found in _files_below(snapshot, lower.path):
        if not known.isdisjoint(_down_to(path, lower.path)):
            continue
        state = lower_state(snapshot, found)
        if not _is_text_type(state):
            continue
        old = _Version(path, state, found)
        new = old._replace(path=change.path + path[len(lower.path) :]) if is_moved else None
        yield old, new


def _down_to(path: bytes, directory: bytes) -> Iterator[bytes]:
    """A path in a directory, and the directories between them."""
    while len(path) > len(directory):
        yield path
        path = path.rpartition(b"/")[0]


def _files_below(snapshot: Snapshot, path: bytes) -> Iterator[tuple[bytes, Lower]]:
    layers = snapshot.merged.layers
    pending = [(path, layers.resolve(b"/" + path, UPPER))]
    while pending:
        above, found = pending.pop()
        names = {
            name
            for position, entry in found
            for name, _ in layers.layer(position).listing(entry.ref)
        }
        lowers = [(position, entry.ref) for position, entry in found]
        for name in sorted(names):
            here = above + b"/" + name
            inner = layers.find_in(lowers, name)
            if inner and stat.S_ISDIR(inner[0][1].attributes.mode):
                pending.append((here, inner))
            elif inner:
                yield here, Lower(*inner[0], here)


def _is_text_type(state: State) -> bool:
    return state.is_file or stat.S_ISLNK(state.mode)


def _read(snapshot: Snapshot, version: _Version) -> _Side:
    path, state, source = version
    if not state.is_file:
        return _Side(path, state.mode, [state.target])
    opened = (
        open_lower(snapshot, source) if isinstance(source, Lower) else open_node(snapshot, source)
    )
    with closing(opened) as file:
        if state.size <= _LARGEST:
            text = b"".join(file.read(at, _PIECE) for at in range(0, state.size, _PIECE))
            if b"\0" not in text[:_LOOK]:
                return _Side(path, state.mode, _lines(text))
        return _Side(path, state.mode, None, _summary(state, file))


def _lines(text: bytes) -> list[bytes]:
    lines = [line + b"\n" for line in text.split(b"\n")]
    lines[-1] = lines[-1][:-1]
    return lines if lines[-1] else lines[:-1]


def _summary(state: State, file: OpenFile) -> bytes:
    if state.size > _LARGEST_DIGESTED:
        return b"%d bytes" % state.size
    from hashlib import sha256

    digest = sha256()
    for offset in range(0, state.size, _PIECE):
        digest.update(file.read(offset, _PIECE))
    return b"%d bytes sha256:%b" % (state.size, digest.hexdigest().encode())


def _file_diff(old: _Side | None, new: _Side | None) -> Iterator[bytes]:
    before, after = old or new, new or old
    if before is None or after is None:
        return
    if before.text is None or after.text is None:
        sides = [side.summary or b"text" if side is not None else b"nothing" for side in (old, new)]
        yield b"# binary %b: %b\n" % (quoted(after.path), b" -> ".join(sides))
        return
    found = list(_hunks(old, new))
    header = _header(old, new, has_text=bool(found))
    if not header and not found:
        return
    # patch finds out where a name ends by the quotes.
    names = [quoted(name, blanks=True) for name in (b"a/" + before.path, b"b/" + after.path)]
    yield b"diff --git %b %b\n" % tuple(names)
    yield from header
    if not found:
        return
    yield b"--- %b\n" % (b"/dev/null" if old is None else _label(b"a/" + old.path))
    yield b"+++ %b\n" % (b"/dev/null" if new is None else _label(b"b/" + new.path))
    for hunk in found:
        spans = _span(hunk.old, hunk.old_count), _span(hunk.new, hunk.new_count)
        yield b"@@ -%b +%b @@\n" % spans
        for line in hunk.lines:
            yield line if line.endswith(b"\n") else line + b"\n\\ No newline at end of file\n"


def _hunks(old: _Side | None, new: _Side | None) -> Iterator[Hunk]:
    return hunks((old and old.text) or [], (new and new.text) or [])


def _header(old: _Side | None, new: _Side | None, *, has_text: bool) -> list[bytes]:
    """The extended header lines between `diff --git` and the text."""
    lines: list[bytes] = []
    if old is None and new is not None:
        lines.append(b"new file mode %06o\n" % _git_mode(new.mode))
    elif new is None and old is not None:
        lines.append(b"deleted file mode %06o\n" % _git_mode(old.mode))
    elif old is not None and new is not None:
        if _git_mode(old.mode) != _git_mode(new.mode):
            lines.append(b"old mode %06o\n" % _git_mode(old.mode))
            lines.append(b"new mode %06o\n" % _git_mode(new.mode))
        if old.path != new.path:
            similarity = 100 if not has_text else 50
            lines.append(b"similarity index %d%%\n" % similarity)
            lines.append(b"rename from %b\nrename to %b\n" % (quoted(old.path), quoted(new.path)))
    if has_text or old is None or new is None:
        blobs = b"%b..%b" % (_blob(old), _blob(new))
        modes = {_git_mode(side.mode) for side in (old, new) if side is not None}
        mode = (
            b" %06o" % modes.pop()
            if old is not None and new is not None and len(modes) == 1
            else b""
        )
        lines.append(b"index %b%b\n" % (blobs, mode))
    return lines


def _blob(side: _Side | None) -> bytes:
    """git's name of a file's contents."""
    from hashlib import sha1

    if side is None:
        return b"0" * 40
    text = b"".join(side.text or [])
    named = sha1(b"blob %d\0" % len(text) + text, usedforsecurity=False)
    return named.hexdigest().encode()


def _git_mode(mode: int) -> int:
    """git keeps of a mode whether the owner may execute."""
    if stat.S_ISLNK(mode):
        return 0o120000
    return 0o100755 if mode & stat.S_IXUSR else 0o100644


def _label(path: bytes) -> bytes:
    """git ends a name with blanks in it by a tab, so that patch takes no part of it for a time."""
    name = quoted(path)
    return name + b"\t" if b" " in name and not name.startswith(b'"') else name


def _span(start: int, count: int) -> bytes:
    if count == 1:
        return b"%d" % (start + 1)
    return b"%d,%d" % (start + (count > 0), count)


def _notes(change: Change, whole: Callable[[bytes], bytes]) -> Iterator[bytes]:
    """What a diff cannot hold."""
    before, after = change.before, change.after
    state = after or before
    if state is None or change.is_bare:
        return
    name = quoted(whole(change.path))
    if change.kind is not Kind.CHANGED and not _is_text_type(state):
        source = b"" if change.source is None else quoted(whole(change.source)) + b" -> "
        yield b"# %b %b %b%b\n" % (
            change.kind.value.encode(),
            state.file_type.encode(),
            source,
            name,
        )
    if before is None or after is None:
        return
    if Aspect.MODE in change.aspects:
        modes = stat.S_IMODE(before.mode), stat.S_IMODE(after.mode)
        yield b"# mode %b: %o -> %o\n" % (name, *modes)
    if Aspect.OWNER in change.aspects:
        owners = before.uid, before.gid, after.uid, after.gid
        yield b"# owner %b: %d:%d -> %d:%d\n" % (name, *owners)
    if Aspect.XATTRS in change.aspects:
        yield b"# xattrs %b\n" % name
