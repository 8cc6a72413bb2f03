"""rootless-unionfs stats MOUNT [--json|--histogram]: print the counters of the server of a mount."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from unionfs.commands.arguments import UsageError
from unionfs.commands.control import ask_server
from unionfs.commands.latency import bars, duration, percentile
from unionfs.session.counters import STATISTICS

USAGE = "usage: rootless-unionfs stats MOUNT [--json|--histogram]"


def stats(arguments: Sequence[str]) -> str:
    """The output of `stats ARGUMENTS`. Raises OSError, UsageError."""
    flags = [argument for argument in arguments if argument in ("--json", "--histogram")]
    places = [argument for argument in arguments if argument not in flags]
    if len(places) != 1 or len(flags) > 1 or places[0].startswith("-"):
        raise UsageError(USAGE)
    document = read(places[0])
    if flags == ["--json"]:
        return document
    return histograms(document) if flags else table(document)


def read(mountpoint: str) -> str:
    """The counters as JSON: `session`, `errors`, `faults`; `operations`, a list with `operation`,
    `requests`, `nanoseconds`, `bytes` and `histogram` (see `latency`) of each; and `copies`: `files`, `size`, `copied`, `changed`
    of all, and `records`, a list with `path`, `pid`, `process`, `size`, `copied`, `changed` and `lazy` of
    those that cost most.

    Raises OSError as `ask_server` does.
    """
    return ask_server(mountpoint, STATISTICS).decode()


def table(document: str) -> str:
    """The counters as a table: a line per operation, those that took most time first."""
    known = json.loads(document)
    columns = "".join(f"{name:>10}" for name in ("mean", "p50", "p90", "p99", "MiB"))
    lines = [f"{'operation':16}{'requests':>12}{'total ms':>12}{columns}"]
    for item in sorted(known["operations"], key=lambda item: -item["nanoseconds"]):
        requests, nanoseconds = item["requests"], item["nanoseconds"]
        parts = (percentile(item["histogram"], part) for part in (0.5, 0.9, 0.99))
        latencies = "".join(f"{duration(each):>10}" for each in (nanoseconds / requests, *parts))
        lines.append(
            f"{item['operation']:16}{requests:12}{nanoseconds / 1e6:12.1f}"
            f"{latencies}{item['bytes'] / (1 << 20):10.1f}"
        )
    lines.append(
        f"{known['session']} session; {known['errors']} replies with an errno, "
        f"{known['faults']} faults of the server"
    )
    return "\n".join([*lines, *_copies(known["copies"])])


def histograms(document: str) -> str:
    """The latencies of each operation, a bar per power of two nanoseconds."""
    lines: list[str] = []
    for item in sorted(json.loads(document)["operations"], key=lambda item: -item["nanoseconds"]):
        lines += [f"{item['operation']}: {item['requests']} requests", *bars(item["histogram"])]
    return "\n".join(lines)


def _copies(known: dict[str, Any]) -> list[str]:
    """A line per file that was copied up."""
    if not known["files"]:
        return []
    lines = ["", f"{'copied up':40}{'process':20}{'KiB':>12}{'copied':>12}{'changed':>12}"]
    for item in known["records"]:
        process = f"{item['process']} ({item['pid']})" if item["pid"] else "-"
        copied = f"{item['copied'] / 1024:.1f}" + ("*" if item["lazy"] else "")
        path = item["path"].encode(errors="backslashreplace").decode()
        lines.append(
            f"{path:40}{process:20}{item['size'] / 1024:12.1f}{copied:>12}"
            f"{item['changed'] / 1024:12.1f}"
        )
    lines.append(
        f"{known['files']} files: {known['copied'] / 1024:.1f} KiB copied, "
        f"{known['changed'] / 1024:.1f} changed; * lazily"
    )
    return lines
