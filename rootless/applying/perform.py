"""Carries out the steps of an apply in order, each completely or not at all. A second run of the same journal
continues where a killed one ended.

Steps that put or remove single files are journaled by the batch: what is there before each is noted and written, then
they are carried out, then it is written that they are done. For a step that was begun when the process was killed, the
next run looks at what is there.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress

from rootless.applying.host_files import HostFiles, copy_contents, overwrite_contents
from rootless.applying.journal import Before, Journal
from rootless.applying.plan import Left
from rootless.applying.step import Action, Attributes, Fingerprint, Restored, Step

_PLAIN = frozenset({Action.FILE, Action.LINK, Action.OBJECT, Action.REMOVE})
"""What replaces or removes the file that is there."""

_PUT = frozenset({Action.FILE, Action.LINK, Action.OBJECT})
"""What puts a file at a path."""

_BATCH = 256
"""Steps that are journaled together, at most."""

_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT})


class ChangedError(Exception):
    """An object is not in the state that the plan expects."""


class Performer:
    """Carries out the steps of `journal` on `host`. `directory` is the container's, `backups` one of this apply,
    `tag` a part of the names of temporary files."""

    def __init__(
        self, host: HostFiles, journal: Journal, directory: str, backups: str, tag: str
    ) -> None:
        self._host = host
        self._journal = journal
        self._directory = directory
        self._backups = backups
        self._tag = tag
        self._failed: set[bytes] = set()
        self._left: dict[bytes, Left] = {}
        self._made = {each.ino: each for each in journal.after.values() if each is not None}
        """What the steps have left, by inode number: a later one may concern another name of the same file."""

    def run(self) -> list[Left]:
        """Returns what failed. Raises OSError if the disk is full or the journal cannot be written: the next run goes
        on there."""
        for batch in _batches(self._journal.steps):
            # After a directory has been made or has moved, paths lead elsewhere.
            self._host.forget()
            self._run_batch(batch)
        self._journal.complete()
        return list(self._left.values())

    def _run_batch(self, numbers: range) -> None:
        steps, journal = self._journal.steps, self._journal
        known = journal.before.keys() & set(numbers)
        """Begun by a run that was killed."""
        for number in numbers:
            step = steps[number]
            if number in journal.failed:
                self._failed.update((step.path, step.change))
            elif number not in journal.before:
                self._attempt(number, step, self._begin)
        journal.flush()
        for number in numbers:
            if number in journal.before and not (
                number in journal.after or number in journal.failed
            ):
                self._attempt(number, steps[number], self._resume if number in known else self._act)
        journal.flush()

    def _attempt(self, number: int, step: Step, what: Callable[[int, Step], None]) -> None:
        """Note why a step cannot be carried out, if so."""
        reason, is_conflict = self._failure(number, step, what)
        if reason:
            self._failed.update((step.path, step.change))
            self._journal.fail(number, reason, self._touched(number, step))
            self._left.setdefault(step.change, Left(step.change, reason, is_conflict))

    def _failure(
        self, number: int, step: Step, what: Callable[[int, Step], None]
    ) -> tuple[str, bool]:
        """Why a step was not carried out, empty if it was; and whether because of a change of the host."""
        if self._failed and (
            step.change in self._failed or not self._failed.isdisjoint(_above(step.path))
        ):
            return "a change that it depends on was not made", False
        try:
            what(number, step)
        except ChangedError as error:
            return str(error), True
        except OSError as error:
            if error.errno in _NO_ROOM:
                raise
            if error.errno == errno.EEXIST:
                return "something is there now", True
            if error.errno == errno.ELOOP:
                return "a symbolic link is on the way to it", False
            if error.errno == errno.ENOTEMPTY:
                return "something came into the directory", True
            return (error.strerror or str(error)).lower(), False
        return "", False

    def _begin(self, number: int, step: Step) -> None:
        """Note what is there."""
        now = None
        if not _is_new(step):  # the kernel refuses it if something is there
            now = self._host.fingerprint(step.path)
            self._check(step, now)
        self._journal.begin(number, self._remember(number, step, now))

    def _resume(self, number: int, step: Step) -> None:
        """Carry out a step that an earlier run has begun and perhaps carried out."""
        now = self._host.fingerprint(step.path)
        if has_taken_effect(self._host, step, now, self._journal.before[number]):
            self._done(number, now)
        else:
            self._act(number, step)

    def _done(self, number: int, after: Fingerprint | None) -> None:
        self._journal.done(number, after)
        if after is not None:
            self._made[after.ino] = after

    def _touched(self, number: int, step: Step) -> Restored | None:
        """Of a step that failed after its backup was made: what is there is what was there, but for the time of the last
        change, which the backup's link has changed."""
        before = self._journal.before.get(number)
        if before is None or before.fingerprint is None:
            return None
        try:
            now = self._host.fingerprint(step.path)
        except OSError:
            return None
        is_same = now is not None and before.fingerprint.is_same(now)
        return Restored(now, before.fingerprint) if now is not None and is_same else None

    def _check(self, step: Step, now: Fingerprint | None) -> None:
        if step.action is Action.MOVE:
            found = self._host.fingerprint(step.source)
            if found is None or not self._is_expected(step.expected, found):
                raise ChangedError("what was to be moved has changed")
            return
        if step.is_later:
            return
        if not self._is_expected(step.expected, now):
            raise ChangedError("it has changed since" if now is not None else "it is gone")

    def _is_expected(self, expected: Fingerprint | None, now: Fingerprint | None) -> bool:
        if expected is None or now is None:
            return expected is now
        made = self._made.get(expected.ino)
        return expected.is_same(now) or (made is not None and made.is_same(now))

    def _remember(self, number: int, step: Step, now: Fingerprint | None) -> Before:
        if now is None:
            return Before()
        attributes = self._host.attributes(step.path)
        is_file = stat.S_ISREG(now.mode)
        has_backup = is_file and (step.action in _PLAIN or step.action is Action.CONTENT)
        if has_backup:
            self._back_up(number, step, may_link=step.action is not Action.CONTENT)
        return Before(now, attributes, has_backup)

    def _back_up(self, number: int, step: Step, *, may_link: bool) -> None:
        place = f"{self._backups}/{number}"
        if may_link and self._has_linked(step.path, place):
            return
        with suppress(FileNotFoundError):
            os.unlink(place)
        source = self._host.open(step.path, os.O_RDONLY)
        try:
            copy_to(source, place)
        finally:
            os.close(source)

    def _has_linked(self, path: bytes, place: str) -> bool:
        """Give a file of the host a further name. False if that would be on another file system."""
        directory, name = self._host.parent(path)
        for _ in range(2):
            try:
                os.link(name, place, src_dir_fd=directory, follow_symlinks=False)
            except FileExistsError:  # of a run that was killed
                os.unlink(place)
            except OSError:
                return False
            else:
                return True
        return False

    def _act(self, number: int, step: Step) -> None:
        host, path = self._host, step.path
        before = self._journal.before[number].fingerprint
        if before is not None and step.action in _PLAIN:
            now = host.fingerprint(path)
            if now is None:
                raise ChangedError("it is gone")
            if not now.is_same(before):
                raise ChangedError("it was changed while it was applied")
        temporary = f".rootless-{self._tag}-{number}".encode()
        given = step.given or Attributes(0, 0)
        is_new = before is None
        match step.action:
            case Action.FILE:
                with self._contents(step) as source:
                    written = host.write(path, temporary, source, given, new=is_new)
                self._journal.done(number, written)
                return
            case Action.CONTENT:
                with self._contents(step) as source:
                    rewrite(host, path, source, given)
            case Action.DIRECTORY:
                host.make_directory(path)
            case Action.MOVE:
                host.move(step.source, path)
            case Action.REMOVE:
                host.remove(
                    path, is_directory=step.expected is not None and step.expected.is_directory
                )
            case Action.LINK:
                host.link(step.source, path, temporary, new=is_new)
            case Action.OBJECT:
                host.make(path, temporary, given, new=is_new)
            case Action.ATTRIBUTES:
                host.give(path, given)
        self._done(number, host.fingerprint(path))

    @contextmanager
    def _contents(self, step: Step) -> Iterator[int]:
        """An open file with what a step writes."""
        place = os.path.join(os.fsencode(self._directory), step.data.encode("latin-1"))
        source = _open_contents(place)
        try:
            yield source
        finally:
            os.close(source)


