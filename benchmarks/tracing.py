"""What a trace costs: a command in `rootless try --trace`, beside the same without the option, and under strace(1) in it.

Measured is the processor time, user and system, of everything that a run starts: client, monitor, file server and command. The
time that passes says little about a few per cent where others use the machine too.
"""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path

from benchmarks.measure import Key, Measurement
from benchmarks.scratch import adopt_orphans, wait_for_orphans
from benchmarks.trying import SIZES, make_work_tree

FIND = "trace: find in a work tree"
SEARCH = "trace: grep -r in a work tree"
BUILD = "trace: build of C files"
WORKLOADS = (FIND, SEARCH, BUILD)
UNTRACED, TRACED, STRACE = "untraced", "traced", "strace"
NAMES = (UNTRACED, TRACED, STRACE)

_COMMANDS = {
    FIND: "find . -name no-such-name",
    SEARCH: "grep -rq 'no such text' . || true",
    BUILD: "for i in 0 1 2 3 4 5 6 7 8 9; do gcc -c -o src/f$i.o source.c; done",
}
_SOURCE = '#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>\nint main(void) { return puts(""); }\n'


def measure(measurement: Measurement) -> None:
    """Time every workload with every subject."""
    scratch = measurement.scratch
    work = scratch / "work"
    make_work_tree(work, SIZES[measurement.scale].files)
    (work / "source.c").write_text(_SOURCE)

    adopt_orphans()

    def sample(workload: str, subject: str) -> None:
        key = Key(workload, subject, "cold")
        measurement.results.time(key, lambda: _run(scratch, subject, workload))

    missing = {STRACE} if shutil.which("strace") is None else set()
    measured = [name for name in NAMES if name in measurement.subjects and name not in missing]
    measurement.sample_in_rounds(measured, sample)


def _run(scratch: Path, subject: str, workload: str) -> float:
    """Returns the seconds of processor time."""
    options = [f"--trace={scratch}/trace.json"] if subject == TRACED else []
    prefix = ["strace", "-f", "-o", "/dev/null", "-e", "trace=%file"] if subject == STRACE else []
    rootless = (sys.executable, "-m", "rootless")
    before = _processor_time()
    done = subprocess.run(
        [*rootless, "try", "--drop", *options, "--", *prefix, "sh", "-c", _COMMANDS[workload]],
        cwd=scratch / "work",
        env=os.environ | {"XDG_DATA_HOME": str(scratch / "data")},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=600,
        check=False,
    )
    wait_for_orphans()
    if done.returncode:
        raise RuntimeError(done.stderr.decode(errors="replace").strip()[-300:])
    return _processor_time() - before


def _processor_time() -> float:
    """Of all processes that were waited for, in seconds."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
