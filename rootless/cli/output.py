"""Output of results: aligned tables, JSON, short ids, sizes and ages. stdout is for data."""

from __future__ import annotations

import sys
import time

from rootless.cli.escape import escaped
from rootless.errors import NotFoundError, RootlessError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

_SHORT_ID = 12
_LEAST_WIDTH = 10
_GAP = 3


def table(
    header: Sequence[str], rows: Iterable[Sequence[str]], *, least_width: int = _LEAST_WIDTH
) -> str:
    """Columns as Docker aligns them (text/tabwriter): as wide as the widest cell and three blanks,
    at least `least_width`. A row stays in its line, whatever an image says of itself."""
    lines = [tuple(header), *(tuple(map(in_a_line, row)) for row in rows)]
    widths = [
        max(least_width, *(len(line[column]) + _GAP for line in lines))
        for column in range(len(header))
    ]
    return "\n".join(
        "".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def in_a_line(text: str) -> str:
    """Without what breaks lines or speaks to a terminal."""
    if text.isprintable():
        return text
    return escaped("".join(" " if each in "\t\n\r" else each for each in text))


def as_json(document: object, indent: int | str = 4) -> str:
    """A document for people and programs alike. Lone surrogates and all control characters are written as JSON's escapes
    of them."""
    import json

    text = json.dumps(document, indent=indent, ensure_ascii=False)
    if text.isascii() and "\x7f" not in text:
        return text
    return "".join(f"\\u{ord(each):04x}" if _is_escaped(each) else each for each in text)


def _is_escaped(character: str) -> bool:
    """Of those that json leaves as they are."""
    return "\x7f" <= character <= "\x9f" or "\ud800" <= character <= "\udfff"


def confirmed(warning: str) -> bool:
    """Whether the user answers yes to docker's prompt; the end of input is a no."""
    print(warning)
    print("Are you sure you want to continue? [y/N] ", end="", flush=True)
    try:
        answer = input()
    except EOFError:
        answer = ""
        print()
    return answer.strip().lower() == "y"


def for_each(
    names: Iterable[str],
    act: Callable[[str], None],
    *,
    missing_is_fine: bool = False,
    ignore_missing: bool = False,
) -> int:
    """Do it for each name. An error is printed for each that fails, and the status is 1; with
    `missing_is_fine` one that does not exist leaves it 0 (docker rm --force), and with `ignore_missing`
    it is not mentioned either (podman rm --ignore).
    """
    status = 0
    for name in names:
        try:
            act(name)
        except RootlessError as error:
            if ignore_missing and isinstance(error, NotFoundError):
                continue
            if not (missing_is_fine and isinstance(error, NotFoundError)):
                status = 1
            print(f"Error: {escaped(error.message)}", file=sys.stderr)
            if error.hint:
                print(f"hint: {escaped(error.hint)}", file=sys.stderr)
    return status


def pruned_images(*, everything: bool) -> str:
    """The removed images, in docker's words."""
    if everything:
        return "all images without at least one container associated to them"
    return "all dangling images"


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


def local_time(created: str) -> str:
    """An RFC 3339 time as Docker's CreatedAt writes it (Go's Time.String, in the local zone)."""
    from datetime import datetime

    try:
        moment = datetime.fromisoformat(created).astimezone()
    except ValueError:
        return "N/A"
    return moment.strftime("%Y-%m-%d %H:%M:%S %z %Z")


def human_age(seconds: float) -> str:
    """A length of time in Docker's words (go-units HumanDuration, which rounds hours and cuts the rest)."""
    whole, minutes, hours = int(seconds), int(seconds // 60), int(seconds / 3600 + 0.5)
    if whole < 60:
        return {0: "Less than a second", 1: "1 second"}.get(max(whole, 0), f"{whole} seconds")
    if minutes < 60:
        return "About a minute" if minutes == 1 else f"{minutes} minutes"
    if hours < 48:
        return "About an hour" if hours == 1 else f"{hours} hours"
    for below, unit, name in ((14, 1, "days"), (60, 7, "weeks"), (730, 30, "months")):
        if hours < 24 * below:
            return f"{hours // 24 // unit} {name}"
    return f"{int(seconds // 3600) // 24 // 365} years"


def since(created: str) -> str:
    """How long ago an RFC 3339 time was, in words; N/A if it cannot be read."""
    from datetime import datetime

    try:
        moment = datetime.fromisoformat(created)
    except ValueError:
        return "N/A"
    if moment.year == 1:
        return "N/A"  # Go's zero time, by which an image says that it does not know
    return f"{human_age(max(0.0, time.time() - moment.timestamp()))} ago"


def shortened(text: str, width: int) -> str:
    """A text cut to a width, with an ellipsis for what is missing."""
    return text if len(text) <= width else text[: width - 1] + "…"
