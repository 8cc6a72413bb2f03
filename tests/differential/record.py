"""Records what docker or podman does with each case, for the tests to compare with.

    python -m tests.differential.record docker BUSYBOX.tar [SECTION...]

Run it with that program on PATH and nothing in its store: what is there is removed. The results go to
tests/differential/seen/docker.json; a section that is named replaces only itself there.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path

from tests.differential.cases import sections
from tests.differential.run import Program, run_section

SEEN = Path(__file__).parent / "seen"


def main(name: str, busybox: str, *only: str) -> None:
    path = SEEN / f"{name}.json"
    seen = json.loads(path.read_text("utf-8")) if path.exists() else {}
    program = Program(name, Path(busybox), dict(os.environ))
    with tempfile.TemporaryDirectory() as directory:
        for section in sections():
            if not only or section.name in only:
                here = Path(directory) / "work" / section.name
                results = run_section(program, section, here)
                seen[section.name] = {case: result._asdict() for case, result in results.items()}
                path.write_text(json.dumps(seen, indent=1, ensure_ascii=False) + "\n", "utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
