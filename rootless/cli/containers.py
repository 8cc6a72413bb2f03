"""`ps` and `rm`: the containers there are, and fewer of them."""

from __future__ import annotations

import sys
from typing import Any

from rootless.cli.grammar import Parsed
from rootless.cli.main import Settings, engine_of
from rootless.cli.output import as_json_lines, short_id, shortened, since, table, wants_json
from rootless.errors import RootlessError
from rootless.state.record import ContainerRecord
from rootless.state.status import Status

_COMMAND_WIDTH = 20


def ps(parsed: Parsed, settings: Settings) -> int:
    """List containers, the newest first; those that have ended only with --all."""
    values: Any = parsed.values
    records = [
        record
        for record in reversed(engine_of(settings).containers())
        if values["all"] or record.status is Status.RUNNING
    ]
    full = bool(values["no_trunc"])
    if values["quiet"]:
        for record in records:
            print(record.id if full else short_id(record.id))
        return 0
    if wants_json(values["format"]):
        if records:
            print(as_json_lines(_document(record, full) for record in records))
        return 0
    header = ["CONTAINER ID", "IMAGE", "COMMAND", "CREATED", "STATUS", "PORTS", "NAMES"]
    print(
        table(
            header,
            [
                [
                    record.id if full else short_id(record.id),
                    record.image or "<rootfs>",
                    _command(record, full),
                    since(record.created),
                    status_of(record),
                    "",
                    record.name,
                ]
                for record in records
            ],
        )
    )
    return 0


def rm(parsed: Parsed, settings: Settings) -> int:
    """Remove containers; those that cannot be are said, and the status is 1."""
    engine = engine_of(settings)
    status = 0
    for name in parsed.arguments:
        try:
            engine.remove(name, force=bool(parsed.values["force"]))
            print(name)
        except RootlessError as error:
            status = 1
            print(f"Error: {error.message}", file=sys.stderr)
            if error.hint:
                print(f"hint: {error.hint}", file=sys.stderr)
    return status


def status_of(record: ContainerRecord) -> str:
    """Docker's STATUS column."""
    if record.status is Status.RUNNING:
        return f"Up {since(record.started).removesuffix(' ago')}"
    if record.status is Status.EXITED:
        return f"Exited ({record.exit_code}) {since(record.finished)}"
    return "Created"


def _command(record: ContainerRecord, full: bool) -> str:
    text = " ".join(record.command)
    return f'"{text if full else shortened(text, _COMMAND_WIDTH)}"'


def _document(record: ContainerRecord, full: bool) -> dict[str, object]:
    return {
        "Command": _command(record, full),
        "CreatedAt": record.created,
        "ID": record.id if full else short_id(record.id),
        "Image": record.image,
        "Labels": ",".join(f"{key}={value}" for key, value in record.labels.items()),
        "Names": record.name,
        "RunningFor": since(record.created),
        "State": record.status.value,
        "Status": status_of(record),
    }
