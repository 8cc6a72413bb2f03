"""rootless-unionfs top: shows what the server of a mount does."""

from __future__ import annotations

import json
import os
import sys
import time
from argparse import ArgumentParser
from collections.abc import Mapping, Sequence
from errno import ENODATA, ENOENT, ENOTCONN
from typing import Any

from unionfs.commands.latency import difference, duration, percentile
from unionfs.commands.stats import read

_CLEAR = "\033[H\033[2J"
_GONE = (ENODATA, ENOTCONN, ENOENT)


def top(arguments: Sequence[str]) -> int:
    """Print a table per interval, on a terminal in place of the one before, until the mount ends, a
    signal, or --count tables. Returns 0. Raises OSError: ENODATA if there is no such mount at the
    start."""
    parser = ArgumentParser(
        prog="rootless-unionfs top",
        description="Show the operations of a mount per second, their latencies, and the files copied up.",
    )
    parser.add_argument("mountpoint", metavar="MOUNT")
    parser.add_argument(
        "-i", "--interval", type=_interval, default=1.0, metavar="SECONDS", help="default 1"
    )
    parser.add_argument("-n", "--count", type=int, default=0, help="tables to print; 0: no limit")
    asked = parser.parse_args(arguments)
    before, then = json.loads(read(asked.mountpoint)), time.monotonic()
    printed = 0
    try:
        while not asked.count or printed < asked.count:
            time.sleep(asked.interval)
            try:
                now = json.loads(read(asked.mountpoint))
            except OSError as error:
                if error.errno in _GONE:
                    break
                raise
            moment = time.monotonic()
            start = _CLEAR if sys.stdout.isatty() else ""
            print(start + interval_table(before, now, moment - then), flush=True)
            before, then = now, moment
            printed += 1
    except KeyboardInterrupt:
        pass
    except BrokenPipeError:
        # `top ... | head`: the interpreter must not report it once more when it flushes at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def interval_table(before: Mapping[str, Any], now: Mapping[str, Any], seconds: float) -> str:
    """What two documents of counters, `seconds` apart, say of the time between them: the operation
    that took most time first."""
    known = {item["operation"]: item for item in before["operations"]}
    rows = []
    for item in now["operations"]:
        old = known.get(item["operation"], {})
        requests = item["requests"] - old.get("requests", 0)
        if requests <= 0:
            continue
        spent = item["nanoseconds"] - old.get("nanoseconds", 0)
        histogram = difference(item["histogram"], old.get("histogram", ()))
        moved = item["bytes"] - old.get("bytes", 0)
        row = (
            f"{item['operation']:16}{requests / seconds:>12.1f}{duration(spent / requests):>10}"
            f"{duration(percentile(histogram, 0.99)):>10}{spent / seconds / 1e7:>8.1f}"
            f"{moved / seconds / (1 << 20):>10.1f}"
        )
        rows.append((spent, row))
    copies, old_copies = now["copies"], before["copies"]
    copied = copies["copied"] - old_copies["copied"]
    lines = [f"{'operation':16}{'requests/s':>12}{'mean':>10}{'p99':>10}{'busy %':>8}{'MiB/s':>10}"]
    lines += [row for _, row in sorted(rows, reverse=True)]
    lines.append(
        f"{now['errors'] - before['errors']} replies with an errno, "
        f"{now['faults'] - before['faults']} faults; {copies['files'] - old_copies['files']} files "
        f"copied up, {copied / (1 << 20):.1f} MiB"
    )
    return "\n".join(lines) + "\n"


def _interval(text: str) -> float:
    seconds = float(text)
    if not 0.05 <= seconds <= 3600:
        raise ValueError(text)
    return seconds
