"""The benchmarks at their smallest: every kind of measurement gives figures, and nothing done is no figure."""

import json
import os
import re
import signal
import subprocess
import sys
from xml.etree import ElementTree as ET

import pytest

from benchmarks.compare import compare
from benchmarks.machine import Round
from benchmarks.measure import Key, Results, Series, is_rankable
from benchmarks.report import document, tables
from benchmarks.workloads import require
from tests.support.waiting import wait_until

ONLY = (
    "find",
    "untar",
    "rm -rf",
    "git status",
    "open+read+close, 2 clients",
    "first write, large lower file",
    "mount, and the first answer",
    "mount, 8 layers",
    "find, 8 layers",
    "copy-up of *",
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
    where = ("--json", str(numbers), "--plot", str(plots), "--csv", str(tmp_path / "samples.csv"))
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
    assert re.search(r"unionfs device, 1 MiB: [\d.]+ ", (plots / "copy-up.svg").read_text())
    samples = (tmp_path / "samples.csv").read_text().splitlines()
    assert samples[0].startswith("workload,subject,temperature,number,seconds")
    assert any(re.match(r"untar,fuse-overlayfs,cold,1,\d+\.", line) for line in samples)
    assert "other processes used" in done.stdout
    assert list(tmp_path.glob("rl-bench-*")) == []


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


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--only", "fnid"], "no such workload: 'fnid'; did you mean 'find'?"),
        (["--subject", "nope"], "no such subject: 'nope'; --list prints all"),
        (["--subject", "btrfs snapshot"], "btrfs snapshot cannot be measured: needs root"),
        (["--subject", "xfs"], "unionfs device on xfs cannot be measured: needs root"),
        (["--rounds", "0"], "'0' is not a number from 1 on"),
        (["--pin", "4711"], "'4711' is not one of the processors"),
        (["starup"], "no such part: 'starup'; did you mean 'startup'?"),
        (["startup", "--only", "find"], "no such workload: 'find'"),
        (["startup", "files", "--only", "find", "--subject", "crun"], "nothing to measure"),
        (["compare", "one.json"], "compare takes two files with results"),
    ],
)
def test_bench_refuses_what_would_measure_nothing(tmp_path, arguments, complaint):
    done = bench(*arguments, cwd=tmp_path)
    assert done.returncode != 0
    assert complaint in done.stderr
    assert done.stdout == ""


def test_bench_of_one_part_measures_that_part_and_says_how_long_it_takes(tmp_path):
    done = bench("startup", "--scale", "tiny", "--estimate", cwd=tmp_path)
    assert done.returncode == 0
    assert re.fullmatch(r"5 measurements, 5 rounds: about \d+ (s|min)\n", done.stderr)


