"""Which command lines have a monitor that is started before they are read."""

from __future__ import annotations

import os

import pytest

from rootless.supervisor.ahead import start_ahead
from tests.support.processes import children_of


@pytest.mark.parametrize(
    "line",
    [
        "",
        "ps",
        "exec run true",
        "container exec run true",
        "--log-level debug run box true",
        "run --help",
        "run --join box true",
        "run --join-tag=step box true",
        "run --read-only box true",
        "run --rm --record box",
    ],
)
def test_other_command_lines_start_no_monitor_ahead(line: str) -> None:
    assert start_ahead(line.split(), {}) is None


@pytest.mark.parametrize("variable", ["PMI_RANK", "SLURM_PROCID", "ROOTLESS_STORAGE_DRIVER"])
def test_no_monitor_is_started_ahead_where_the_environment_asks_for_another_kind(
    variable: str,
) -> None:
    assert start_ahead(["run", "box", "true"], {variable: "1"}) is None


@pytest.mark.parametrize("line", ["run box true", "container run -d --name web box sleep 1"])
def test_monitor_ends_when_it_is_abandoned(line: str) -> None:
    ahead = start_ahead(line.split(), {})
    assert ahead is not None
    started = ahead.take()
    assert started is not None
    assert ahead.take() is None
    ahead.abandon()  # it is the taker's
    assert os.waitid(os.P_PID, started.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None
    started.wait()
    with pytest.raises(ChildProcessError):
        os.waitpid(started.pid, 0)


def test_abandoned_monitor_leaves_no_process() -> None:
    before = children_of(os.getpid())  # of other tests
    ahead = start_ahead(["run", "box", "true"], {})
    assert ahead is not None
    ahead.abandon()
    assert set(children_of(os.getpid())) <= set(before)
    ahead.abandon()
