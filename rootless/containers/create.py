"""Makes a container's directory under a free name, with its files, and the file of --cidfile."""

from __future__ import annotations

import os

from rootless.containers.random_names import name_for
from rootless.durable import write_all
from rootless.errors import ExistsError, MissingFileError, RootlessError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from rootless.containers.directory import Containers
    from rootless.containers.record import ContainerRecord

_ATTEMPTS = 16


def create_container(
    containers: Containers,
    record: ContainerRecord,
    fill: Callable[[str], None],
    *,
    name: str | None,
    cidfile: str | None,
) -> ContainerRecord:
    """Make the directory and write the --cidfile; returns the record with the name it got.

    Args:
        record: Its own name is not looked at.
        fill: Called with the directory while it is still hidden; what it writes there exists from the
            first moment that the container does.
        name: The name that was asked for, with or without a slash before it; None takes a random one that is free.
        cidfile: A file that must not exist and gets the id.

    Raises:
        ExistsError: the name or the file is taken. Nothing is left then.
    """
    descriptor = None if cidfile is None else _open_cidfile(cidfile)
    try:
        if name is None:
            record = _with_random_name(containers, record, fill)
        else:
            record = _with_name(containers, record._replace(name=name.removeprefix("/")), fill)
    except BaseException:
        if cidfile is not None and descriptor is not None:
            os.close(descriptor)
            os.unlink(cidfile)
        raise
    if descriptor is not None:
        write_all(descriptor, record.id.encode())
        os.close(descriptor)
    return record


def write_readable(path: str, data: bytes) -> None:
    """Make a file that every user of the container may read, whatever the umask is."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    try:
        os.fchmod(descriptor, 0o644)
        write_all(descriptor, data)
    finally:
        os.close(descriptor)


def _with_name(
    containers: Containers, record: ContainerRecord, fill: Callable[[str], None]
) -> ContainerRecord:
    try:
        containers.create(record, fill)
    except ExistsError:
        # The name may be that of a container whose monitor was killed.
        from rootless.containers.reconcile import reconcile

        reconcile(containers)
        containers.create(record, fill)
    return record


def _with_random_name(
    containers: Containers, record: ContainerRecord, fill: Callable[[str], None]
) -> ContainerRecord:
    for attempt in range(_ATTEMPTS):
        named = record._replace(name=name_for(record.id, attempt))
        try:
            containers.create(named, fill)
        except ExistsError:
            continue
        return named
    raise ExistsError("no name is free for the container", hint="choose one with --name")


def _open_cidfile(path: str) -> int:
    try:
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    except FileExistsError:
        raise ExistsError(
            f"container ID file found, make sure the other container isn't running or delete {path}"
        ) from None
    except OSError as error:
        kind = MissingFileError if isinstance(error, FileNotFoundError) else RootlessError
        raise kind(
            f"failed to create the container ID file: open {path}: {(error.strerror or '').lower()}"
        ) from error