@pytest.mark.needs("userns", "fuse", "busybox")
def test_bench_of_containers_that_live_measures_every_workload(tmp_path):
    numbers = tmp_path / "numbers.json"
    which = ("lifecycle", "--scale", "tiny", "--rounds", "1", "--subject", "rootless")
    done = bench(*which, "--json", str(numbers), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "failed" not in done.stdout, done.stdout
    series = {item["workload"]: item for item in json.loads(numbers.read_text())["series"]}
    memory = series.pop("memory of a running container")
    assert len(series) == 13
    assert all(len(item["seconds"]) == 1 for item in series.values())
    assert memory["seconds"] == []
    assert 4 << 20 < memory["peaks"][0] < 60 << 20
    assert "| memory of a running container |" in done.stdout


def _rounds(document):
    return json.loads(document.read_text())["rounds"] if document.exists() else []


@pytest.mark.needs("userns", "fuse", "fuse-overlayfs")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_killed_run_keeps_its_results_and_leaves_no_files(tmp_path, number):
    numbers = tmp_path / "numbers.json"
    argv = ["-m", "benchmarks", "--scale", "tiny", "--rounds", "500", "--only", "find"]
    subject = ["--subject", "unionfs device", "--subject", "fuse-overlayfs"]
    run = subprocess.Popen(
        [sys.executable, *argv, *subject, "--json", str(numbers)],
        env=os.environ | {"TMPDIR": str(tmp_path)},
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_until(lambda: len(_rounds(numbers)) > 1)
        run.send_signal(number)
        run.wait(120)
        wait_until(lambda: not list(tmp_path.glob("rl-bench-*")))
    finally:
        run.kill()
    found = json.loads(numbers.read_text())
    assert found["complete"] is False
    assert len(found["series"][0]["seconds"]) > 1
    assert run.returncode == (143 if number == signal.SIGTERM else -9)


@pytest.mark.needs("userns", "fuse", "fuse-overlayfs")
def test_small_disk_is_cleared_between_rounds_and_a_full_one_keeps_the_results(tmp_path):
    """A round keeps about 20 MiB on a disk of 60, until another process takes the rest of it."""
    disk = tmp_path / "disk"
    disk.mkdir()
    script = f"""
    mount -t tmpfs -o size=60m none {disk}
    export TMPDIR={disk}
    bench() {{ "$0" -m benchmarks --scale tiny --only untar --only 'write one large*' \\
        --subject 'unionfs device' --subject fuse-overlayfs --json "$2" --rounds "$1" >/dev/null; }}
    bench 6 {tmp_path}/small.json; echo $?
    (while ! grep -qs '"others"' {tmp_path}/full.json; do sleep 0.1; done
        head -c 70M /dev/zero > {disk}/taken 2>/dev/null) &
    bench 500 {tmp_path}/full.json; echo $?
    ls {disk}
    """
    done = subprocess.run(
        ["unshare", "-Urm", "bash", "-c", script, sys.executable],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.stdout == "0\n1\ntaken\n", done.stderr
    small, full = (
        json.loads((tmp_path / f"{name}.json").read_text()) for name in ("small", "full")
    )
    assert small["complete"]
    assert [item["failure"] for item in small["series"]] == [None] * len(small["series"])
    assert not full["complete"]
    assert len(full["rounds"]) >= 1
    assert "benchmarks: " in done.stderr


def _series(subject: str, *seconds: float) -> Series:
    return Series(Key("find", subject, "warm"), list(seconds))


def _results(*series: Series, others: float = 0.0) -> Results:
    results = Results()
    results.rounds = [Round(1.0, 0.5, others)]
    results.add([each.document() for each in series])
    return results


STEADY = _series("fuse-overlayfs", 1.0, 1.01, 1.02, 1.03)
FASTER = _series("unionfs device", 0.5, 0.51, 0.52, 0.53)
WIDE = _series("unionfs device", 0.4, 0.6, 1.4, 2.0)


def test_ratio_is_shown_only_where_the_samples_support_one():
    assert "(0.51)" in tables(_results(STEADY, FASTER))
    assert "(?)" in tables(_results(STEADY, WIDE))
    assert "(?)" in tables(_results(STEADY, _series("unionfs device", 0.5)))
    busy = tables(_results(STEADY, FASTER, others=0.6))
    assert "(?)" in busy
    assert "other processes used 60 % of the processors" in busy


def test_wide_samples_that_do_not_overlap_can_be_ranked():
    slow = _series("fuse-overlayfs", 4.0, 6.0, 9.0, 14.0)
    assert is_rankable(slow, _series("unionfs device", 0.4, 0.6, 0.9, 1.4))
    assert not is_rankable(slow, _series("unionfs device", 3.0, 5.0, 8.0, 12.0))


def test_compare_tells_faster_slower_alike_and_unclear(tmp_path):
    def written(name: str, *series: Series) -> str:
        path = tmp_path / name
        machine = {"kernel": name, "processors": 2}
        path.write_text(json.dumps(document(_results(*series), machine, {"scale": "tiny"})))
        return str(path)

    before = written("a", STEADY, _series("unionfs device", 1.0, 1.01, 1.02, 1.03))
    after = written("b", STEADY, FASTER)
    table = compare([before, after])
    assert "kernel differs: a and b" in table
    assert re.search(r"find, warm, unionfs device \|.*\| 0.51 \| faster \|", table)
    assert re.search(r"find, warm, fuse-overlayfs \|.*\| 1.00 \| no difference \|", table)
    assert re.search(r"\| 1.97 \| slower \|", compare([after, before]))
    assert "| unclear |" in compare([before, written("c", WIDE)])
    printed = subprocess.run(
        [sys.executable, "-m", "unionfs", "bench", "compare", before, after],
        capture_output=True,
        text=True,
        check=True,
    )
    assert printed.stdout == table


def test_targets_are_compared_with_the_medians_of_the_peers():
    results = Results()
    for name, seconds in (("rootless", 0.046), ("podman", 0.1), ("docker", 0.2)):
        results.of(Key("run --rm true", name, "warm")).seconds.extend([seconds] * 3)
    text = tables(results)
    assert "| run --rm true | 0.46 | 0.23 | 0.4 x podman, 0.25 x docker | missed |" in text
    results.of(Key("rm -f, SIGTERM ignored", "rootless", "warm")).seconds.append(0.1)
    assert "| rm -f, SIGTERM ignored |  |  | 200 ms | met |" in tables(results)
