"""Reads the changes and the files of a container, with the owners that they have inside.

The storage driver unionfs keeps owners as data, and this process reads. Kernel overlayfs keeps them
on disk as ids of the host: there a child process reads, in a user namespace with the container's
maps, where they are the ids of the container and root may read every file.
"""

from __future__ import annotations

import errno
import marshal
import os
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import closing
from typing import TYPE_CHECKING

from rootless.durable import write_all
from rootless.errors import RootlessError
from rootless.run_in_child import ChildCall
from rootless.runtime.user_namespace import run_in_user_namespace

if TYPE_CHECKING:
    from rootless.runtime.idmap import IdMaps
    from unionfs.changes.snapshot import Snapshot

_PIECE = 1 << 20


def _check_room(size: int, room: int) -> None:
    """An archive has a sparse file whole, and a file of 16 TiB may take no room where it is."""
    if size > room:
        raise RootlessError(
            f"no space left for the archive: the files have {size} bytes, holes included, and {room} are free",
            hint="a sparse file cannot be kept as one in an archive: remove it, or keep it in a volume",
        )


class ContainerFiles:
    """`open_snapshot` opens the layers; `maps` are those of the namespace to do it in, None for this
    process. All raise OSError, and ValueError for what changed while it was read."""

    def __init__(self, open_snapshot: Callable[[], Snapshot], maps: IdMaps | None) -> None:
        self._open_snapshot = open_snapshot
        self._maps = maps

    def changes(self, mountpoints: Collection[bytes]) -> list[tuple[str, bytes]]:
        """A, C or D, and the path, of everything that was changed."""

        def listed(snapshot: Snapshot) -> Iterator[bytes]:
            found = snapshot.changes(mountpoints)
            yield marshal.dumps(
                [(each.kind.value, each.path) for each in found if not each.is_repeated]
            )

        found: list[tuple[str, bytes]] = marshal.loads(b"".join(self._pieces(listed)))
        return found

    def read(self, produce: Callable[[Snapshot], Iterable[bytes]]) -> Iterator[bytes]:
        """The result of a function of the files, in pieces."""
        return self._pieces(produce)

    def layer_archive(
        self, mountpoints: Collection[bytes], *, room: int, newest: int | None = None
    ) -> Iterator[bytes]:
        """The changes as an OCI layer, in pieces: `Snapshot.layer_archive`. Raises RootlessError, before the
        first piece, if they are of more than `room` bytes.
        """

        def produce(snapshot: Snapshot) -> Iterator[bytes]:
            changes = snapshot.changes(mountpoints)
            _check_room(snapshot.data_size(changes), room)
            return snapshot.layer_archive(changes, newest=newest)

        return self._pieces(produce)

    def tree_archive(self, *, room: int | None = None) -> Iterator[bytes]:
        """The whole merged tree as an archive, in pieces. `room` is as with `layer_archive`."""

        def produce(snapshot: Snapshot) -> Iterator[bytes]:
            tree = snapshot.tree()
            if room is not None:
                _check_room(snapshot.data_size(tree), room)
            return snapshot.layer_archive(tree)

        return self._pieces(produce)

    def _pieces(self, produce: Callable[[Snapshot], Iterable[bytes]]) -> Iterator[bytes]:
        if self._maps is None:
            with closing(self._open_snapshot()) as snapshot:
                yield from produce(snapshot)
            return
        maps = self._maps
        reader, writer = os.pipe2(os.O_CLOEXEC)

        def produce_inside() -> None:
            os.close(reader)
            run_in_user_namespace(maps, lambda: self._write(writer, produce))

        try:
            call = ChildCall(produce_inside)
        finally:
            os.close(writer)
        try:
            while piece := os.read(reader, _PIECE):
                yield piece
        except BaseException:
            os.close(reader)
            call.kill()
            raise
        os.close(reader)
        call.result()

    def _write(self, writer: int, produce: Callable[[Snapshot], Iterable[bytes]]) -> None:
        with closing(self._open_snapshot()) as snapshot:
            try:
                for piece in produce(snapshot):
                    write_all(writer, piece)
            except ValueError as error:
                raise OSError(errno.ESTALE, os.strerror(errno.ESTALE)) from error
