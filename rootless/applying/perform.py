"""Carries out the steps of an apply, one after the other, each complete or not at all. A second run of the same
journal goes on where a first one was killed."""

from __future__ import annotations

import errno
import os
import stat

from rootless.applying.host_files import HostFiles, copy_contents, overwrite_contents
from rootless.applying.journal import Before, Journal
from rootless.applying.plan import Left
from rootless.applying.step import Action, Attributes, Fingerprint, Step

_PLAIN = frozenset({Action.FILE, Action.LINK, Action.OBJECT, Action.REMOVE})
"""What replaces or removes the file that is there."""


_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT})


class ChangedError(Exception):
    """What is there is not what the plan expects."""


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

    def run(self) -> list[Left]:
        """Returns what failed. Raises OSError if the disk is full or the journal cannot be written: the next run goes
        on there."""
        left: dict[bytes, Left] = {}
        for number, step in enumerate(self._journal.steps):
            if number in self._journal.after:
                continue
            if number in self._journal.failed:
                self._failed.update((step.path, step.change))
                continue
            reason, is_conflict = self._attempt(number, step)
            if reason:
                self._failed.update((step.path, step.change))
                self._journal.fail(number, reason)
                left.setdefault(step.change, Left(step.change, reason, is_conflict))
        self._journal.complete()
        return list(left.values())

    def _attempt(self, number: int, step: Step) -> tuple[str, bool]:
        """Why a step was not carried out, empty if it was; and whether because of a change of the host."""
        if step.change in self._failed or not self._failed.isdisjoint(_above(step.path)):
            return "a change that it depends on was not made", False
        try:
            self._carry_out(number, step)
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

    def _carry_out(self, number: int, step: Step) -> None:
        now = self._host.fingerprint(step.path)
        before = self._journal.before.get(number)
        if before is None:
            self._check(step, now)
            before = self._remember(number, step, now)
            self._journal.begin(number, before)
        elif self._is_done(step, now):
            self._journal.done(number, now)
            return
        elif step.action in _PLAIN and now is not None and not now.is_same(before.fingerprint):
            raise ChangedError("it was changed while it was applied")
        self._act(number, step, is_new=before.fingerprint is None)
        self._journal.done(number, self._host.fingerprint(step.path))

    def _check(self, step: Step, now: Fingerprint | None) -> None:
        if step.action is Action.MOVE:
            found = self._host.fingerprint(step.source)
            if found is None or not found.is_same(step.expected):
                raise ChangedError("what was to be moved has changed")
            return
        if step.is_later:
            return
        is_same = now is None if step.expected is None else step.expected.is_same(now)
        if not is_same:
            raise ChangedError("it has changed since" if now is not None else "it is gone")

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
        try:
            os.unlink(place)
        except FileNotFoundError:
            pass
        if may_link:
            directory, name = self._host.parent(step.path)
            try:
                os.link(name, place, src_dir_fd=directory, follow_symlinks=False)
            except OSError:
                pass  # on another file system
            else:
                return
        source = self._host.open(step.path, os.O_RDONLY)
        try:
            copy_to(source, place)
        finally:
            os.close(source)

    def _is_done(self, step: Step, now: Fingerprint | None) -> bool:
        """Whether a step that was begun has taken effect."""
        given = step.given
        match step.action:
            case Action.REMOVE:
                return now is None
            case Action.DIRECTORY:
                return now is not None and now.is_directory
            case Action.MOVE:
                return now is not None and self._host.fingerprint(step.source) is None
            case Action.LINK:
                first = self._host.fingerprint(step.source)
                return now is not None and first is not None and now.ino == first.ino
            case Action.FILE | Action.OBJECT:
                return now is not None and given is not None and _is_given(now, given)
        return False

    def _act(self, number: int, step: Step, *, is_new: bool) -> None:
        host, path = self._host, step.path
        temporary = f".rootless-{self._tag}-{number}".encode()
        given = step.given or Attributes(0, 0)
        match step.action:
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
            case Action.FILE | Action.CONTENT:
                place = os.path.join(os.fsencode(self._directory), step.data.encode("latin-1"))
                source = os.open(place, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
                try:
                    if step.action is Action.FILE:
                        host.write(path, temporary, source, given, new=is_new)
                    else:
                        rewrite(host, path, source, given)
                finally:
                    os.close(source)


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
