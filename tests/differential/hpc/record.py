"""Records what Apptainer does with each line, for the tests to compare with.

    HOME=DIRECTORY python -m tests.differential.hpc.record BUSYBOX.tar [SECTION...]

Run it as a user whose home in /etc/passwd is HOME, below /var/tmp, with apptainer, mksquashfs, squashfuse and
fuse2fs on PATH. The results go to tests/differential/hpc/seen/apptainer.json, or to the file that SEEN names; a
section that is named replaces only itself there.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path

from tests.differential.hpc.run import Program, run_section, sections

SEEN = Path(os.environ.get("SEEN") or Path(__file__).parent / "seen/apptainer.json")


def main(busybox: str, *only: str) -> None:
    seen = json.loads(SEEN.read_text("utf-8")) if SEEN.exists() else {}
    program = Program(os.environ.get("PROGRAM", "apptainer"), dict(os.environ))
    for section in sections():
        if not only or section.name in only:
            with tempfile.TemporaryDirectory(dir="/var/tmp") as directory:
                here = Path(directory) / "work"
                results = run_section(program, section, Path(busybox), here)
            seen[section.name] = {case: result._asdict() for case, result in results.items()}
            SEEN.write_text(json.dumps(seen, indent=1, ensure_ascii=False) + "\n", "utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
