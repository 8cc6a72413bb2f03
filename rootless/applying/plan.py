"""Plans an apply: from the changes of a container to steps on the host, and to the changes that are not applied.

Three states decide: what the command saw before it changed something (`unionfs.logs.first_seen`), what it made of that,
and what is there now. Where the first and the last differ, the host has changed meanwhile: a conflict.

The steps come in an order that needs no step undone: directories that move out of each other's way, what makes room
for something else, then everything by path, a directory before what is in it, then further names of files, then what is
removed, and the
attributes of directories last, which the steps before would change.
"""

from __future__ import annotations

import os
import stat
from base64 import b64encode
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import NamedTuple

from rootless.applying.host_files import HostFiles
from rootless.applying.moves import Moves, above
from rootless.applying.step import Action, Attributes, Fingerprint, Restored, Step
from rootless.changes.change import Aspect, Change, Kind, State, is_within
from unionfs.logs.first_seen import SeenRecord

_NUMBER = (1 << 40) - 1
"""Of an inode number in a union, the bits that are the host's (`unionfs.directory.lower`)."""

_HIDDEN = "it, or something in it, was hidden from the command"

_SET_ID = stat.S_ISUID | stat.S_ISGID
_SETTABLE = (b"user.", b"system.posix_acl_")


class Left(NamedTuple):
    """A change that is not applied, and why. `is_conflict`: because the host has changed."""

    path: bytes
    reason: str
    is_conflict: bool = False


class Caller(NamedTuple):
    """The account that applies. `owners`: the user and group in the container that stand for its own."""

    uid: int
    owners: tuple[int, int]


class Plan(NamedTuple):
    """Steps in order, and what is left alone."""

    steps: list[Step]
    left: list[Left]


