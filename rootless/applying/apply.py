"""Applies the changes of a container to the host's files that it was made of, and takes that back.

The directory `applies` of the container has one directory for each apply, by number: its journal, and what it
replaced and removed.
"""

from __future__ import annotations

import json
import marshal
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from rootless.applying.host_files import HostFiles
from rootless.applying.journal import Journal
from rootless.applying.merging import Merging
from rootless.applying.perform import Performer
from rootless.applying.plan import Caller, Left, Planner
from rootless.applying.step import Restored
from rootless.applying.undo import Undoing
from rootless.changes.change import Change, Kind, from_plain, is_within, plain
from rootless.changes.compare import compare
from rootless.changes.selection import is_at, require_matches
from rootless.containers.config import id_maps_of
from rootless.containers.launch_document import NAME as LAUNCH
from rootless.durable import acquire_lock
from rootless.errors import InUseError, NotFoundError, RootlessError, UsageError
from rootless.rootfs.read import mountpoints, open_container, reading
from rootless.spec.storage_driver import StorageDriver
from unionfs.logs.first_seen import unpack_bases, unpack_seen
from unionfs.nodes import UPPER
from unionfs.syscalls.files import syncfs

if TYPE_CHECKING:
    from rootless.containers.record import ContainerRecord
    from rootless.containers.storage_paths import StoragePaths
    from rootless.store.layout import Store
    from unionfs.changes.snapshot import Snapshot
    from unionfs.logs.first_seen import SeenRecord

_APPLIES = "applies"
_JOURNAL = "journal"
_BACKUPS = "backups"


class Applied(NamedTuple):
    """The changes that were applied, or would be, and those that were left alone. Paths are relative."""

    paths: list[bytes]
    left: list[Left]


class _Found(NamedTuple):
    """The changes, where the contents of each lie, and what was seen first; of small files also the content."""

    changes: list[Change]
    places: dict[bytes, str]
    seen: dict[bytes, SeenRecord]
    bases: dict[bytes, bytes]


