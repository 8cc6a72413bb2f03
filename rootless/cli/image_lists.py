"""`images` and `history`: what is in the store."""

from __future__ import annotations

from typing import Any

from rootless.cli.context import Settings, engine_of
from rootless.cli.formats import print_list
from rootless.cli.grammar import Parsed
from rootless.cli.output import human_size, local_time, short_id, shortened, since
from rootless.errors import UsageError

_CREATED_BY_WIDTH = 45
_IMAGE_TITLES = {
    "Containers": "CONTAINERS",
    "CreatedAt": "CREATED AT",
    "CreatedSince": "CREATED",
    "Digest": "DIGEST",
    "ID": "IMAGE ID",
    "Repository": "REPOSITORY",
    "SharedSize": "SHARED SIZE",
    "Size": "SIZE",
    "Tag": "TAG",
    "UniqueSize": "UNIQUE SIZE",
    "VirtualSize": "VIRTUAL SIZE",
}
_HISTORY_TITLES = {
    "Comment": "COMMENT",
    "CreatedAt": "CREATED AT",
    "CreatedBy": "CREATED BY",
    "CreatedSince": "CREATED",
    "ID": "IMAGE",
    "Size": "SIZE",
}


def images(parsed: Parsed, settings: Settings) -> int:
    """List the images of the store."""
    values: Any = parsed.values
    name = parsed.arguments[0] if parsed.arguments else None
    engine = engine_of(settings)
    rows = engine.images(name, [pair_of(text) for text in values["filter"]])
    full = bool(values["no_trunc"])
    if values["quiet"]:
        for shown in dict.fromkeys(row.id if full else short_id(row.id) for row in rows):
            print(shown)
        return 0
    columns = ["Repository", "Tag", *(["Digest"] if values["digests"] else [])]
    print_list(
        values["format"],
        "*formatter.imageContext",
        _IMAGE_TITLES,
        [*columns, "ID", "CreatedSince", "Size"],
        [
            {
                "Containers": "N/A",
                "CreatedAt": local_time(row.created),
                "CreatedSince": since(row.created),
                "Digest": row.digest,
                "ID": row.id if full else short_id(row.id),
                "Repository": row.repository,
                "SharedSize": "N/A",
                "Size": human_size(row.size),
                "Tag": row.tag,
                "UniqueSize": "N/A",
                "VirtualSize": human_size(row.size),
            }
            for row in rows
        ],
    )
    return 0


def history(parsed: Parsed, settings: Settings) -> int:
    """Show the steps that made an image, newest first."""
    values: Any = parsed.values
    entries = engine_of(settings).history(parsed.arguments[0], platform=values["platform"])
    full, human = bool(values["no_trunc"]), bool(values["human"])
    if values["quiet"]:
        for entry in entries:
            print(entry.id if full else short_id(entry.id))
        return 0
    rows = [
        {
            "Comment": entry.comment,
            "CreatedAt": entry.created,
            "CreatedBy": entry.created_by
            if full
            else shortened(entry.created_by, _CREATED_BY_WIDTH),
            "CreatedSince": since(entry.created) if human else entry.created,
            "ID": entry.id if full else short_id(entry.id),
            "Size": human_size(entry.size) if human else str(entry.size),
        }
        for entry in entries
    ]
    titles = _HISTORY_TITLES | ({} if human else {"CreatedSince": "CREATED AT"})
    columns = ["ID", "CreatedSince", "CreatedBy", "Size", "Comment"]
    print_list(values["format"], "*formatter.historyContext", titles, columns, rows)
    return 0


def pair_of(text: str) -> tuple[str, str]:
    """The two sides of a --filter. Raises UsageError."""
    key, equals, value = text.partition("=")
    if not equals:
        raise UsageError(f"invalid argument {text!r}: bad format of filter (expected name=value)")
    return key.strip().lower(), value.strip()
