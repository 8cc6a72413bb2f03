"""commit and export: what a container has become, as an image and as an archive."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rootless.engine.clock import source_date_epoch, time_of_making
from rootless.engine.container_tree import mountpoints, open_container, read_spec
from rootless.errors import RootlessError, UsageError
from rootless.launcher.plan import ANNOTATION_USER

if TYPE_CHECKING:
    from pathlib import Path

    from rootless.engine.places import Places
    from rootless.images.load import LoadedImage
    from rootless.state.record import ContainerRecord
    from rootless.store.layout import Store

_OF_THE_RUN = frozenset({"HOSTNAME", "TERM"})
"""Variables that a container gets because it is one."""


def commit_container(
    record: ContainerRecord,
    places: Places,
    store: Store,
    environ: Mapping[str, str],
    *,
    reference: str | None,
    author: str,
    message: str,
    changes: Sequence[str],
    pause: bool,
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
            f"container {record.name} was made of the directory {record.rootfs}, not of an image",
            hint="rootless export it, and rootless import the archive",
        )
    base = resolve(store, record.image_id)
    directory = places.containers.directory(record.id)
    spec = read_spec(directory)
    with open_container(record, places, store, pause=pause) as snapshot:
        found = snapshot.changes(mountpoints(directory))
        pieces = snapshot.layer_archive(found, newest=source_date_epoch(environ))
        return commit(
            store,
            base,
            _whole(pieces, record),
            created=time_of_making(environ),
            created_by=" ".join(spec["process"]["args"]),
            reference=reference,
            config=config_of(spec, record, base.config),
            author=author,
            message=message,
            changes=changes,
        )


def export_container(
    record: ContainerRecord, places: Places, store: Store, output: Path | int, *, pause: bool
) -> None:
    """Write the container's whole tree as a tar archive: to a file, which is replaced once it is
    complete, or to a descriptor."""
    from rootless.durable import write_all
    from rootless.images.save import new_file

    with open_container(record, places, store, pause=pause) as snapshot:

        def write(descriptor: int) -> None:
            for piece in _whole(snapshot.tree_archive(), record):
                write_all(descriptor, piece)

        if isinstance(output, int):
            if os.isatty(output):
                raise UsageError(
                    "cowardly refusing to save to a terminal", hint="use -o FILE, or redirect"
                )
            write(output)
        else:
            new_file(output, write)


def config_of(
    spec: Mapping[str, Any], record: ContainerRecord, image: Mapping[str, Any]
) -> dict[str, Any]:
    """What to run, as the container ran it (docker commit): the image's config, with the command,
    the variables, the user, the directory and the labels of the container."""
    process = spec["process"]
    config = dict(image)
    entrypoint, arguments = _command(list(process["args"]), image)
    config["Entrypoint"], config["Cmd"] = entrypoint, arguments
    config["Env"] = _variables(process.get("env", []), image)
    user = spec.get("annotations", {}).get(ANNOTATION_USER, "0")
    if user != (image.get("User") or "0"):
        config["User"] = user
    if process["cwd"] != (image.get("WorkingDir") or "/"):
        config["WorkingDir"] = process["cwd"]
    if record.labels:
        config["Labels"] = dict(record.labels)
    return {key: value for key, value in config.items() if value is not None}


def _command(
    words: list[str], image: Mapping[str, Any]
) -> tuple[list[str] | None, list[str] | None]:
    """Entry point and command that were joined; an entry point of --entrypoint is one word."""
    entrypoint = list(image.get("Entrypoint") or ())
    if words[: len(entrypoint)] == entrypoint:
        rest = words[len(entrypoint) :]
        return entrypoint or None, rest or None
    return words[:1], words[1:] or None


def _variables(run: Sequence[str], image: Mapping[str, Any]) -> list[str]:
    given = {entry.partition("=")[0] for entry in image.get("Env") or ()}
    return [
        entry
        for entry in run
        if (name := entry.partition("=")[0]) in given or name not in _OF_THE_RUN
    ]


def _whole(pieces: Iterator[bytes], record: ContainerRecord) -> Iterator[bytes]:
    """The pieces of an archive of files that somebody may be writing to."""
    try:
        yield from pieces
    except (ValueError, FileNotFoundError) as error:
        raise RootlessError(
            f"container {record.name} changed while it was read: {error}",
            hint="leave --pause on",
        ) from error
