"""python -m benchmarks: measure the union and the engine, and their peers, in one run.

    python -m benchmarks [PART ...] [OPTIONS]
    python -m benchmarks compare A.json B.json

`make bench` sets the machine up first, and measures all parts.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from benchmarks import (
    build,
    duration,
    hpc,
    images,
    lifecycle,
    machine,
    network,
    plot,
    report,
    startup,
    tracing,
    trying,
)
from benchmarks.arguments import PARTS, Plan, parser, plans
from benchmarks.compare import compare
from benchmarks.filesystems import is_root
from benchmarks.measure import Measurement, Results
from benchmarks.results_file import ResultsFile, write_csv
from benchmarks.scratch import exit_on_signals, scratch_directory
from benchmarks.selection import SelectionError
from benchmarks.workloads import MIB, SCALES

_POLL_SECONDS = 0.5
_END_SECONDS = 120


def main() -> None:
    try:
        if sys.argv[1:2] == ["compare"]:
            print(compare(sys.argv[2:]), end="")
            return
        options = parser().parse_args()
        if options.list:
            _list()
            return
        chosen = plans(options)
    except (SelectionError, OSError) as error:
        sys.exit(f"benchmarks: {error}")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    directory = cache / "rootless-benchmarks"
    print(_estimate(chosen, options.scale, options.rounds, directory), file=sys.stderr)
    if options.estimate:
        return
    exit_on_signals()
    description = machine.description()
    settings: dict[str, object] = {
        "rounds": options.rounds,
        "scale": options.scale,
        "only": options.only or [],
        "subjects": options.subject or [],
        "pin": options.pin,
    }
    path = options.json or directory / f"{str(description['when']).replace(':', '')}.json"
    file = ResultsFile(path, description, settings)
    results = Results()
    try:
        with scratch_directory() as scratch:
            if "files" in chosen:
                _require_room(scratch, options.scale)
            _measure(results, chosen, settings, scratch, file)
    except BaseException:
        print(f"interrupted; the results so far: {path}", file=sys.stderr)
        raise
    description["load_at_end"] = os.getloadavg()[0]
    file.machine = description
    document = file.save(results, complete=True)
    print(report.tables(results))
    print(f"results: {path}")
    if options.csv:
        write_csv(options.csv, results)
    if options.plot:
        plot.write(options.plot, document)
        print(f"plots: {options.plot}")


def _measure(
    results: Results,
    chosen: Mapping[str, Plan],
    settings: Mapping[str, object],
    scratch: Path,
    file: ResultsFile,
) -> None:
    """Measure the parts one after the other, and save after each round."""
    rounds, scale = int(str(settings["rounds"])), str(settings["scale"])

    def save() -> None:
        file.save(results)

    def part(name: str, plan: Plan, rounds: int = rounds) -> Measurement:
        directory = scratch / name
        directory.mkdir()
        return Measurement(results, directory, scale, rounds, plan.workloads, plan.subjects, save)

    save()
    if plan := chosen.get("startup"):
        startup.measure(part("startup", plan, rounds * 4))
    if plan := chosen.get("files"):
        _measure_files(results, plan, {**settings, "scratch": str(scratch)}, scratch, file)
    for name, measure in (
        ("lifecycle", lifecycle.measure),
        ("hpc", hpc.measure),
        ("try", trying.measure),
        ("trace", tracing.measure),
        ("network", network.measure),
        ("build", build.measure),
    ):
        if plan := chosen.get(name):
            measure(part(name, plan))
    if plan := chosen.get("images"):
        file.machine |= images.measure(part("images", plan))


def _measure_files(
    results: Results,
    plan: Plan,
    settings: Mapping[str, object],
    scratch: Path,
    file: ResultsFile,
) -> None:
    """Run the workloads in a mount namespace, where every peer can be mounted, by a process of its own. Its results are
    saved whenever it has written them."""
    request, answer = scratch / "settings.json", scratch / "results.json"
    request.write_text(
        json.dumps({**settings, "workloads": plan.workloads, "subjects": plan.subjects})
    )
    user = () if is_root() else ("--user", "--map-root-user")
    namespace = ["unshare", *user, "--mount", "--propagation", "private"]
    argv = [*namespace, sys.executable, "-m", "benchmarks.filesystem_run", request, answer]
    child = subprocess.Popen(argv)
    written = 0
    try:
        while child.poll() is None:
            time.sleep(_POLL_SECONDS)
            if answer.exists() and (now := answer.stat().st_mtime_ns) != written:
                written = now
                both = Results()
                both.add([series.document() for series in results])
                _add(both, answer)
                file.save(both)
    finally:
        if child.poll() is None:
            child.terminate()
            try:
                child.wait(_END_SECONDS)
            except subprocess.TimeoutExpired:
                child.kill()
        if answer.exists():
            _add(results, answer)
            file.save(results)
    if child.returncode:
        sys.exit(child.returncode if child.returncode > 0 else 128 - child.returncode)


def _add(results: Results, answer: Path) -> None:
    document = json.loads(answer.read_text())
    results.add(document["series"])
    results.rounds += [machine.Round(**each) for each in document["rounds"]]


def _list() -> None:
    for part, (workloads, subjects) in PARTS.items():
        print(f"{part}: workloads", *workloads, sep="\n  ")
        print(f"{part}: subjects", *subjects, sep="\n  ")


def _estimate(chosen: Mapping[str, Plan], scale: str, rounds: int, directory: Path) -> str:
    samples = sum(len(plan.workloads) * len(plan.subjects) for plan in chosen.values())
    seconds = samples * rounds * duration.per_sample(duration.earlier_runs(directory), scale)
    return f"{samples} measurements, {rounds} rounds: about {duration.text(seconds)}"


def _require_room(scratch: Path, scale: str) -> None:
    """The lower, a copy of it, and what the workloads write."""
    size = SCALES[scale]
    needed = 4 * (size.big_mib + size.medium_mib + size.huge_mib) * MIB
    free = shutil.disk_usage(scratch).free
    if free < needed:
        sys.exit(
            f"benchmarks: {scratch.parent} has {free // MIB} MiB free and --scale {scale} needs "
            f"{needed // MIB}: set TMPDIR, or choose a smaller scale"
        )


if __name__ == "__main__":
    main()
