"""How results are printed: aligned tables, JSON, ids in short, sizes and ages for people. stdout is
data.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping, Sequence

from rootless.errors import UsageError

_SHORT_ID = 12


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Columns as Docker aligns them: as wide as the widest cell, three blanks between."""
    lines = [tuple(header), *map(tuple, rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    return "\n".join(
        "   ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def as_json(document: object) -> str:
    """A document for people and programs alike."""
    return json.dumps(document, indent=4, ensure_ascii=False)


def as_json_lines(documents: Iterable[Mapping[str, object]]) -> str:
    """One object a line, as `--format json` of Docker's lists."""
    return "\n".join(
        json.dumps(document, separators=(",", ":"), ensure_ascii=False) for document in documents
    )


def wants_json(form: object) -> bool:
    """Whether --format asks for JSON. Raises UsageError for anything but `json` and `table`."""
    if form in (None, "", "table"):
        return False
    if form in ("json", "{{json .}}"):
        return True
    raise UsageError(f"--format {form!r} is not supported", hint="use --format json")


def short_id(digest: str) -> str:
    """The twelve digits that Docker shows of an id."""
    return digest.removeprefix("sha256:")[:_SHORT_ID]


def human_size(size: int) -> str:
    """Bytes in decimal units with three significant digits, as Docker writes them."""
    value = float(size)
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if value < 1000 or unit == "TB":
            return f"{value:.3g}{unit}"
        value /= 1000
    raise AssertionError("unreachable")


_AGES = (
    (2, "Less than a second", 1),
    (60, "{} seconds", 1),
    (120, "About a minute", 1),
    (46 * 60, "{} minutes", 60),
    (90 * 60, "About an hour", 1),
    (48 * 3600, "{} hours", 3600),
    (14 * 86400, "{} days", 86400),
    (60 * 86400, "{} weeks", 7 * 86400),
    (730 * 86400, "{} months", 30 * 86400),
)


def human_age(seconds: float) -> str:
    """A length of time in Docker's words (go-units HumanDuration)."""
    for below, words, unit in _AGES:
        if seconds < below:
            return words.format(int(seconds // unit))
    return f"{int(seconds // (365 * 86400))} years"


def since(created: str) -> str:
    """How long ago an RFC 3339 time was, in words; N/A if it cannot be read."""
    from datetime import datetime

    try:
        moment = datetime.fromisoformat(created)
    except ValueError:
        return "N/A"
    return f"{human_age(max(0.0, time.time() - moment.timestamp()))} ago"


def shortened(text: str, width: int) -> str:
    """A text cut to a width, with an ellipsis for what is missing."""
    return text if len(text) <= width else text[: width - 1] + "…"
