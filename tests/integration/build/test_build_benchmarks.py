"""The benchmark of builds at its smallest: every workload has a result."""

import json
import os
import subprocess
import sys

import pytest

from benchmarks.build import MEMORY, WORKLOADS

pytestmark = [pytest.mark.slow, pytest.mark.needs("userns", "fuse", "subuid")]


def test_every_workload_is_measured(tmp_path, debian_image):
    """Without those of the toolchain, whose root file system takes minutes to make."""
    directory = tmp_path / "scratch"
    directory.mkdir()
    document = tmp_path / "results.json"
    names = [name for name in (*WORKLOADS, *MEMORY) if not name.startswith(("C program", "node"))]
    words = [word for name in names for word in ("--only", name)]
    subprocess.run(
        [
            *(sys.executable, "-m", "benchmarks", "build", "--scale", "tiny", "--rounds", "1"),
            *("--subject", "rootless", "--json", document, *words),
        ],
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
        env=os.environ | {"TMPDIR": str(directory)},
    )
    series = json.loads(document.read_text())["series"]
    assert [each["workload"] for each in series] == names
    for each in series:
        assert each["failure"] is None
        assert each["peaks"] if each["workload"] in MEMORY else 0 < each["median"] < 60
