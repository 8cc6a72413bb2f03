"""What a container has changed and what it is, read where its files have their owners.

Under the storage driver unionfs the owners are data, and this process reads. Kernel overlayfs keeps
them on disk as ids of the host: there a process in a user namespace with the container's maps reads,
to which they are those of the container, and which may read all of them.
"""

from __future__ import annotations

import errno
import marshal
import os
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import closing
from typing import TYPE_CHECKING

from rootless.durable import write_all
from rootless.runtime.user_namespace import call_in_user_namespace

if TYPE_CHECKING:
    from rootless.runtime.idmap import IdMaps
    from unionfs.changes import Snapshot

_PIECE = 1 << 20


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

    def layer_archive(
        self, mountpoints: Collection[bytes], *, newest: int | None = None
    ) -> Iterator[bytes]:
        """The changes as an OCI layer, in pieces: `Snapshot.layer_archive`."""
        return self._pieces(
            lambda snapshot: snapshot.layer_archive(snapshot.changes(mountpoints), newest=newest)
        )

    def tree_archive(self) -> Iterator[bytes]:
        """The whole merged tree as an archive, in pieces."""
        return self._pieces(lambda snapshot: snapshot.tree_archive())

    def _pieces(self, produce: Callable[[Snapshot], Iterable[bytes]]) -> Iterator[bytes]:
        if self._maps is None:
            with closing(self._open_snapshot()) as snapshot:
                yield from produce(snapshot)
            return
        reader, writer = os.pipe2(os.O_CLOEXEC)
        pid = os.fork()
        if pid == 0:
            _produce(self._maps, lambda: self._write(writer, produce), reader)
        os.close(writer)
        try:
            while piece := os.read(reader, _PIECE):
                yield piece
        finally:
            # The producer gets EPIPE, and ends.
            os.close(reader)
            _, status = os.waitpid(pid, 0)
        if number := os.waitstatus_to_exitcode(status):
            raise OSError(abs(number), os.strerror(abs(number)))

    def _write(self, writer: int, produce: Callable[[Snapshot], Iterable[bytes]]) -> None:
        with closing(self._open_snapshot()) as snapshot:
            try:
                for piece in produce(snapshot):
                    write_all(writer, piece)
            except ValueError as error:
                raise OSError(errno.ESTALE, os.strerror(errno.ESTALE)) from error


def _produce(maps: IdMaps, action: Callable[[], None], reader: int) -> None:
    """The program of the process between: it waits for the one in the namespace, and ends with its
    errno. Never returns."""
    status = errno.EIO
    try:
        os.close(reader)
        call_in_user_namespace(maps, action)
        status = 0
    except OSError as error:
        status = error.errno or errno.EIO
    finally:
        os._exit(status)