class Applying:
    """Applies the changes of one container.

    Raises UsageError for a container that was not made of a directory of the host.
    """

    def __init__(self, record: ContainerRecord, paths: StoragePaths, store: Store) -> None:
        if not record.rootfs or not os.path.isdir(record.rootfs):
            raise UsageError(
                f"container {record.name} was not made of files of the host",
                hint="rootless commit makes an image of it, rootless cp copies files out of it",
            )
        if record.storage_driver == StorageDriver.OVERLAY.value:
            raise UsageError(
                f"container {record.name} has the storage driver overlay, which keeps no note of "
                "what it saw of the host's files"
            )
        self._record = record
        self._paths = paths
        self._store = store
        self._directory = Path(paths.containers.directory(record.id))

    @property
    def record(self) -> ContainerRecord:
        return self._record

    def apply(
        self,
        wanted: Sequence[bytes] = (),
        *,
        chosen: Callable[[Change], bool] | None = None,
        overrules: bool = False,
        merges: bool = False,
        check: bool = False,
    ) -> Applied:
        """Make the changes on the host, after the rest of an apply that was killed.

        Args:
            wanted: Paths that a change has to be at or in; empty for all. Directories above that the container made
                are made too.
            chosen: Which of these changes to apply.
            overrules: Whether a conflict is decided for the container.
            merges: Whether a text that both sides have changed is merged; one with lines that both have changed
                gets marks, and is among those left.
            check: Change nothing.

        Raises:
            InUseError: another apply is at work.
            NotFoundError: nothing was changed at or in one of `wanted`; then nothing is applied.
            RootlessError: the container's files or the journal cannot be read or written.
        """
        with self._lock(), closing(HostFiles(self._record.rootfs)) as host:
            resumed = [] if check else self._resume(host)
            with self._files() as found:
                require_matches(found.changes, wanted)
                changes = _selected(found.changes, wanted, chosen)
                merging = Merging(host, self._directory, found.places, found.bases)
                planner = Planner(
                    host,
                    found.seen,
                    self._caller(),
                    lambda path: found.places[path],
                    overrules=overrules,
                    tag=f"apply-{self._record.id[:8]}",
                    merged=merging.merged if merges else None,
                    restored=self._restored(),
                    hidden=self._hidden(),
                )
                plan = planner.plan(changes)
                failed = [*plan.left, *merging.marked]
                if plan.steps and not check:
                    number = self._next_number()
                    place = self._directory / _APPLIES / str(number)
                    with _errors("apply"):
                        os.makedirs(place / _BACKUPS, 0o700)
                        journal = Journal.create(str(place / _JOURNAL), plan.steps)
                    failed += self._run(host, journal, number)
        left = {each.path: each for each in failed + resumed}
        done = dict.fromkeys(step.change for step in plan.steps if step.change not in left)
        return Applied(list(done), list(left.values()))

    def undo(self) -> list[Left]:
        """Take the last apply back. Returns what has changed since, and then nothing is done.

        Raises:
            NotFoundError: nothing has been applied.
            InUseError, RootlessError: as `apply`.
        """
        with self._lock(), closing(HostFiles(self._record.rootfs)) as host:
            for number in reversed(self._numbers()):
                place = self._directory / _APPLIES / str(number)
                journal = Journal.read(str(place / _JOURNAL))
                if journal.is_undone:
                    continue
                with closing(journal):
                    undoing = Undoing(
                        host, journal, str(place / _BACKUPS), _tag(self._record, number)
                    )
                    changed = undoing.changed()
                    if not changed:
                        with _errors("undo"):
                            undoing.run()
                if not changed:
                    shutil.rmtree(place / _BACKUPS, ignore_errors=True)
                return changed
        raise NotFoundError(f"nothing of container {self._record.name} has been applied")

    def _resume(self, host: HostFiles) -> list[Left]:
        """Go on with an apply that was killed."""
        numbers = self._numbers()
        if not numbers:
            return []
        place = self._directory / _APPLIES / str(numbers[-1])
        journal = Journal.read(str(place / _JOURNAL))
        if journal.is_undoing and not journal.is_undone:
            raise RootlessError(
                f"an undo of container {self._record.name} was interrupted",
                hint=f"rootless apply --undo {self._record.name} completes it",
            )
        return (
            []
            if journal.is_complete or journal.is_undone
            else self._run(host, journal, numbers[-1])
        )

    def _restored(self) -> dict[int, Restored]:
        """What is there again after an undo, by inode number, and what it was before the first apply."""
        found: dict[int, Restored] = {}
        for number in self._numbers():
            journal = Journal.read(str(self._directory / _APPLIES / str(number) / _JOURNAL))
            latest: dict[int, Restored] = {}
            for now, before in journal.restored:
                earlier = found.get(before.ino)
                is_known = earlier is not None and earlier.now.is_same(before)
                first = earlier.before if earlier is not None and is_known else before
                latest.setdefault(now.ino, Restored(now, first))
            found |= latest
        return found

    def _run(self, host: HostFiles, journal: Journal, number: int) -> list[Left]:
        backups = str(self._directory / _APPLIES / str(number) / _BACKUPS)
        tag = _tag(self._record, number)
        with closing(journal), _errors("apply"):
            left = Performer(host, journal, str(self._directory), backups, tag).run()
            root = os.open(self._record.rootfs, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                syncfs(root)
            finally:
                os.close(root)
        return left

    @contextmanager
    def _files(self) -> Iterator[_Found]:
        """The changes, while the container's files stay as they are."""
        points = mountpoints(self._directory)

        def produce(snapshot: Snapshot) -> Iterator[bytes]:
            upper = snapshot.upper
            found = compare(snapshot, points)
            directory = os.fsencode(self._directory)
            places = {
                each.change.path: _relative(upper.place(each.node.ref), directory)
                for each in found
                if upper is not None and each.node is not None and each.node.layer == UPPER
            }
            logs = (b"", b"") if upper is None else (upper.first_seen(), upper.bases())
            yield marshal.dumps(([plain(each.change) for each in found], places, *logs))

        with (
            open_container(self._record, self._paths, self._store, pause=True) as files,
            reading(self._record),
        ):
            changes, places, seen, bases = marshal.loads(b"".join(files.read(produce)))
            listed = [from_plain(each) for each in changes]
            yield _Found(listed, places, unpack_seen(seen), unpack_bases(bases))

    def _hidden(self) -> list[bytes]:
        """The paths that the command could not see into, relative."""
        tree = json.loads((self._directory / LAUNCH).read_bytes()).get("tree", {})
        root = os.fsencode(os.path.normpath(self._record.rootfs)).rstrip(b"/") + b"/"
        paths = [os.fsencode(path) for path in tree.get("hidden", ())]
        return [path.removeprefix(root) for path in paths if path.startswith(root)]

    def _caller(self) -> Caller:
        uid, gid = os.getuid(), os.getgid()
        return Caller(uid, id_maps_of(self._directory).inside(uid, gid))

    @contextmanager
    def _lock(self) -> Iterator[None]:
        os.makedirs(self._directory / _APPLIES, 0o700, exist_ok=True)
        lock = acquire_lock(self._directory / _APPLIES / ".lock", wait=False)
        if lock is None:
            raise InUseError(f"another apply of container {self._record.name} is at work")
        try:
            yield
        finally:
            lock.release()

    def _numbers(self) -> list[int]:
        """Of the applies that have a journal, the oldest first."""
        place = self._directory / _APPLIES
        return sorted(
            int(name)
            for name in os.listdir(place)
            if name.isdigit() and (place / name / _JOURNAL).exists()
        )

    def _next_number(self) -> int:
        names = [name for name in os.listdir(self._directory / _APPLIES) if name.isdigit()]
        return max(map(int, names), default=0) + 1


def _relative(place: bytes, directory: bytes) -> str:
    """A place in a directory or elsewhere on the disk, relative to it; bytes as Latin-1."""
    if place.startswith(directory + b"/"):
        return place[len(directory) + 1 :].decode("latin-1")
    return os.path.relpath(place, directory).decode("latin-1")


def _tag(record: ContainerRecord, number: int) -> str:
    return f"{record.id[:8]}-{number}"


def _selected(
    changes: Sequence[Change], wanted: Sequence[bytes], chosen: Callable[[Change], bool] | None
) -> list[Change]:
    """The changes that are wanted, and the directories above that these need."""
    picked = [
        each
        for each in changes
        if (not wanted or any(is_at(each, path) for path in wanted))
        and (chosen is None or each.is_bare or chosen(each))
    ]
    if not wanted and chosen is None:
        return picked
    paths = {each.path for each in picked}
    needed = {
        each.path
        for each in changes
        if each.kind in {Kind.CREATED, Kind.MOVED}
        and each.after is not None
        and each.after.is_directory
        and any(path != each.path and is_within(path, each.path) for path in paths)
    }
    return [each for each in changes if each.path in paths | needed]


@contextmanager
def _errors(what: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        raise RootlessError(
            f"{what}: {(error.strerror or str(error)).lower()}{where}",
            hint=f"what was done is in the journal: repeat the {what}",
        ) from error
