"""A directory of the host, of which a container has changed a copy: its root file system, or the source of a mount that
is copied on write. The changes are read, planned, carried out and taken back for each by itself.

A directory of the container, `applies` or for a mount `applies-<position>`, has one directory for each apply, by number:
its journal, and what it replaced and removed.
"""

from __future__ import annotations

import json
import marshal
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Self

from rootless.applying.host_files import HostFiles
from rootless.applying.journal import Journal
from rootless.applying.merging import Merging
from rootless.applying.perform import Performer
from rootless.applying.plan import Caller, Left, Plan, Planner
from rootless.applying.step import Restored
from rootless.applying.undo import Undoing
from rootless.changes.change import Change, Kind, is_within, packed, unpacked
from rootless.changes.compare import compare
from rootless.changes.parts import Part
from rootless.changes.selection import is_at
from rootless.containers.config import id_maps_of
from rootless.containers.launch_document import NAME as LAUNCH
from rootless.errors import RootlessError, UsageError
from rootless.rootfs.read import mount_files, root_files
from rootless.runtime.account import read_id_maps
from rootless.runtime.idmap import to_outside
from rootless.spec.options import ROOT_IS_CALLER
from unionfs.logs.first_seen import unpack_bases, unpack_seen
from unionfs.nodes import UPPER
from unionfs.syscalls.files import syncfs

if TYPE_CHECKING:
    from rootless.containers.record import ContainerRecord
    from rootless.containers.storage_paths import StoragePaths
    from rootless.runtime.idmap import IdMaps
    from rootless.store.layout import Store
    from unionfs.changes.snapshot import Snapshot
    from unionfs.logs.first_seen import SeenRecord

_JOURNAL = "journal"
_BACKUPS = "backups"


class Found(NamedTuple):
    """The changes, where the contents of each lie, and what was seen first; of small files also the content."""

    changes: list[Change]
    places: dict[bytes, str]
    seen: dict[bytes, SeenRecord]
    bases: dict[bytes, bytes]


class Choice(NamedTuple):
    """The selection of changes, and the decision on conflicts: see `rootless.applying.apply.Applying.apply`.
    `wanted` and the changes of `chosen` have paths in the container, or in the part where it is one target's.
    """

    wanted: Sequence[bytes]
    chosen: Callable[[Change], bool] | None
    overrules: bool
    merges: bool


