"""Measure the workloads on every file system. Runs as root of a user namespace; writes series to the file it is given.

    python -m benchmarks.filesystem_run SETTINGS.json RESULTS.json

`benchmarks/__main__.py` starts it with unshare(1).
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from benchmarks import layers
from benchmarks.applications import APPLICATIONS, make_inputs
from benchmarks.filesystems import FILE_SYSTEMS, FileSystem, Kind, mounted
from benchmarks.measure import Key, Results, rotated
from benchmarks.servers import usage
from benchmarks.workloads import SCALES, WORKLOADS, Workload, make_lower

MAKING = "mount, and the first answer"


def measure(
    results: Results, workload: Workload, file_system: FileSystem, lower: Path, scratch: Path
) -> None:
    """One workload on a fresh mount: the first run is the cold one, whatever the page cache holds of the layers. What the
    first has left in doubt, access times for one, is asked for in the second; from the third on nothing is new."""
    cold = Key(workload.name, file_system.name, "cold")
    if results.failed(cold):
        return
    try:
        with mounted(file_system, [lower], scratch, copy=workload.changes) as tree:
            server = tree.server
            meter = None if server is None else lambda: usage(server)
            for temperature in ("cold", "second", "warm") if workload.again else ("cold",):
                key = Key(workload.name, file_system.name, temperature)
                results.time(key, lambda: workload.call(tree.root, lower.parent), meter)
    except (OSError, RuntimeError, subprocess.SubprocessError) as error:
        results.fail(cold, error)


def measure_making(results: Results, file_system: FileSystem, lower: Path, scratch: Path) -> None:
    """How long it takes until a tree is there: of a whole copy that is all of its price, for then it is the bare disk."""
    key = Key(MAKING, file_system.name, "cold")
    with mounted(file_system, [lower], scratch, copy=True) as tree:
        os.stat(tree.root / "src")
        results.record(key, tree.seconds)


def main() -> None:
    settings = json.loads(Path(sys.argv[1]).read_text())
    if settings["pin"] is not None:
        os.sched_setaffinity(0, {settings["pin"]})
    scratch = Path(settings["scratch"])
    scale = SCALES[settings["scale"]]
    only, wanted = settings["only"], settings["subjects"]
    subjects = [item for item in FILE_SYSTEMS if not wanted or item.name in wanted]
    workloads = [
        item
        for item in (*WORKLOADS, *APPLICATIONS)
        if (not only or item.name in only) and (item.program is None or shutil.which(item.program))
    ]
    results = Results()
    if workloads or MAKING in only:
        lower = make_lower(scratch, scale)
        if any(item in APPLICATIONS for item in workloads):
            make_inputs(scratch)
        for number in range(settings["rounds"]):
            for subject in rotated(subjects, number) if not only or MAKING in only else []:
                measure_making(results, subject, lower, scratch)
            for workload in workloads:
                print(f"round {number + 1}: {workload.name}", file=sys.stderr)
                for subject in rotated(subjects, number):
                    if subject.kind is not Kind.COPY:
                        measure(results, workload, subject, lower, scratch)
    if not only or set(only) & set(layers.names()):
        rounds = settings["rounds"]
        layers.measure(results, scale, scratch, rounds, subjects=wanted, only=only)
    Path(sys.argv[2]).write_text(json.dumps([series.document() for series in results]))


if __name__ == "__main__":
    main()