def has_taken_effect(host: HostFiles, step: Step, now: Fingerprint | None, before: Before) -> bool:
    """Whether a step that was begun has done its work. `now`: what is at its path."""
    given = step.given
    match step.action:
        case Action.REMOVE:
            return now is None
        case Action.DIRECTORY:
            return now is not None and now.is_directory
        case Action.MOVE:
            return now is not None and host.fingerprint(step.source) is None
        case Action.LINK:
            first = host.fingerprint(step.source)
            return now is not None and first is not None and now.ino == first.ino
        case Action.FILE | Action.OBJECT:
            known = before.fingerprint
            is_other = now is not None and (known is None or now.ino != known.ino)
            return is_other and now is not None and given is not None and _is_given(now, given)
    return False


def _is_new(step: Step) -> bool:
    """Whether a step puts a file where nothing is."""
    return step.expected is None and not step.is_later and step.action in _PUT


def _batches(steps: Sequence[Step]) -> Iterator[range]:
    """Steps by number that are journaled together: none is at the path of another, and none changes where the paths
    of others lead."""
    first, paths = 0, set[bytes]()
    for number, step in enumerate(steps):
        is_batched = step.action in _PLAIN and not step.is_later
        if not is_batched or step.path in paths or number - first == _BATCH:
            if number > first:
                yield range(first, number)
            first, paths = number, set()
        if is_batched:
            paths.add(step.path)
        else:
            yield range(number, number + 1)
            first = number + 1
    if first < len(steps):
        yield range(first, len(steps))


def _open_contents(place: bytes) -> int:
    try:
        return os.open(place, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError as error:
        # Of a mount that is copied on write, whose layer the next start removes.
        raise OSError(error.errno, "the container was started anew since") from error


def copy_to(source: int, place: str) -> None:
    """A copy of an open file at a path of the container's directory."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
    copied = os.open(place, flags, 0o600)
    try:
        copy_contents(source, copied)
    finally:
        os.close(copied)


def rewrite(host: HostFiles, path: bytes, source: int, given: Attributes) -> None:
    """Write the contents of an open file into one that has further names. Killed meanwhile, the file has a part of
    them, and the next run writes them again. A full disk is noticed before the first byte."""
    opened = host.open(path, os.O_WRONLY)
    try:
        overwrite_contents(source, opened)
    finally:
        os.close(opened)
    host.give(path, given)


def _is_given(now: Fingerprint, given: Attributes) -> bool:
    return now.mtime_ns == given.mtime_ns and (
        now.mode == given.mode or (stat.S_ISLNK(now.mode) and stat.S_ISLNK(given.mode))
    )


def _above(path: bytes) -> list[bytes]:
    return [path[:at] for at, byte in enumerate(path) if byte == 0x2F] + [path]
