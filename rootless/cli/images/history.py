"""`history`."""

from __future__ import annotations

import re

from rootless.cli.context import Settings, engine_of
from rootless.cli.formats import print_list
from rootless.cli.grammar import Command, OnFlag, Parsed
from rootless.cli.output import human_size, short_id, shortened, since
from rootless.cli.shared_options import LIST_FORMAT, NO_TRUNC, PLATFORM, QUIET_IDS, platform_of

_CREATED_BY_WIDTH = 45
_TITLES = {
    "Comment": "COMMENT",
    "CreatedAt": "CREATED AT",
    "CreatedBy": "CREATED BY",
    "CreatedSince": "CREATED",
    "ID": "IMAGE",
    "Size": "SIZE",
}

_HUMAN = OnFlag(("human", "H"), "Print sizes and dates in human readable format (default true)")


def _moment(created: str) -> str:
    """In whole seconds, which docker's engine gives its client."""
    return re.sub(r"\.\d+", "", created)


def history(parsed: Parsed, settings: Settings) -> int:
    """Show the steps that made an image, newest first."""
    entries = engine_of(settings).history(parsed.arguments[0], platform=platform_of(parsed))
    full, human = parsed[NO_TRUNC], parsed[_HUMAN]
    if parsed[QUIET_IDS]:
        for entry in entries:
            print(entry.id if full else short_id(entry.id))
        return 0
    rows = [
        {
            "Comment": entry.comment,
            "CreatedAt": _moment(entry.created),
            "CreatedBy": entry.created_by
            if full
            else shortened(entry.created_by, _CREATED_BY_WIDTH),
            "CreatedSince": since(entry.created) if human else _moment(entry.created),
            "ID": entry.id if full else short_id(entry.id),
            "Size": human_size(entry.size) if human else str(entry.size),
        }
        for entry in entries
    ]
    titles = _TITLES | ({} if human else {"CreatedSince": "CREATED AT"})
    columns = ["ID", "CreatedSince", "CreatedBy", "Size", "Comment"]
    print_list(parsed[LIST_FORMAT], "*formatter.historyContext", titles, columns, rows)
    return 0


HISTORY = Command(
    "history",
    "Show the history of an image",
    "IMAGE",
    (LIST_FORMAT, _HUMAN, NO_TRUNC, PLATFORM, QUIET_IDS),
    history,
    least=1,
    most=1,
    operand="image",
)
