"""The changes of a container against its image, or against the directory that is its root file system."""

from __future__ import annotations

import marshal
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rootless.changes.change import from_plain, plain
from rootless.changes.compare import compare
from rootless.changes.selection import is_at, require_matches
from rootless.errors import UsageError
from rootless.rootfs.read import mountpoints, open_container, reading
from rootless.snapshots.record import WHOLE, Span

if TYPE_CHECKING:
    from rootless.changes.change import Change
    from rootless.changes.patch import Counts
    from rootless.containers.record import ContainerRecord
    from rootless.containers.storage_paths import StoragePaths
    from rootless.store.layout import Store
    from unionfs.changes.snapshot import Snapshot


class ContainerChanges:
    """What was changed in a container, in a span of its time. `wanted` are paths relative to its root; none for all.

    The methods raise RootlessError for what cannot be read. The caller must have one thread where the storage
    driver is overlay.
    """

    def __init__(
        self,
        record: ContainerRecord,
        paths: StoragePaths,
        store: Store,
        wanted: Sequence[bytes] = (),
        span: Span = WHOLE,
    ) -> None:
        self._record = record
        self._paths = paths
        self._store = store
        self._wanted = wanted
        self._span = span
        self._mountpoints = mountpoints(Path(paths.containers.directory(record.id)))

    @property
    def container(self) -> str:
        """The container's id."""
        return self._record.id

    def listed(self) -> list[Change]:
        """The changes, a directory before what is in it."""

        def produce(snapshot: Snapshot) -> Iterator[bytes]:
            found = compare(snapshot, self._mountpoints, self._wanted)
            yield marshal.dumps([plain(each.change) for each in found])

        with self._pieces(produce) as pieces:
            return [from_plain(each) for each in marshal.loads(b"".join(pieces))]

    def require_matches(self, listed: Sequence[Change]) -> None:
        """Raises NotFoundError if one of the paths has none of the changes that `listed` gave."""
        if all(
            any(is_at(each, path) for each in listed if not each.is_bare) for path in self._wanted
        ):
            return
        everything = ContainerChanges(self._record, self._paths, self._store)
        require_matches(everything.listed(), self._wanted)

    @contextmanager
    def diff(self) -> Iterator[Iterable[bytes]]:
        """The pieces of a unified diff (`rootless.changes.patch`)."""
        from rootless.changes.patch import render

        def produce(snapshot: Snapshot) -> Iterable[bytes]:
            return render(snapshot, compare(snapshot, self._mountpoints, self._wanted))

        with self._pieces(produce) as pieces:
            yield pieces

    def counts(self) -> list[Counts]:
        """Lines that came and went, by file."""
        from rootless.changes.patch import Counts, count_lines

        def produce(snapshot: Snapshot) -> Iterator[bytes]:
            found = count_lines(snapshot, compare(snapshot, self._mountpoints, self._wanted))
            yield marshal.dumps([tuple(each) for each in found])

        with self._pieces(produce) as pieces:
            return [Counts(*each) for each in marshal.loads(b"".join(pieces))]

    @contextmanager
    def _pieces(self, produce: Callable[[Snapshot], Iterable[bytes]]) -> Iterator[Iterable[bytes]]:
        with (
            open_container(
                self._record, self._paths, self._store, pause=False, span=self._span
            ) as files,
            reading(self._record),
        ):
            yield files.read(produce)


def paths_in(record: ContainerRecord, paths: Sequence[str], directory: str) -> list[bytes]:
    """Paths as a user gives them, relative to the container's root. A relative one begins at `directory` where the
    container's root is that of the host, at the root otherwise. Raises UsageError for an empty one."""
    if "" in paths:
        raise UsageError("a path cannot be empty")
    base = directory if record.rootfs == "/" else "/"
    return [os.fsencode(os.path.normpath(os.path.join(base, path))).strip(b"/") for path in paths]
