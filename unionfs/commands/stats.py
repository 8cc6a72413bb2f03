"""rootless-unionfs stats MOUNT [--json]: print the counters of the server of a mount."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from unionfs.commands.arguments import UsageError
from unionfs.commands.control import ask_server
from unionfs.session.counters import STATISTICS

USAGE = "usage: rootless-unionfs stats MOUNT [--json]"


def stats(arguments: Sequence[str]) -> str:
    """The output of `stats ARGUMENTS`. Raises OSError, UsageError."""
    wants_json = "--json" in arguments
    places = [argument for argument in arguments if argument != "--json"]
    if len(places) != 1 or places[0].startswith("-"):
        raise UsageError(USAGE)
    document = read(places[0])
    return document if wants_json else table(document)


def read(mountpoint: str) -> str:
    """The counters as JSON: `session`, `errors`, `faults`; `operations`, a list with `operation`,
    `requests`, `nanoseconds` and `bytes` of each; and `copies`: `files`, `size`, `copied`, `changed` of
    all, and `records`, a list with `path`, `pid`, `process`, `size`, `copied`, `changed` and `lazy` of
    those that cost most.

    Raises OSError; ENODATA where no server of ours answers, or not this user.
    """
    return ask_server(mountpoint, STATISTICS).decode()


def table(document: str) -> str:
    """The counters for people: a line an operation, those that took most time first."""
    known = json.loads(document)
    lines = [f"{'operation':16}{'requests':>12}{'total ms':>12}{'mean us':>10}{'MiB':>10}"]
    for item in sorted(known["operations"], key=lambda item: -item["nanoseconds"]):
        requests, nanoseconds = item["requests"], item["nanoseconds"]
        lines.append(
            f"{item['operation']:16}{requests:12}{nanoseconds / 1e6:12.1f}"
            f"{nanoseconds / 1e3 / requests:10.1f}{item['bytes'] / (1 << 20):10.1f}"
        )
    lines.append(
        f"{known['session']} session; {known['errors']} replies with an errno, "
        f"{known['faults']} faults of the server"
    )
    return "\n".join([*lines, *_copies(known["copies"])])


def _copies(known: dict[str, Any]) -> list[str]:
    """A line a file that was copied up, none if there are none."""
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
