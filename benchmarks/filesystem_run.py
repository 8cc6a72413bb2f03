"""Measure the workloads on every file system. Runs as root of a user namespace; writes series to the file it is given.

    python -m benchmarks.filesystem_run SETTINGS.json RESULTS.json

`benchmarks/__main__.py` starts it with unshare(1).
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path

from benchmarks.filesystems import FILE_SYSTEMS, FileSystem, mounted
from benchmarks.measure import Key, Results, rotated
from benchmarks.workloads import SCALES, WORKLOADS, Workload, make_lower


def measure(
    results: Results, workload: Workload, file_system: FileSystem, lower: Path, scratch: Path
) -> None:
    """One workload on a fresh mount: the first run is the cold one, whatever the page cache holds of the layers."""
    cold = Key(workload.name, file_system.name, "cold")
    if results.of(cold).failure:
        return
    try:
        with mounted(file_system, lower, scratch, copy=workload.changes) as root:
            results.time(cold, lambda: workload.call(root, lower.parent))
            if workload.again:
                warm = Key(workload.name, file_system.name, "warm")
                results.time(warm, lambda: workload.call(root, lower.parent))
    except (OSError, RuntimeError) as error:
        results.of(cold).failure = str(error)


def main() -> None:
    settings = json.loads(Path(sys.argv[1]).read_text())
    if settings["pin"] is not None:
        os.sched_setaffinity(0, {settings["pin"]})
    scratch = Path(settings["scratch"])
    lower = make_lower(scratch, SCALES[settings["scale"]])
    workloads = [
        item
        for item in WORKLOADS
        if (not settings["only"] or item.name in settings["only"])
        and (item.program is None or shutil.which(item.program))
    ]
    subjects = [
        item
        for item in FILE_SYSTEMS
        if not settings["subjects"] or item.name in settings["subjects"]
    ]
    results = Results()
    for number in range(settings["rounds"]):
        for workload in workloads:
            print(f"round {number + 1}: {workload.name}", file=sys.stderr)
            for subject in rotated(subjects, number):
                measure(results, workload, subject, lower, scratch)
    Path(sys.argv[2]).write_text(json.dumps([series.document() for series in results]))


if __name__ == "__main__":
    main()
