"""Measure the workloads on every file system. Runs as root of a user namespace; writes what it has measured to the file that it
is given, after each round.

    python -m benchmarks.filesystem_run SETTINGS.json RESULTS.json

`benchmarks/__main__.py` starts it with unshare(1). If that process dies, this one unmounts everything, removes the scratch
directory and ends.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from errno import ENOSPC
from pathlib import Path

from benchmarks import copy_up, duration, layers
from benchmarks.applications import APPLICATIONS, make_inputs
from benchmarks.filesystems import (
    DISKS,
    FILE_SYSTEMS,
    USED,
    FileSystem,
    Kind,
    loop_disk,
    mounted,
)
from benchmarks.machine import RoundMeter
from benchmarks.measure import Key, Results, rotated
from benchmarks.results_file import write_whole
from benchmarks.scratch import (
    die_with_parent,
    end_children,
    exit_on_signals,
    remove,
    unmount_below,
)
from benchmarks.servers import usage
from benchmarks.workloads import MIB, SCALES, WORKLOADS, Workload, make_lower

MAKING = "mount, and the first answer"


def measure(
    results: Results, workload: Workload, file_system: FileSystem, where: Path, inputs: Path
) -> None:
    """One workload on a fresh mount: the first run is cold, although the page cache may hold the layers. The second asks
    again for what the first has invalidated, for example access times; the third is warm."""
    cold = Key(workload.name, file_system.name, "cold")
    if results.failed(cold):
        return
    try:
        with mounted(file_system, [where / "lower"], where, copy=workload.changes) as tree:
            server = tree.server
            meter = None if server is None else lambda: usage(server)
            for temperature in ("cold", "second", "warm") if workload.again else ("cold",):
                key = Key(workload.name, file_system.name, temperature)
                results.time(key, lambda: workload.call(tree.root, inputs), meter)
    except (OSError, RuntimeError, subprocess.SubprocessError) as error:
        results.fail(cold, error)


def measure_making(results: Results, file_system: FileSystem, where: Path) -> None:
    """How long it takes until a tree is there; of a copy that is all of its price, for then it is the bare disk."""
    key = Key(MAKING, file_system.name, "cold")
    if results.failed(key):
        return
    try:
        with mounted(file_system, [where / "lower"], where, copy=True) as tree:
            os.stat(tree.root / "src")
            results.record(key, tree.seconds)
    except (OSError, RuntimeError, subprocess.SubprocessError) as error:
        results.fail(key, error)


def measure_all(settings: Mapping[str, object], answer: Path) -> None:
    """Take every sample that the settings name; write them to `answer` after each round."""
    scratch, rounds = Path(str(settings["scratch"])), int(str(settings["rounds"]))
    scale = SCALES[str(settings["scale"])]
    names = set(settings["workloads"])  # type: ignore[call-overload]
    wanted = set(settings["subjects"])  # type: ignore[call-overload]
    subjects = [item for item in FILE_SYSTEMS if item.name in wanted]
    workloads = [
        item
        for item in (*WORKLOADS, *APPLICATIONS)
        if item.name in names and (item.program is None or shutil.which(item.program))
    ]
    results = Results()
    lower = make_lower(scratch, scale)
    if any(item in APPLICATIONS for item in workloads):
        make_inputs(scratch)
    with ExitStack() as stack:
        places = {"": scratch}
        for disk in DISKS:
            if any(item.disk == disk for item in subjects):
                places[disk] = stack.enter_context(loop_disk(disk, scratch, lower))
        room = _Room(
            list(places.values()), (scale.big_mib + scale.medium_mib + scale.huge_mib) * MIB
        )
        for number in range(rounds):
            room.make()
            meter = RoundMeter()
            order = rotated(subjects, number)
            try:
                if MAKING in names:
                    for subject in order:
                        measure_making(results, subject, places[subject.disk])
                for workload in workloads:
                    print(f"round {number + 1}: {workload.name}", file=sys.stderr)
                    for subject in order:
                        if subject.kind is not Kind.COPY:
                            measure(results, workload, subject, places[subject.disk], scratch)
                copy_up.measure(results, scale, order, places, sorted(names & set(copy_up.names())))
                layers.measure(results, scale, scratch, number, subjects=wanted, only=names)
                results.rounds.append(meter.finish())
            finally:
                _write(answer, results)
            left = (rounds - number - 1) * results.rounds[-1].seconds
            if left:
                print(f"about {duration.text(left)} left", file=sys.stderr)


class _Room:
    """Room on the disks for the next round. `peak`: bytes that a workload writes and that are removed after it."""

    def __init__(self, places: Sequence[Path], peak: int) -> None:
        self._peak = peak
        self._free = {place: shutil.disk_usage(place).free for place in places}
        self._kept = 0

    def make(self) -> None:
        """Remove the trees of earlier rounds if there may be no room for another round. Raises OSError (ENOSPC) if that
        is not enough."""
        for place, before in self._free.items():
            now = shutil.disk_usage(place).free
            self._kept = max(self._kept, before - now)
            needed = self._peak + self._kept + self._kept // 4
            if now < needed:
                remove(place / USED)
                now = shutil.disk_usage(place).free
            if now < needed:
                reason = f"{now // MIB} MiB free, {needed // MIB} needed for a round"
                raise OSError(ENOSPC, reason, str(place))
            self._free[place] = now


def _write(answer: Path, results: Results) -> None:
    document = {
        "series": [series.document() for series in results],
        "rounds": [asdict(each) for each in results.rounds],
    }
    write_whole(answer, json.dumps(document))


def main() -> None:
    exit_on_signals()
    die_with_parent()
    parent = os.getppid()
    settings = json.loads(Path(sys.argv[1]).read_text())
    if settings["pin"] is not None:
        os.sched_setaffinity(0, {settings["pin"]})
    try:
        measure_all(settings, Path(sys.argv[2]))
    except OSError as error:
        sys.exit(f"benchmarks: {error.filename or settings['scratch']}: {error.strerror}")
    finally:
        # A signal may have come between the start of a server and the mount.
        end_children()
        unmount_below(Path(settings["scratch"]))
        if os.getppid() != parent:
            remove(Path(settings["scratch"]))


if __name__ == "__main__":
    main()
