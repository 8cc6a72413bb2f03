"""python -m benchmarks: measure us and our peers in one run. As an ordinary user; `make bench` sets the machine up first."""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import images, layers, plot, report, startup
from benchmarks.applications import APPLICATIONS
from benchmarks.filesystem_run import MAKING
from benchmarks.filesystems import FILE_SYSTEMS
from benchmarks.measure import Results
from benchmarks.workloads import SCALES, WORKLOADS

PARTS = ("startup", "files", "images")
FILES = [MAKING, *[item.name for item in (*WORKLOADS, *APPLICATIONS)], *layers.names()]


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "part",
        nargs="*",
        metavar="PART",
        help=f"what to measure: {', '.join(PARTS)} (default all)",
    )
    parser.add_argument("--rounds", type=int, default=5, help="samples of each (default 5)")
    parser.add_argument(
        "--scale", choices=SCALES, default="normal", help="how many files, how large"
    )
    parser.add_argument(
        "--only", action="append", metavar="WORKLOAD", help="may be repeated; --list shows them"
    )
    parser.add_argument(
        "--subject", action="append", metavar="NAME", help="may be repeated; default all"
    )
    parser.add_argument(
        "--pin", type=int, metavar="CPU", help="run clients and servers on this processor"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="where to write the numbers")
    parser.add_argument(
        "--plot", type=Path, metavar="DIRECTORY", help="where to draw the ratios, as SVG"
    )
    parser.add_argument("--list", action="store_true", help="list workloads and subjects")
    options = parser.parse_args()
    if unknown := set(options.part) - set(PARTS):
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    return options


def machine() -> dict[str, object]:
    """What a reader needs to know about where this was measured. No names of hosts or people."""
    cpu = next(
        (
            line.split(":", 1)[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        ),
        platform.machine(),
    )
    memory = int(Path("/proc/meminfo").read_text().split()[1]) // 1024
    kind = subprocess.run(
        ["stat", "-f", "-c", "%T", tempfile.gettempdir()],
        capture_output=True,
        text=True,
        check=True,
    )
    return {
        "kernel": platform.release(),
        "processors": os.cpu_count(),
        "processor": cpu,
        "memory_mib": memory,
        "file_system": kind.stdout.strip(),
        "python": platform.python_version(),
        "load": os.getloadavg()[0],
        "when": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def measure_file_systems(results: Results, settings: dict[str, object], scratch: Path) -> None:
    """Run the workloads in a user and mount namespace, where every peer can be mounted."""
    request, answer = scratch / "settings.json", scratch / "results.json"
    request.write_text(json.dumps(settings))
    namespace = ["unshare", "--user", "--map-root-user", "--mount", "--propagation", "private"]
    argv = [*namespace, sys.executable, "-m", "benchmarks.filesystem_run", request, answer]
    subprocess.run(argv, check=True)
    results.add(json.loads(answer.read_text()))


def main() -> None:
    options = parse()
    if options.list:
        print("workloads:", *[startup.WORKLOAD, *FILES], sep="\n  ")
        print("images:", *[item.name for item in images.OPERATIONS], sep="\n  ")
        print("file systems:", *[item.name for item in FILE_SYSTEMS], sep="\n  ")
        return
    only, subjects = options.only or [], options.subject or []
    parts = {
        "startup": {startup.WORKLOAD},
        "files": set(FILES),
        "images": {item.name for item in images.OPERATIONS},
    }
    wanted = {
        part
        for part, names in parts.items()
        if (not options.part or part in options.part) and (not only or names & set(only))
    }
    description = machine()
    facts: dict[str, str] = {}
    results = Results()
    with tempfile.TemporaryDirectory(prefix="rl-bench-", ignore_cleanup_errors=True) as directory:
        scratch = Path(directory)
        settings: dict[str, object] = {
            "rounds": options.rounds,
            "scale": options.scale,
            "only": only,
            "subjects": subjects,
            "pin": options.pin,
        }
        if "startup" in wanted:
            startup.measure(results, scratch, options.rounds * 4, subjects)
        if "files" in wanted:
            measure_file_systems(results, settings | {"scratch": directory}, scratch)
        if "images" in wanted:
            (scratch / "images").mkdir()
            facts = images.measure(
                results,
                scratch / "images",
                scale=options.scale,
                rounds=options.rounds,
                only=only,
                subjects=subjects,
            )
            description |= facts
        subprocess.run(
            ["podman", "unshare", "rm", "-rf", scratch / "podman"], check=False, capture_output=True
        )
    print(report.tables(results))
    description["load_at_end"] = os.getloadavg()[0]
    for fact in ("load", "load_at_end", *facts):
        print(f"{fact}: {description[fact]}")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    path = (
        options.json
        or cache / f"rootless-benchmarks/{str(description['when']).replace(':', '')}.json"
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(report.document(results, description, settings), indent=1) + "\n")
    print(f"numbers: {path}")
    if options.plot:
        plot.write(options.plot, report.document(results, description, settings))
        print(f"plots: {options.plot}")


if __name__ == "__main__":
    main()
