"""`images`, `history` and `image inspect`: what is in the store."""

from __future__ import annotations

import sys
from typing import Any

from rootless.cli.grammar import Parsed
from rootless.cli.main import Settings, engine_of
from rootless.cli.output import (
    as_json,
    as_json_lines,
    human_size,
    short_id,
    shortened,
    since,
    table,
    wants_json,
)
from rootless.errors import NotFoundError, UsageError

_CREATED_BY_WIDTH = 45


def images(parsed: Parsed, settings: Settings) -> int:
    """List the images of the store."""
    values: Any = parsed.values
    name = parsed.arguments[0] if parsed.arguments else None
    rows = engine_of(settings).images(name, [_filter(text) for text in values["filter"]])
    shown = (lambda digest: digest) if values["no_trunc"] else short_id
    if values["quiet"]:
        seen = dict.fromkeys(shown(row.id) for row in rows)
        _print_lines(list(seen))
        return 0
    if wants_json(values["format"]):
        _print_lines(
            [
                as_json_lines(
                    {
                        "Containers": "N/A",
                        "CreatedAt": row.created,
                        "CreatedSince": since(row.created),
                        "Digest": row.digest,
                        "ID": shown(row.id),
                        "Repository": row.repository,
                        "SharedSize": "N/A",
                        "Size": human_size(row.size),
                        "Tag": row.tag,
                        "UniqueSize": "N/A",
                        "VirtualSize": human_size(row.size),
                    }
                    for row in rows
                )
            ]
            if rows
            else []
        )
        return 0
    digests = bool(values["digests"])
    header = ["REPOSITORY", "TAG", *(["DIGEST"] if digests else []), "IMAGE ID", "CREATED", "SIZE"]
    body = [
        [
            row.repository,
            row.tag,
            *([row.digest] if digests else []),
            shown(row.id),
            since(row.created),
            human_size(row.size),
        ]
        for row in rows
    ]
    print(table(header, body))
    return 0


def history(parsed: Parsed, settings: Settings) -> int:
    """Show the steps that made an image, newest first."""
    values: Any = parsed.values
    entries = engine_of(settings).history(parsed.arguments[0])
    if values["quiet"]:
        _print_lines([entry.id for entry in entries])
        return 0
    full = bool(values["no_trunc"])
    if wants_json(values["format"]):
        _print_lines(
            [
                as_json_lines(
                    {
                        "Comment": entry.comment,
                        "CreatedAt": entry.created,
                        "CreatedBy": entry.created_by,
                        "CreatedSince": since(entry.created),
                        "ID": entry.id,
                        "Size": human_size(entry.size),
                    }
                    for entry in entries
                )
            ]
        )
        return 0
    print(
        table(
            ["IMAGE", "CREATED", "CREATED BY", "SIZE", "COMMENT"],
            [
                [
                    entry.id if full else short_id(entry.id),
                    since(entry.created),
                    entry.created_by if full else shortened(entry.created_by, _CREATED_BY_WIDTH),
                    human_size(entry.size),
                    entry.comment,
                ]
                for entry in entries
            ],
        )
    )
    return 0


def inspect(parsed: Parsed, settings: Settings) -> int:
    """Print a JSON array of image documents; what is not found is said, and the status is 1."""
    wants_json(parsed.values["format"])
    engine = engine_of(settings)
    found, missing = [], 0
    for name in parsed.arguments:
        try:
            found.append(engine.inspect_image(name))
        except NotFoundError as error:
            missing += 1
            print(f"Error: {error.message}", file=sys.stderr)
    print(as_json(found))
    return 1 if missing else 0


def _filter(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals:
        raise UsageError(f"bad format of filter {text!r} (expected name=value)")
    return key, value


def _print_lines(lines: list[str]) -> None:
    for line in lines:
        print(line)
