"""commit and export: the files of a container as an image or as an archive."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from rootless.containers.config import config_of, read_spec
from rootless.containers.timestamps import source_date_epoch, time_of_making
from rootless.errors import RootlessError, UsageError
from rootless.rootfs.read import mountpoints, open_container, reading
from rootless.snapshots.record import WHOLE, Span
from unionfs.model import free_bytes

if TYPE_CHECKING:
    from rootless.containers.record import ContainerRecord
    from rootless.containers.storage_paths import StoragePaths
    from rootless.images.commit import CommitOptions
    from rootless.images.new_image import LoadedImage
    from rootless.store.counting import Moved
    from rootless.store.layout import Store

_RESERVE = 64 << 20
"""Bytes of the disk that stay free."""


def commit_container(
    record: ContainerRecord,
    paths: StoragePaths,
    store: Store,
    environ: Mapping[str, str],
    options: CommitOptions,
    *,
    pause: bool,
    moved: Moved | None = None,
    span: Span = WHOLE,
) -> LoadedImage:
    """An image of the container's image and one more layer. Reads what was changed and nothing
    else.

    With SOURCE_DATE_EPOCH in the environment no time in the layer is later than that, and equal
    changes make equal images. Raises UsageError for a container without an image.
    """
    from rootless.images.commit import commit
    from rootless.store.image import resolve

    if record.rootfs:
        raise UsageError(
            f"container {record.name} was made of {record.rootfs}, not of an image",
            hint="rootless export it, and rootless import the archive",
        )
    base = resolve(store, record.image_id)
    directory = Path(paths.containers.directory(record.id))
    spec = read_spec(directory)
    with open_container(record, paths, store, pause=pause, span=span) as files:
        pieces = files.layer_archive(
            mountpoints(directory),
            room=_room(store.root),
            newest=source_date_epoch(environ),
        )
        return commit(
            store,
            base,
            _whole(pieces, record),
            options,
            created=time_of_making(environ),
            created_by=" ".join(spec["process"]["args"]),
            config=config_of(spec, record, base.config),
            moved=moved,
        )


def export_container(
    record: ContainerRecord,
    paths: StoragePaths,
    store: Store,
    output: Path | int,
    *,
    pause: bool,
    moved: Moved | None = None,
    span: Span = WHOLE,
) -> None:
    """Write the container's whole tree as a tar archive: to a file, which is replaced once it is
    complete, or to a descriptor. `moved` is called with the size of each piece."""
    from rootless.durable import write_all
    from rootless.images.formats.outgoing import new_file

    with open_container(record, paths, store, pause=pause, span=span) as files:
        room = None if isinstance(output, int) or _is_special(output) else _room(output.parent)

        def write(descriptor: int) -> None:
            for piece in _whole(files.tree_archive(room=room), record):
                write_all(descriptor, piece)
                if moved is not None:
                    moved(len(piece))

        try:
            write(output) if isinstance(output, int) else new_file(output, write)
        except BrokenPipeError:
            raise
        except OSError as error:
            where = "standard output" if isinstance(output, int) else output
            raise RootlessError(f"cannot write {where}: {error.strerror}") from error


def _room(directory: str | Path) -> int:
    """Bytes that may be written there."""
    status = os.statvfs(directory)
    return max(0, free_bytes(status.f_blocks, status.f_bavail, status.f_frsize) - _RESERVE)


def _is_special(path: Path) -> bool:
    """Whether it is there and no regular file, such as a pipe."""
    return path.exists() and not path.is_file()


def _whole(pieces: Iterator[bytes], record: ContainerRecord) -> Iterator[bytes]:
    """The pieces. An error in reading them is raised as such, apart from errors in writing."""
    with reading(record):
        yield from pieces
