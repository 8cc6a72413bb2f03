"""Undoes an apply, unless something that it made has changed since."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator

from rootless.applying.host_files import HostFiles
from rootless.applying.journal import Before, Journal
from rootless.applying.perform import has_taken_effect, rewrite
from rootless.applying.plan import Left
from rootless.applying.step import Action, Attributes, Fingerprint, Restored, Step
from rootless.changes.change import is_within


class Undoing:
    """As `rootless.applying.perform.Performer`, the other way round."""

    def __init__(self, host: HostFiles, journal: Journal, backups: str, tag: str) -> None:
        self._host = host
        self._journal = journal
        self._backups = backups
        self._tag = tag

    def changed(self) -> list[Left]:
        """The objects that have changed since the apply; of one that is being undone, nothing."""
        if self._journal.is_undoing:
            return []
        return [
            Left(path, "it has changed since it was applied", is_conflict=True)
            for path, expected in self._expected().items()
            if not _is_same(self._host.fingerprint(path), expected)
        ]

    def run(self) -> None:
        """Undo the steps, the last first. Raises OSError."""
        if not self._journal.is_undoing:
            self._settle()
            self._journal.begin_undo()
        for number in reversed(range(len(self._journal.steps))):
            if number not in self._journal.before or number in self._journal.undone:
                continue
            self._undo(number, self._journal.steps[number], self._journal.before[number])
            self._journal.undo(number)
        self._journal.complete_undo(list(self._restored()))

    def _settle(self) -> None:
        """Note what the last steps of an apply that was killed have done."""
        journal = self._journal
        for number in journal.before.keys() - journal.after.keys() - journal.failed.keys():
            step = journal.steps[number]
            now = self._host.fingerprint(step.path)
            if has_taken_effect(self._host, step, now, journal.before[number]):
                journal.done(number, now)

    def _expected(self) -> dict[bytes, Fingerprint | None]:
        """What the apply left at each path that it changed."""
        found: dict[bytes, Fingerprint | None] = {}
        latest: dict[int, Fingerprint] = {}
        """By number: a later step may have changed a file by another of its names."""
        for number, after in self._journal.after.items():
            step = self._journal.steps[number]
            if step.action is Action.MOVE:
                # What was removed to make room is covered by what has come there.
                found = {
                    _moved(path, step): each
                    for path, each in found.items()
                    if not is_within(path, step.path)
                }
            found[step.path] = after
            if after is not None:
                latest[after.ino] = after
        return {path: each and latest[each.ino] for path, each in found.items()}

    def _restored(self) -> Iterator[Restored]:
        """Of each object that was put back, what it was."""
        moves: list[Step] = []
        for number, before in sorted(self._journal.before.items()):
            step = self._journal.steps[number]
            is_move = step.action is Action.MOVE
            path = step.source if is_move else step.path
            known = step.expected if is_move else before.fingerprint
            for move in reversed(moves):
                if path == move.path or path.startswith(move.path + b"/"):
                    path = move.source + path[len(move.path) :]
            if is_move:
                moves.append(step)
            now = None if known is None else self._host.fingerprint(path)
            if known is not None and now is not None:
                yield Restored(now, known)

    def _undo(self, number: int, step: Step, before: Before) -> None:
        host, path = self._host, step.path
        temporary = f".rootless-{self._tag}-{number}".encode()
        now = host.fingerprint(path)
        match step.action:
            case Action.MOVE:
                if now is not None and host.fingerprint(step.source) is None:
                    host.move(path, step.source)
            case Action.DIRECTORY:
                if now is not None and number in self._journal.after:
                    host.remove(path, is_directory=True)
            case Action.ATTRIBUTES:
                if now is not None and before.attributes is not None:
                    host.give(path, before.attributes)
            case Action.CONTENT:
                self._with_backup(number, before, lambda fd, given: rewrite(host, path, fd, given))
            case _:
                host.discard(path, temporary)
                if before.fingerprint is None:
                    if now is not None and number in self._journal.after:
                        host.remove(path, is_directory=False)
                elif before.fingerprint.is_directory or not before.fingerprint.is_same(now):
                    self._restore(number, step, before, temporary, is_new=now is None)

    def _restore(
        self, number: int, step: Step, before: Before, temporary: bytes, *, is_new: bool
    ) -> None:
        given = before.attributes
        if given is None:
            return
        if stat.S_ISDIR(given.mode):
            if is_new:
                self._host.make_directory(step.path)
            self._host.give(step.path, given)
        elif before.has_backup:
            self._restore_file(number, step.path, before, temporary, is_new=is_new)
        else:
            self._host.make(step.path, temporary, given, new=is_new)

    def _restore_file(
        self, number: int, path: bytes, before: Before, temporary: bytes, *, is_new: bool
    ) -> None:
        """By the further name of the file itself where there is one, so that it has its number again."""
        place = f"{self._backups}/{number}"
        known = before.fingerprint
        directory, _ = self._host.parent(path)
        if known is not None and os.stat(place).st_ino == known.ino:
            try:
                os.link(place, temporary, dst_dir_fd=directory)
            except OSError:
                pass  # on another file system, whose numbers mean nothing here
            else:
                self._host.put(path, temporary, new=is_new)
                return
        self._with_backup(
            number,
            before,
            lambda fd, given: self._host.write(path, temporary, fd, given, new=is_new),
        )

    def _with_backup(
        self, number: int, before: Before, use: Callable[[int, Attributes], object]
    ) -> None:
        if before.attributes is None:
            return
        opened = os.open(f"{self._backups}/{number}", os.O_RDONLY | os.O_CLOEXEC)
        try:
            use(opened, before.attributes)
        finally:
            os.close(opened)


def _moved(path: bytes, step: Step) -> bytes:
    if path == step.source or path.startswith(step.source + b"/"):
        return step.path + path[len(step.source) :]
    return path


def _is_same(now: Fingerprint | None, expected: Fingerprint | None) -> bool:
    return now is None if expected is None else expected.is_same(now)
