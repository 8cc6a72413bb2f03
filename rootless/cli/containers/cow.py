"""`cow`: what copy-up has cost a container, file by file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rootless.cli.context import Settings, engine_of
from rootless.cli.formats import print_document
from rootless.cli.grammar import Command, Flag, Parsed
from rootless.cli.output import human_size, table
from rootless.cli.shared_options import LONG_FORMAT

if TYPE_CHECKING:
    from rootless.supervisor.copy_up_report import CopyLedger, CopyUp

_TOP = 20
_ONLY_TOP = Flag(("top",), "Show the twenty files that wasted most, the worst first")


def cow(parsed: Parsed, settings: Settings) -> int:
    """Print a row a file, in the order of time, or with --top those that wasted most."""
    ledger = engine_of(settings).copy_ledger(parsed.arguments[0])
    records = list(ledger.records)
    if parsed[_ONLY_TOP]:
        records = sorted(records, key=lambda each: -each.wasted)[:_TOP]
    print_document(
        parsed[LONG_FORMAT], _document(ledger, records), lambda: _readable(ledger, records)
    )
    return 0


def _readable(ledger: CopyLedger, records: list[CopyUp]) -> str:
    header = ["FILE", "PROCESS", "SIZE", "COPIED", "CHANGED", "WASTED"]
    rows = table(header, [_row(each) for each in records])
    return (
        f"{rows}\n"
        f"{ledger.files} file{'' if ledger.files == 1 else 's'}: {human_size(ledger.copied)} copied, "
        f"{human_size(ledger.changed)} changed, {_share(ledger.wasted, ledger.copied)} wasted"
    )


def _row(each: CopyUp) -> list[str]:
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


def _document(ledger: CopyLedger, records: list[CopyUp]) -> dict[str, object]:
    return {
        "Written": ledger.written,
        "Finished": ledger.finished,
        "Files": ledger.files,
        "Copied": ledger.copied,
        "Changed": ledger.changed,
        "Wasted": ledger.wasted,
        "Records": [
            {
                "Path": each.path.encode(errors="backslashreplace").decode(),
                "Pid": each.pid,
                "Process": each.process,
                "Size": each.size,
                "Copied": each.copied,
                "Changed": each.changed,
                "Wasted": each.wasted,
                "Lazy": each.lazy,
            }
            for each in records
        ],
    }


COW = Command(
    "cow",
    "Show what copy-up has cost a container",
    "CONTAINER",
    (_ONLY_TOP, LONG_FORMAT),
    cow,
    least=1,
    most=1,
    operand="container",
    description="""Show every file of the image that was copied up so that the container could
change it: the process that caused it, the bytes copied, the bytes changed since, and the share of
the copy that was not needed. The container may be running or not.""",
)
