"""Maps paths of the changes to their paths on the host before the first step of an apply. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rootless.changes.change import Aspect, Change, Kind


class Moves:
    """The moves of files and directories among the changes of one container. `tag` is a part of the names that are
    used on the way."""

    def __init__(self, changes: Sequence[Change], tag: str) -> None:
        self._tag = tag
        self.targets: dict[bytes, bytes] = {}
        """Where each goes, by where it comes from."""
        self._sources: dict[bytes, bytes] = {}
        for each in changes:
            if each.kind is Kind.MOVED and each.source is not None:
                self.targets[each.source] = each.path
                self._sources[each.path] = each.source

    def origin(self, path: bytes) -> bytes:
        """Where the host has, before the first step, what is to be at a path."""
        if not self._sources:
            return path
        for directory in above(path):
            source = self._sources.get(directory)
            if source is not None:
                return source + path[len(directory) :]
        return path

    def place(self, path: bytes) -> bytes | None:
        """The same, of what is at the path itself and does not come there by a move. None if that moves away, or a
        directory above it does."""
        place, start = path, 0
        for directory in above(path.rpartition(b"/")[0]):
            source = self._sources.get(directory)
            if source is not None:
                place, start = source + path[len(directory) :], len(source)
                break
        moves_away = any(each in self.targets for each in above(place) if len(each) > start)
        return None if moves_away else place

    def lower_path(self, change: Change) -> bytes:
        """Where what the change is made of was."""
        return change.source if change.source is not None else self.origin(change.path)

    def must_park(self, changes: Sequence[Change]) -> bool:
        """Whether one move is in the way of another, or of something else: then each goes by way of a temporary
        name."""
        made = {each.path for each in changes if each.after is not None}
        removed = {each.path for each in changes if each.after is None}
        replaced = {each.path for each in changes if Aspect.TYPE in each.aspects} | (removed & made)
        for source, target in self.targets.items():
            if source in made or target in removed:
                return True
            for directory in above(source):
                if directory in replaced or (directory != source and directory in self.targets):
                    return True
        return False

    def parked(self, source: bytes) -> bytes:
        """The temporary name of what moves, beside the outermost directory that moves with it."""
        outermost = next(each for each in reversed([*above(source)]) if each in self.targets)
        directory = outermost.rpartition(b"/")[0]
        number = list(self.targets).index(source)
        name = f".rootless-{self._tag}-move-{number}".encode()
        return directory + b"/" + name if directory else name


def above(path: bytes) -> Iterator[bytes]:
    """A path and the directories above it, without the root."""
    while path:
        yield path
        path = path.rpartition(b"/")[0]
