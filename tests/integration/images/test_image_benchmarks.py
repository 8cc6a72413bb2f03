"""The benchmark of images at its smallest: it measures what is there, and nothing that did not happen."""

import dataclasses
import json
import os
import subprocess
import sys

import pytest

from benchmarks.images import OPERATIONS, SCALES, prepared, take
from benchmarks.images_engines import Rootless
from benchmarks.measure import Key, Results
from benchmarks.report import tables
from tests.support.rootless import remove_tree, short_directory

pytestmark = [
    pytest.mark.slow,
    pytest.mark.needs("userns", "fuse", "busybox", "docker-registry"),
]


@pytest.fixture(scope="module")
def stage():
    directory = short_directory()
    with prepared(directory, SCALES["tiny"]) as stage:
        yield stage
    remove_tree(directory)


COMMANDS = {"rmi": "remove"}


def idle(engine, command):
    """An engine of which one command succeeds and does nothing."""
    kind = type("Idle", (Rootless,), {"__slots__": (), command: lambda *_: ["true"]})
    return kind(**{each.name: getattr(engine, each.name) for each in dataclasses.fields(engine)})


def test_every_operation_is_measured_in_time_and_memory(tmp_path):
    words = ["images", "--scale", "tiny", "--rounds", "1", "--subject", "rootless"]
    document = tmp_path / "results.json"
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", *words, "--json", document],
        capture_output=True,
        text=True,
        timeout=800,
        check=True,
        env=os.environ | {"TMPDIR": str(tmp_path)},
    )
    series = json.loads(document.read_text())["series"]
    assert [(each["workload"], each["temperature"]) for each in series] == [
        (each.name, temperature) for temperature in ("cold", "warm") for each in OPERATIONS
    ]
    for each in series:
        assert each["failure"] is None
        assert each["median"] > 0
        assert 1 << 20 < each["peaks"][0] < 150 << 20
    assert "| MiB at most | rootless |" in done.stdout


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda each: each.name)
def test_operation_that_did_nothing_has_failed(stage, operation):
    word = operation.name.replace(",", "").split()[0]
    results = Results()
    engine = Rootless.create(stage.scratch)
    try:
        take(results, operation, idle(engine, COMMANDS.get(word, word)), stage)
    finally:
        remove_tree(stage.scratch / "rootless")
    series = results.of(Key(operation.name, "rootless", "warm"))
    assert series.failure
    assert series.seconds == []
    assert "failed" in tables(results)
