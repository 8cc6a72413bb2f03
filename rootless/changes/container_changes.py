"""The changes of a container against its image, or against the directory that is its root file system."""

from __future__ import annotations

import marshal
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from io import BytesIO
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from rootless.changes.change import packed, unpacked
from rootless.changes.compare import compare
from rootless.changes.parts import Part, parts_of, wanted_of
from rootless.changes.selection import is_at, require_matches
from rootless.rootfs.read import mount_files, reading, root_files, written_out
from rootless.snapshots.record import WHOLE, Span

if TYPE_CHECKING:
    from rootless.changes.change import Change
    from rootless.changes.patch import Counts
    from rootless.containers.record import ContainerRecord
    from rootless.containers.storage_paths import StoragePaths
    from rootless.store.layout import Store
    from unionfs.changes.snapshot import Snapshot

    _Produce = Callable[[Part, Sequence[bytes], Snapshot], Iterable[bytes]]


class ContainerChanges:
    """The changes of a container in a span of its time. `wanted` are paths relative to its root; none for all.

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
        self._directory = paths.containers.directory(record.id)
        self._parts = parts_of(Path(self._directory))
        if span != WHOLE:
            del self._parts[1:]  # snapshots are of the root

    @property
    def container(self) -> str:
        """The container's id."""
        return self._record.id

    @property
    def mounts(self) -> list[tuple[str, str]]:
        """Target and source of each mount that is copied on write; none for a span of snapshots, which are of the root."""
        found = [part.mount for part in self._parts if part.mount is not None]
        return [(mount.target, mount.source) for mount in found]

    def listed(self) -> list[Change]:
        """The changes, a directory before what is in it."""

        def produce(part: Part, wanted: Sequence[bytes], snapshot: Snapshot) -> Iterator[bytes]:
            found = compare(snapshot, part.mountpoints, wanted)
            yield from packed(part.whole_change(each.change) for each in found)

        with self._read(produce) as found:
            return [each for pieces in found for each in unpacked(BytesIO(b"".join(pieces)))]

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

        def produce(part: Part, wanted: Sequence[bytes], snapshot: Snapshot) -> Iterable[bytes]:
            return render(snapshot, compare(snapshot, part.mountpoints, wanted), part.whole)

        with self._read(produce) as found:
            yield chain.from_iterable(found)

    def counts(self) -> list[Counts]:
        """Lines that came and went, by file."""
        from rootless.changes.patch import Counts, count_lines

        def produce(part: Part, wanted: Sequence[bytes], snapshot: Snapshot) -> Iterator[bytes]:
            found = count_lines(snapshot, compare(snapshot, part.mountpoints, wanted))
            yield marshal.dumps([(part.whole(each.path), *each[1:]) for each in found])

        with self._read(produce) as found:
            return [Counts(*each) for pieces in found for each in marshal.loads(b"".join(pieces))]

    @contextmanager
    def _read(self, produce: _Produce) -> Iterator[Iterator[Iterable[bytes]]]:
        """What `produce` makes of each part, and the paths in it that are wanted."""
        hidden = self._paths.store, self._paths.runtime

        def read() -> Iterator[Iterable[bytes]]:
            for part in self._parts:
                wanted = wanted_of(part, self._parts, self._wanted)
                if wanted is None:
                    continue
                files = (
                    root_files(self._record, self._paths, self._store, self._span)
                    if part.mount is None
                    else mount_files(part.mount, self._directory, hidden)
                )
                yield files.read(partial(produce, part, wanted))

        with written_out(self._record, pause=False, span=self._span), reading(self._record):
            yield read()
