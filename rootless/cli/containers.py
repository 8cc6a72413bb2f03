"""`ps`, `rm`, `container prune`, `commit`, `export` and `diff`: the containers there are, what
became of them, and fewer of them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from rootless.cli.context import Settings, engine_of
from rootless.cli.formats import print_list
from rootless.cli.grammar import Parsed
from rootless.cli.image_lists import pair_of
from rootless.cli.output import (
    confirmed,
    for_each,
    human_size,
    local_time,
    short_id,
    shortened,
    since,
)
from rootless.containers.record import ContainerRecord
from rootless.containers.status import Status
from rootless.errors import UsageError

_COMMAND_WIDTH = 20
_TITLES = {
    "Command": "COMMAND",
    "CreatedAt": "CREATED AT",
    "ID": "CONTAINER ID",
    "Image": "IMAGE",
    "Labels": "LABELS",
    "LocalVolumes": "LOCAL VOLUMES",
    "Mounts": "MOUNTS",
    "Names": "NAMES",
    "Networks": "NETWORKS",
    "Ports": "PORTS",
    "RunningFor": "CREATED",
    "Size": "SIZE",
    "State": "STATE",
    "Status": "STATUS",
}
_COLUMNS = ["ID", "Image", "Command", "RunningFor", "Status", "Ports", "Names"]
_PRUNE_WARNING = "WARNING! This will remove all stopped containers."


def ps(parsed: Parsed, settings: Settings) -> int:
    """List containers, the newest first; those that have ended only when they are asked for."""
    values: Any = parsed.values
    engine = engine_of(settings)
    last = 1 if values["latest"] else values["last"]
    filters = [pair_of(text) for text in values["filter"]]
    records = engine.find_containers(
        filters, everything=bool(values["all"]) or last is not None, last=last
    )
    full = bool(values["no_trunc"])
    if values["quiet"]:
        for record in records:
            print(record.id if full else short_id(record.id))
        return 0
    sizes = bool(values["size"])
    rows = [
        _row(record, full, human_size(engine.container_size(record.id)) if sizes else "0B")
        for record in records
    ]
    columns = [*_COLUMNS, *(["Size"] if sizes else [])]
    print_list(values["format"], "*formatter.ContainerContext", _TITLES, columns, rows)
    return 0


def rm(parsed: Parsed, settings: Settings) -> int:
    """Remove containers; those that cannot be are said, and the status is 1."""
    engine = engine_of(settings)

    def remove(name: str) -> None:
        engine.remove(name, force=bool(parsed.values["force"]))
        print(name)

    return for_each(parsed.arguments, remove)


def prune(parsed: Parsed, settings: Settings) -> int:
    """Remove every container that has ended."""
    values: Any = parsed.values
    if not values["force"] and not confirmed(_PRUNE_WARNING):
        return 0
    done = engine_of(settings).prune_containers([pair_of(text) for text in values["filter"]])
    if done.names:
        print("Deleted Containers:", *done.names, "", sep="\n")
    print(f"Total reclaimed space: {human_size(done.reclaimed)}")
    return 0


def commit(parsed: Parsed, settings: Settings) -> int:
    """Make an image of a container and print its id."""
    values: Any = parsed.values
    name, *reference = parsed.arguments
    image = engine_of(settings).commit(
        name,
        reference=reference[0] if reference else None,
        author=values["author"] or "",
        message=values["message"] or "",
        changes=values["change"],
        pause=bool(values["pause"]) and not values["no_pause"],
    )
    print(image.id)
    return 0


def export(parsed: Parsed, settings: Settings) -> int:
    """Write a container's files as a tar archive."""
    output: Any = parsed.values["output"]
    if output is None and sys.stdout.isatty():
        raise UsageError("cowardly refusing to save to a terminal", hint="use -o FILE, or redirect")
    engine_of(settings).export(parsed.arguments[0], 1 if output is None else Path(output))
    return 0


def diff(parsed: Parsed, settings: Settings) -> int:
    """List what a container has changed."""
    for kind, path in engine_of(settings).diff(parsed.arguments[0]):
        sys.stdout.buffer.write(b"%b /%b\n" % (kind.encode(), path))
    sys.stdout.buffer.flush()
    return 0


def status_of(record: ContainerRecord) -> str:
    """Docker's STATUS column."""
    if record.status is Status.RUNNING:
        return f"Up {since(record.started).removesuffix(' ago')}"
    if record.status is Status.EXITED:
        return f"Exited ({record.exit_code}) {since(record.finished)}"
    return "Created"


def _row(record: ContainerRecord, full: bool, size: str) -> dict[str, Any]:
    command = " ".join(record.command)
    return {
        "Command": f'"{command if full else shortened(command, _COMMAND_WIDTH)}"',
        "CreatedAt": local_time(record.created),
        "ID": record.id if full else short_id(record.id),
        "Image": record.image or "<rootfs>",
        "Label": lambda key: record.labels.get(str(key), ""),
        "Labels": ",".join(f"{key}={value}" for key, value in record.labels.items()),
        "LocalVolumes": "0",
        "Mounts": "",
        "Names": record.name,
        "Networks": "",
        "Ports": "",
        "RunningFor": since(record.created),
        "Size": size,
        "State": record.status.value,
        "Status": status_of(record),
    }
