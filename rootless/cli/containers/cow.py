"""`cow`: what copy-up has cost a container, file by file."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

from rootless.cli.context import Settings, engine_of
from rootless.cli.formats import print_document, print_list
from rootless.cli.grammar import Command, Flag, Parsed
from rootless.cli.output import human_size, table
from rootless.cli.shared_options import LIST_FORMAT
from rootless.errors import UsageError
from rootless.gotemplate import Struct

if TYPE_CHECKING:
    from rootless.supervisor.file_servers.copy_up_report import CopiedFile, CopyUpReport

_TOP = 20
_ONLY_TOP = Flag(("top",), "Show the twenty files that wasted most, the worst first")
_WATCH = Flag(("watch",), "Print again every second until the container has ended")
_WATCH_SECONDS = 1.0
_CLEAR = "\033[H\033[2J"
_TITLES = {
    "Path": "FILE",
    "Pid": "PID",
    "Process": "PROCESS",
    "Size": "SIZE",
    "Copied": "COPIED",
    "Changed": "CHANGED",
    "Wasted": "WASTED",
    "Lazy": "LAZY",
}


def cow(parsed: Parsed, settings: Settings) -> int:
    """Print a row per file, in the order of time, or with --top those that wasted most."""
    engine, name = engine_of(settings), parsed.arguments[0]
    if not parsed[_WATCH]:
        _print(engine.copy_up_report(name), parsed)
        return 0
    if parsed[LIST_FORMAT]:
        raise UsageError("conflicting options: --watch and --format")
    shown = None
    try:
        while True:
            report = engine.copy_up_report(name)
            if sys.stdout.isatty():
                sys.stdout.write(_CLEAR)
            if sys.stdout.isatty() or report.records != shown:
                _print(report, parsed)
                sys.stdout.flush()
                shown = report.records
            if report.finished:
                return 0
            time.sleep(_WATCH_SECONDS)
    except KeyboardInterrupt:
        return 0


def _print(report: CopyUpReport, parsed: Parsed) -> None:
    records = list(report.records)
    if parsed[_ONLY_TOP]:
        records = sorted(records, key=lambda each: -each.wasted)[:_TOP]
    form = parsed[LIST_FORMAT]
    if form and form.split(" ", 1)[0] == "table":
        rows = [_record(each) for each in records]
        print_list(form, "copy", _TITLES, list(_TITLES), rows)
        return
    document = _document(report, records)
    # As a row of a list: a field that does not exist is an error.
    shown = document if form == "json" else Struct("copies", document)
    print_document(form, shown, lambda: _readable(report, records))


def _readable(report: CopyUpReport, records: list[CopiedFile]) -> str:
    header = ["FILE", "PROCESS", "SIZE", "COPIED", "CHANGED", "WASTED"]
    rows = table(header, [_row(each) for each in records])
    return (
        f"{rows}\n"
        f"{report.files} file{'' if report.files == 1 else 's'}: {human_size(report.copied)} copied, "
        f"{human_size(report.changed)} changed, {_share(report.wasted, report.copied)} wasted"
    )


def _row(each: CopiedFile) -> list[str]:
    number = str(each.pid) if each.pid else ""
    return [
        each.path.encode(errors="backslashreplace").decode(),
        f"{each.process} ({number})" if each.process else number or "-",
        human_size(each.size),
        human_size(each.copied) + (" (lazy)" if each.lazy else ""),
        human_size(each.changed),
        _share(each.wasted, each.copied),
    ]


def _share(wasted: int, copied: int) -> str:
    """Rounded down: 100 % is a copy of which no byte was needed."""
    return f"{wasted * 1000 // copied / 10:g}%" if copied else "-"


def _document(report: CopyUpReport, records: list[CopiedFile]) -> dict[str, object]:
    return {
        "Written": report.written,
        "Finished": report.finished,
        "Files": report.files,
        "Copied": report.copied,
        "Changed": report.changed,
        "Wasted": report.wasted,
        "Records": [_record(each) for each in records],
    }


def _record(each: CopiedFile) -> dict[str, object]:
    return {
        "Path": each.path.encode(errors="backslashreplace").decode(),
        "Pid": each.pid,
        "Process": each.process,
        "Size": each.size,
        "Copied": each.copied,
        "Changed": each.changed,
        "Wasted": each.wasted,
        "Lazy": each.lazy,
    }


COW = Command(
    "cow",
    "Show what copy-up has cost a container",
    "CONTAINER",
    (_ONLY_TOP, _WATCH, LIST_FORMAT),
    cow,
    least=1,
    most=1,
    operand="container",
    description="""Show every file of the image that was copied up so that the container could
change it: the process that caused it, the bytes copied, the bytes changed since, and the share of
the copy that was not needed. The container may be running or not. A template of --format gets the
sums, and the files as .Records; after the word table, one file a row.""",
)