class Planner:
    """Makes a plan for the changes of one container.

    Args:
        host: The tree that is changed.
        seen: What was seen first, by path.
        caller: Who applies.
        data_of: The file with the contents of what is at a path in the container, relative to its directory.
        overrules: Whether conflicts are decided for the container.
        merged: Merges a text that both sides have changed: the file with the result, as `data_of`; empty if it cannot.
        hidden: Paths that the command could not see into: what it made of their names is left alone.
        restored: What an undo has put back, by inode number.
        tag: A part of the names of temporary files, which no other apply uses.
    """

    def __init__(
        self,
        host: HostFiles,
        seen: Mapping[bytes, SeenRecord],
        caller: Caller,
        data_of: Callable[[bytes], str],
        *,
        overrules: bool,
        tag: str,
        restored: Mapping[int, Restored],
        hidden: Collection[bytes] = (),
        merged: Callable[[Change], str] | None = None,
    ) -> None:
        self._host = host
        self._seen = seen
        self._by_number = {record.ino & _NUMBER: record for record in seen.values()}
        self._caller = caller
        self._data_of = data_of
        self._overrules = overrules
        self._merged = merged
        self._restored = restored
        self._hidden = hidden
        self._tag = tag
        self._moves = Moves((), tag)
        self._left: list[Left] = []
        self._blocked: set[bytes] = set()
        self._early: list[Step] = []
        self._main: list[Step] = []
        self._links: list[Step] = []
        self._late: list[Step] = []
        self._last: list[Step] = []

    def plan(self, changes: Sequence[Change]) -> Plan:
        """`changes`: in the order of `rootless.changes.compare`. Raises OSError."""
        changes = [each for each in changes if not each.is_bare]
        made = {each.path for each in changes if each.after is not None}
        self._moves = Moves(changes, self._tag)
        parks = self._moves.must_park(changes)
        for each in changes:
            if self._blocked and not self._blocked.isdisjoint(above(each.path)):
                if each.path not in self._blocked:
                    self._leave(each.path, "the directory that it is in is left alone")
                continue
            if self._touches_hidden(each):
                self._leave(each.path, _HIDDEN)
                continue
            try:
                self._add(each, made, parks=parks)
            except OSError as error:
                self._leave(each.path, _words(error))
        parked = list(self._parking()) if parks else []
        return Plan(
            [
                *parked,
                *self._early,
                *self._main,
                *self._links,
                *self._late,
                *reversed(self._last),
            ],
            self._left,
        )

    # One change

    def _add(self, change: Change, made: Collection[bytes], *, parks: bool) -> None:
        if change.kind is Kind.DELETED:
            place = self._moves.place(change.path)
            if place is None:
                return
            steps = list(self._removal(change.path, place, change.path))
            (self._early if change.path in made else self._late).extend(steps)
            return
        if not change.path:
            self._left.append(Left(b"", "it is the top directory"))
            return
        if (reason := self._refusal(change)) is not None:
            self._leave(change.path, reason)
            return
        after = change.after
        if after is None:
            return
        if change.kind is Kind.MOVED and change.source is not None:
            if not self._add_move(change, change.source, parks=parks):
                return
        elif after.is_directory and (change.before is None or not change.before.is_directory):
            self._add_directory(change, after)
            return
        self._add_object(change, after)

    def _touches_hidden(self, change: Change) -> bool:
        """Whether a change is at or in a hidden path, or moves one away."""
        if not self._hidden:
            return False
        places = [change.path, self._moves.lower_path(change)]
        moved = change.source
        return any(is_within(place, path) for place in places for path in self._hidden) or (
            moved is not None and any(is_within(path, moved) for path in self._hidden)
        )

    def _refusal(self, change: Change) -> str | None:
        """Why an ordinary user cannot or should not make a change."""
        before, after = change.before, change.after
        if after is None:
            return None
        if stat.S_ISCHR(after.mode) or stat.S_ISBLK(after.mode):
            return "it is a device"
        if stat.S_ISSOCK(after.mode):
            return "it is a socket"
        gains = after.mode & _SET_ID & ~(0 if before is None else before.mode)
        if gains and not after.is_directory:
            return "it is set-user-ID or set-group-ID"
        if before is None and (after.uid, after.gid) != self._caller.owners:
            return "its owner is another user"
        if Aspect.OWNER in change.aspects and (after.uid, after.gid) != self._caller.owners:
            return "its owner is another user"
        known = {} if before is None else before.xattrs
        foreign = [
            name for name, value in after.xattrs.items()
            if not name.startswith(_SETTABLE) and known.get(name) != value
        ]  # fmt: skip
        if foreign:
            return f"an ordinary user cannot set {os.fsdecode(foreign[0])}"
        return None

    def _add_move(self, change: Change, source: bytes, *, parks: bool) -> bool:
        now = self._host.fingerprint(source)
        if not self._may_change(change.path, source, now):
            return False
        replaced = None if parks else self._obstacle(change.path)
        if replaced is not None:
            self._conflict(change.path, "something is there now")
            return False
        place = self._moves.parked(source) if parks else source
        self._main.append(Step(Action.MOVE, change.path, change.path, place, expected=now))
        return True

    def _add_directory(self, change: Change, after: State) -> None:
        now = self._obstacle(change.path) if change.before is None else None
        if now is None and change.before is None and self._is_gone(change.path):
            self._conflict(change.path, "it is gone")
            return
        if now is not None and not now.is_directory:
            self._conflict(change.path, "something is there now")
            return
        if change.before is not None:
            self._early += self._removal(change.path, self._moves.origin(change.path), change.path)
            if change.path in self._blocked:
                return
        if now is None:
            self._main.append(Step(Action.DIRECTORY, change.path, change.path))
            given = _attributes(after)
            self._last.append(
                Step(Action.ATTRIBUTES, change.path, change.path, given=given, is_later=True)
            )

    def _add_object(self, change: Change, after: State) -> None:
        """Everything but a directory that is new: a file, a link, or attributes."""
        path, before = change.path, change.before
        origin = change.source if change.kind is Kind.MOVED else self._moves.origin(path)
        now = self._host.fingerprint(origin or path)
        given = _attributes(after)
        is_moved = change.kind is Kind.MOVED
        if before is None:
            self._add_new(change, after)
            return
        if not change.aspects or (
            is_moved and change.aspects == (Aspect.TIMES,) and after.is_directory
        ):
            return
        if not is_moved and not self._may_change(path, self._moves.lower_path(change), now):
            if now is not None and self._merged is not None:
                self._add_merge(change, now, given)
            return
        if now is None or self._is_other_name(change, now):
            return
        if Aspect.TYPE in change.aspects and before.is_directory:
            self._early += self._removal(path, origin or path, path)
            if path not in self._blocked:
                self._add_content(change, after, None, given)
        elif change.is_replaced and change.link is not None:
            self._links.append(
                Step(Action.LINK, path, path, change.link, given=given, expected=now)
            )
        elif Aspect.CONTENT in change.aspects or change.is_replaced:
            self._add_content(change, after, now, given)
        else:
            steps = self._last if after.is_directory else self._main
            steps.append(Step(Action.ATTRIBUTES, path, path, given=given, expected=now))

    def _add_merge(self, change: Change, now: Fingerprint, given: Attributes) -> None:
        """In the place of a conflict, what a merge of both sides makes."""
        if self._merged is None or not stat.S_ISREG(now.mode) or now.uid != self._caller.uid:
            return
        if change.after is None or not change.after.is_file or Aspect.CONTENT not in change.aspects:
            return
        if not (data := self._merged(change)):
            return
        self._blocked.discard(change.path)
        self._left = [each for each in self._left if each.path != change.path]
        given = given._replace(mtime_ns=max(given.mtime_ns, now.mtime_ns) + 1)
        self._main.append(
            Step(Action.FILE, change.path, change.path, data=data, given=given, expected=now)
        )

    def _is_other_name(self, change: Change, now: Fingerprint) -> bool:
        """Whether the steps for another name of the file change it."""
        if change.link is None or change.link in self._blocked:
            return False
        other = self._host.fingerprint(self._moves.origin(change.link))
        return other is not None and other.ino == now.ino

    def _obstacle(self, path: bytes) -> Fingerprint | None:
        """What is at the path of something new, unless it moves away."""
        place = self._moves.place(path)
        return None if place is None else self._host.fingerprint(place)

    def _is_gone(self, path: bytes) -> bool:
        """Whether the host had something there when the command looked, and has nothing now."""
        place = self._moves.place(path)
        return place in self._seen and not self._overrules

    def _add_new(self, change: Change, after: State) -> None:
        given, now = _attributes(after), self._obstacle(change.path)
        if now is None and self._is_gone(change.path):
            self._conflict(change.path, "it is gone")
            return
        if now is not None and (not self._overrules or now.is_directory):
            self._conflict(change.path, "something is there now")
            return
        if change.link is not None and change.link not in self._blocked:
            self._links.append(
                Step(Action.LINK, change.path, change.path, change.link, given=given, expected=now)
            )
            return
        self._add_content(change, after, now, given)

    def _add_content(
        self, change: Change, after: State, now: Fingerprint | None, given: Attributes
    ) -> None:
        path = change.path
        if not after.is_file:
            self._main.append(Step(Action.OBJECT, path, path, given=given, expected=now))
            return
        found = self._host.status(self._moves.origin(path)) if now is not None else None
        has_links = found is not None and found.st_nlink > 1 and stat.S_ISREG(found.st_mode)
        has_links = has_links and not change.is_replaced
        action = Action.CONTENT if has_links else Action.FILE
        data = self._data_of(path)
        self._main.append(Step(action, path, path, data=data, given=given, expected=now))

    # What is removed

    def _removal(self, path: bytes, place: bytes, change: bytes) -> Iterator[Step]:
        """The steps that remove what is at a path, which is at `place` before the first step."""
        now = self._host.fingerprint(place)
        if now is None or place in self._moves.targets:
            return
        if place in self._hidden:
            self._blocked.add(path)
            self._leave(change, _HIDDEN)
            return
        if not self._may_change(change, place, now):
            self._blocked.add(path)
            return
        if now.is_directory:
            for name in self._host.names(place):
                yield from self._removal(path + b"/" + name, place + b"/" + name, change)
                if path + b"/" + name in self._blocked:
                    self._blocked.add(path)
            if path in self._blocked:
                return
        yield Step(Action.REMOVE, path, change, expected=now)

    def _may_change(self, change: bytes, place: bytes, now: Fingerprint | None) -> bool:
        """Whether what is at a place of the host is what the command saw there, and the caller's."""
        subject = "it" if change == place else _shown(place)
        if now is None:
            self._conflict(change, f"{subject} is gone")
            return False
        if now.uid != self._caller.uid:
            self._leave(change, f"{subject} belongs to another user")
            return False
        if self._overrules:
            return True
        restored = self._restored.get(now.ino)
        if restored is not None and restored.now.is_same(now):
            now = restored.before
        seen = self._seen.get(place)
        if seen is None:
            seen = self._by_number.get(now.ino & _NUMBER)
        if seen is None:
            self._conflict(change, f"the command has not seen {subject}")
            return False
        if not is_as_seen(now, seen):
            self._conflict(change, f"{subject} has changed since")
            return False
        return True

    def _parking(self) -> Iterator[Step]:
        """Moves out of the way, the inner before the outer."""
        wanted = {step.source for step in self._main if step.action is Action.MOVE}
        targets = self._moves.targets
        for source in sorted(targets, key=lambda path: path.count(b"/"), reverse=True):
            place = self._moves.parked(source)
            if place in wanted:
                expected = self._host.fingerprint(source)
                yield Step(Action.MOVE, place, targets[source], source, expected=expected)

    # What is left

    def _leave(self, path: bytes, reason: str) -> None:
        self._blocked.add(path)
        self._left.append(Left(path, reason))

    def _conflict(self, path: bytes, reason: str) -> None:
        self._blocked.add(path)
        self._left.append(Left(path, reason, is_conflict=True))


def is_as_seen(now: Fingerprint, seen: SeenRecord) -> bool:
    """Whether an object of the host is what a union saw. Of a directory, whether it is the same."""
    if stat.S_IFMT(now.mode) != stat.S_IFMT(seen.mode) or now.ino & _NUMBER != seen.ino & _NUMBER:
        return False
    if now.is_directory:
        return True
    mine = (now.mode, now.uid, now.gid, now.size, now.mtime_ns, now.ctime_ns)
    return mine == (seen.mode, seen.uid, seen.gid, seen.size, seen.mtime_ns, seen.ctime_ns)


def _attributes(state: State) -> Attributes:
    xattrs = {
        os.fsdecode(name): b64encode(value).decode()
        for name, value in state.xattrs.items()
        if name.startswith(_SETTABLE)
    }
    return Attributes(state.mode, state.mtime_ns, state.target.decode("latin-1"), xattrs)


def _shown(path: bytes) -> str:
    from rootless.changes.names import quoted

    return os.fsdecode(quoted(b"/" + path))


def _words(error: OSError) -> str:
    import errno

    if error.errno == errno.ELOOP:
        return "a symbolic link is on the way to it"
    return (error.strerror or str(error)).lower()
