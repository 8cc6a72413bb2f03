"""Which monitor corrects the records of containers whose own monitors were killed."""

from __future__ import annotations

import os
import time

from rootless.containers.directory import Containers
from rootless.supervisor.container_life import claim_reconciling


def test_one_of_the_monitors_that_start_at_once_corrects_the_records(tmp_path) -> None:
    containers, other = (Containers(tmp_path / name, runtime=str(tmp_path)) for name in "ab")
    for name in "ab":
        (tmp_path / name).mkdir()
    started = time.time() - 1
    assert claim_reconciling(containers, started)
    assert not claim_reconciling(containers, started)
    assert claim_reconciling(other, started)
    assert claim_reconciling(containers, time.time() + 1)


def test_without_a_runtime_directory_each_monitor_corrects_the_records(tmp_path) -> None:
    containers = Containers(tmp_path, runtime=str(tmp_path / "removed"))
    assert claim_reconciling(containers, 0)
    assert claim_reconciling(containers, 0)


def test_a_claim_of_the_future_is_of_a_clock_that_was_set_back(tmp_path) -> None:
    containers = Containers(tmp_path, runtime=str(tmp_path))
    assert claim_reconciling(containers, 0)
    (claim,) = tmp_path.glob("reconciled-*")
    os.utime(claim, (time.time() + 3600,) * 2)
    assert claim_reconciling(containers, time.time())