class Target:
    """The directory that `part` of a container is a copy of. Used in a `with` block.

    Raises UsageError if it is not there.
    """

    def __init__(
        self, record: ContainerRecord, paths: StoragePaths, store: Store, part: Part
    ) -> None:
        self.part = part
        self._record = record
        self._directory = Path(paths.containers.directory(record.id))
        mount = part.mount
        if mount is None:
            self._root = record.rootfs
            self._files = root_files(record, paths, store)
            self._maps = id_maps_of(self._directory)
            self._hidden = _below(self._root, self._hidden_at_launch())
            self._applies, self._tag = "applies", record.id[:8]
        else:
            own = paths.store, paths.runtime
            self._root = mount.source
            self._files = mount_files(mount, str(self._directory), own)
            self._maps = read_id_maps(ROOT_IS_CALLER)
            self._hidden = _below(self._root, own)
            self._applies = f"applies-{mount.position}"
            self._tag = f"{record.id[:8]}-{mount.position}"
        if not os.path.isdir(self._root):
            raise UsageError(f"{self._root}, which is mounted in container {record.name}, is gone")
        self._place = self._directory / self._applies

    def __enter__(self) -> Self:
        os.makedirs(self._place, 0o700, exist_ok=True)
        self._host = HostFiles(self._root)
        return self

    def __exit__(self, *error: object) -> None:
        self._host.close()

    def read(self) -> Found:
        """The changes. Raises OSError; the container's files must stay as they are until they are applied."""

        def produce(snapshot: Snapshot) -> Iterator[bytes]:
            upper = snapshot.upper
            found = compare(snapshot, self.part.mountpoints)
            directory = os.fsencode(self._directory)
            places = {
                each.change.path: _relative(upper.place(each.node.ref), directory)
                for each in found
                if upper is not None and each.node is not None and each.node.layer == UPPER
            }
            logs = (b"", b"") if upper is None else (upper.first_seen(), upper.bases())
            yield marshal.dumps((places, *logs))
            yield from packed(each.change for each in found)

        data = BytesIO(b"".join(self._files.read(produce)))
        places, seen, bases = marshal.load(data)
        seen_here = self._seen_outside(unpack_seen(seen))
        return Found(unpacked(data), places, seen_here, unpack_bases(bases))

    def _seen_outside(self, seen: dict[bytes, SeenRecord]) -> dict[bytes, SeenRecord]:
        """What was seen, with owners as this process sees them."""
        if self.part.mount is None:
            return seen
        return {path: _outside(record, self._maps) for path, record in seen.items()}

    def plan(self, found: Found, choice: Choice) -> tuple[Plan, list[Left]]:
        """The plan for the changes that were chosen, and the texts that were merged with marks. Raises OSError."""
        changes = _selected(found.changes, choice.wanted, choice.chosen)
        merging = Merging(self._host, self._directory, self._place, found.places, found.bases)
        planner = Planner(
            self._host,
            found.seen,
            Caller(os.getuid(), self._maps.inside(os.getuid(), os.getgid())),
            lambda path: found.places[path],
            overrules=choice.overrules,
            tag=f"apply-{self._tag}",
            merged=merging.merged if choice.merges else None,
            restored=self._restored(),
            hidden=self._hidden,
        )
        return planner.plan(changes), merging.marked

    def begin(self, number: int, plan: Plan) -> Journal:
        """Write the journal of an apply."""
        place = self._place / str(number)
        with errors_of("apply"):
            os.makedirs(place / _BACKUPS, 0o700)
            return Journal.create(str(place / _JOURNAL), plan.steps)

    def run(self, journal: Journal, number: int) -> list[Left]:
        """Carry out what is left of an apply. Returns what failed."""
        backups = str(self._place / str(number) / _BACKUPS)
        with closing(journal), errors_of("apply"):
            left = Performer(
                self._host, journal, str(self._directory), backups, f"{self._tag}-{number}"
            ).run()
            root = os.open(self._root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                syncfs(root)
            finally:
                os.close(root)
        return left

    def resume(self) -> list[Left]:
        """Go on with an apply that was killed. Raises RootlessError if it was an undo."""
        numbers = self.numbers()
        if not numbers:
            return []
        journal = self.journal(numbers[-1])
        if journal.is_undoing and not journal.is_undone:
            raise RootlessError(
                f"an undo of container {self._record.name} was interrupted",
                hint=f"rootless apply --undo {self._record.name} completes it",
            )
        done = journal.is_complete or journal.is_undone
        return [] if done else self.run(journal, numbers[-1])

    def undoing(self, journal: Journal, number: int) -> Undoing:
        """An object that undoes an apply."""
        backups = str(self._place / str(number) / _BACKUPS)
        return Undoing(self._host, journal, backups, f"{self._tag}-{number}")

    def drop_backups(self, number: int) -> None:
        """After an undo."""
        shutil.rmtree(self._place / str(number) / _BACKUPS, ignore_errors=True)

    def numbers(self) -> list[int]:
        """Of the applies that have a journal, the oldest first."""
        return sorted(
            int(name)
            for name in os.listdir(self._place)
            if name.isdigit() and (self._place / name / _JOURNAL).exists()
        )

    def next_number(self) -> int:
        names = [name for name in os.listdir(self._place) if name.isdigit()]
        return max(map(int, names), default=0) + 1

    def journal(self, number: int) -> Journal:
        return Journal.read(str(self._place / str(number) / _JOURNAL))

    def _restored(self) -> dict[int, Restored]:
        """What is there again after an undo, by inode number, and what it was before the first apply."""
        found: dict[int, Restored] = {}
        for number in self.numbers():
            latest: dict[int, Restored] = {}
            for now, before in self.journal(number).restored:
                earlier = found.get(before.ino)
                is_known = earlier is not None and earlier.now.is_same(before)
                first = earlier.before if earlier is not None and is_known else before
                latest.setdefault(now.ino, Restored(now, first))
            found |= latest
        return found

    def _hidden_at_launch(self) -> Sequence[str]:
        """The paths that the command could not see into."""
        launch = json.loads((self._directory / LAUNCH).read_bytes())
        hidden: Sequence[str] = launch.get("tree", {}).get("hidden", ())
        return hidden


def _relative(place: bytes, directory: bytes) -> str:
    """A place in a directory or elsewhere on the disk, relative to it; bytes as Latin-1."""
    if place.startswith(directory + b"/"):
        return place[len(directory) + 1 :].decode("latin-1")
    return os.path.relpath(place, directory).decode("latin-1")


def _below(root: str, paths: Sequence[str]) -> list[bytes]:
    """Those of the paths that are in a directory, relative to it."""
    top = os.fsencode(os.path.normpath(root)).rstrip(b"/") + b"/"
    found = [os.fsencode(path) for path in paths]
    return [path.removeprefix(top) for path in found if path.startswith(top)]


def _outside(record: SeenRecord, maps: IdMaps) -> SeenRecord:
    uid, gid = to_outside(maps.uids, record.uid), to_outside(maps.gids, record.gid)
    return record._replace(
        uid=record.uid if uid is None else uid, gid=record.gid if gid is None else gid
    )


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
def errors_of(what: str) -> Iterator[None]:
    """Errors of what is done on the host, in words. Raises RootlessError."""
    try:
        yield
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        raise RootlessError(
            f"{what}: {(error.strerror or str(error)).lower()}{where}",
            hint=f"what was done is in the journal: repeat the {what}",
        ) from error
