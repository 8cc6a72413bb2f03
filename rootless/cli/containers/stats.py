"""`stats`."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

from rootless.cli.containers.chosen import LATEST, with_latest
from rootless.cli.context import Settings, engine_of
from rootless.cli.formats import print_list
from rootless.cli.grammar import Command, Flag, Parsed
from rootless.cli.output import human_size, short_id
from rootless.cli.shared_options import LIST_FORMAT, NO_TRUNC

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rootless.containers.processes.usage import ContainerUsage, SampledContainer
    from rootless.containers.record import ContainerRecord
    from rootless.containers.writable_layers.usage import StorageUsage

_TITLES = {
    "BlockIO": "BLOCK I/O",
    "CPUPerc": "CPU %",
    "Container": "CONTAINER",
    "ID": "CONTAINER ID",
    "MemPerc": "MEM %",
    "MemUsage": "MEM USAGE / LIMIT",
    "Name": "NAME",
    "NetIO": "NET I/O",
    "PIDs": "PIDS",
    "FileServerCPUPerc": "FILE SERVER CPU %",
    "FileServerMemUsage": "FILE SERVER MEM USAGE",
    "StorageUsage": "STORAGE USAGE / LIMIT",
    "StorageInodes": "STORAGE INODES / LIMIT",
}
_COLUMNS = ["ID", "Name", "CPUPerc", "MemUsage", "MemPerc", "NetIO", "BlockIO", "PIDs"]
_INTERVAL = 1.0
_FIRST_INTERVAL = 0.25
"""Seconds between the two samples of --no-stream: processor time is counted in hundredths of one."""
_CLEAR = "\033[H\033[J"

_ALL = Flag(("all", "a"), "Show all containers (default shows just running)")
_NO_STREAM = Flag(("no-stream",), "Disable streaming stats and only pull the first result")


def stats(parsed: Parsed, settings: Settings) -> int:
    """Print what containers use, every second or once."""
    engine = engine_of(settings)
    names: Sequence[str] = tuple(dict.fromkeys(parsed.arguments))
    if parsed[LATEST]:
        names = with_latest(parsed, engine, "stats", most=1)
    everything = parsed[_ALL]
    before = engine.container_usage(names, everything=everything)
    time.sleep(_FIRST_INTERVAL)
    while True:
        now = engine.container_usage(names, everything=everything)
        is_live = not parsed[_NO_STREAM]
        if is_live and sys.stdout.isatty():
            print(_CLEAR, end="")
        _print(parsed, before, now)
        if not is_live:
            return 0
        sys.stdout.flush()
        time.sleep(_INTERVAL)
        before = now


def _print(
    parsed: Parsed, before: Sequence[SampledContainer], now: Sequence[SampledContainer]
) -> None:
    earlier = {record.id: usage for _, record, usage in before}
    rows = [
        _row(name, record, earlier.get(record.id, usage), usage, full=parsed[NO_TRUNC])
        for name, record, usage in now
    ]
    print_list(
        parsed[LIST_FORMAT], "container.statsContext", _TITLES, _COLUMNS, rows, sample=_TITLES
    )


def _row(
    name: str,
    record: ContainerRecord,
    before: ContainerUsage,
    now: ContainerUsage,
    *,
    full: bool,
) -> dict[str, Any]:
    elapsed = now.moment - before.moment
    memory, limit = now.memory, now.memory_limit
    return {
        "BlockIO": f"{human_size(now.read)} / {human_size(now.written)}",
        "CPUPerc": _rate(before.processor_time, now.processor_time, elapsed),
        "Container": name,
        "FileServerCPUPerc": _rate(before.server_time, now.server_time, elapsed),
        "FileServerMemUsage": binary_size(now.server_memory),
        "ID": record.id if full else short_id(record.id),
        "MemPerc": f"{memory / limit * 100 if limit else 0:.2f}%",
        "MemUsage": f"{binary_size(memory)} / {binary_size(limit)}",
        "Name": record.name,
        "NetIO": f"{human_size(now.received)} / {human_size(now.sent)}",
        "PIDs": str(now.processes),
        **_storage(now.storage),
    }


def _storage(usage: StorageUsage | None) -> dict[str, str]:
    """What a limited writable layer holds; `--` for what is not counted, or has no limit."""
    if usage is None:
        return {"StorageUsage": "--", "StorageInodes": "--"}
    size = binary_size(usage.size_limit) if usage.size_limit else "--"
    return {
        "StorageUsage": f"{binary_size(usage.size)} / {size}",
        "StorageInodes": f"{usage.inodes} / {usage.inodes_limit or '--'}",
    }


def _rate(before: float, now: float, elapsed: float) -> str:
    """Processor time as a share of one processor's."""
    share = (now - before) / elapsed if elapsed > 0 and now > before else 0.0
    return f"{share * 100:.2f}%"


def binary_size(size: int) -> str:
    """Bytes in units of 1024 with four significant digits, as Docker writes memory."""
    value = float(size)
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if value < 1024 or unit == "TiB":
            return f"{value:.4g}{unit}"
        value /= 1024
    raise AssertionError("unreachable")


STATS = Command(
    "stats",
    "Display a live stream of container(s) resource usage statistics",
    "[CONTAINER...]",
    (_ALL, LIST_FORMAT, LATEST, NO_TRUNC, _NO_STREAM),
    stats,
    operand="container",
    description="""Display what containers use: those that are named, or all that run. The figures are
those of the container's control group, or, where it has none, of its processes. CPU % is a share of
one processor. A template of --format, and json, also have the file server's own share:
.FileServerCPUPerc and .FileServerMemUsage; and what a writable layer with a limit (run --storage-opt)
holds: .StorageUsage and .StorageInodes.""",
)
