"""The benchmarks at their smallest: every kind of measurement gives figures, and nothing done is no figure."""

import json
import os
import re
import subprocess
import sys
from xml.etree import ElementTree as ET

import pytest

from benchmarks.workloads import require

ONLY = (
    "find",
    "untar",
    "rm -rf",
    "git status",
    "open+read+close, 2 clients",
    "first write, large lower file",
    "mount, and the first answer",
    "mount, 8 layers",
)


def bench(*arguments: str, cwd) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "unionfs", "bench", *arguments],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env=os.environ | {"TMPDIR": str(cwd)},
    )


@pytest.mark.needs("userns", "fuse", "overlay", "fuse-overlayfs")
def test_bench_measures_everybody_alike_and_draws_it(tmp_path):
    numbers, plots = tmp_path / "numbers.json", tmp_path / "plots"
    only = [argument for name in ONLY for argument in ("--only", name)]
    where = ("--json", str(numbers), "--plot", str(plots))
    done = bench("--scale", "tiny", "--rounds", "1", *only, *where, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "failed" not in done.stdout, done.stdout
    document = json.loads(numbers.read_text())
    found = {(item["workload"], item["subject"]): item for item in document["series"]}
    for name in ("find", "untar"):
        for subject in ("unionfs device", "fuse-overlayfs", "kernel overlayfs", "bare disk"):
            assert found[name, subject]["seconds"], (name, subject)
    for subject in ("unionfs device", "unionfs chain", "fuse-overlayfs"):
        walked = found["find, 8 layers", subject]
        assert walked["processor"][0] > 0
        assert walked["peaks"][0] > 1 << 20
    assert "processor" not in found["find", "kernel overlayfs"]
    assert found["mount, and the first answer", "full copy"]["seconds"]
    assert document["machine"]["kernel"]
    picture = ET.parse(plots / "cold.svg").getroot()
    assert picture.tag.endswith("svg")
    assert re.search(r"kernel overlayfs: \d+\.\d\d", (plots / "cold.svg").read_text())


def test_workload_that_did_nothing_is_a_failure():
    with pytest.raises(RuntimeError, match="0 files instead of 300"):
        require(0, 300, "files")


def test_bench_without_the_sources_says_where_it_is(tmp_path):
    package = tmp_path / "unionfs"
    source = subprocess.run(
        [sys.executable, "-c", "import unionfs; print(unionfs.__path__[0])"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    subprocess.run(["cp", "-r", source, package], check=True)
    done = subprocess.run(
        [sys.executable, "-m", "unionfs", "bench"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
        env={key: value for key, value in os.environ.items() if key != "PYTHONPATH"},
    )
    assert done.returncode == 1
    assert "come with the sources" in done.stderr
