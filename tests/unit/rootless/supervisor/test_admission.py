"""Many commands at once wait for one another, and none for ever."""

from __future__ import annotations

import os
import select
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.waiting import assert_stays

ENTER = """
import os, sys, time
from rootless.supervisor import FIRST_QUIET, admission, turn
started = time.monotonic()
admission.enter(sys.argv[2:], {"ROOTLESS_RUNROOT": sys.argv[1]})
print(round(time.monotonic() - started, 1), turn.first_quiet() == FIRST_QUIET, flush=True)
sys.stdin.readline()
turn.end()
print("left", flush=True)
sys.stdin.readline()
"""
ROOT = Path(__file__).parents[4]


class Command:
    """A process that takes a slot, gives it back at the first line, and ends at the second."""

    def __init__(self, runroot: Path, *words: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-c", ENTER, runroot, *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )

    def read(self) -> list[str]:
        assert self.process.stdout is not None
        return self.process.stdout.readline().split()

    def write(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("\n")


@pytest.fixture
def start(tmp_path):
    started: list[Command] = []

    def _start(*words: str) -> Command:
        started.append(Command(tmp_path / "made", *words))
        return started[-1]

    yield _start
    for each in started:
        each.process.kill()
        each.process.communicate()


def admitted(start) -> list[Command]:
    """As many commands as are admitted at once."""
    found = [start() for _ in range(2 * len(os.sched_getaffinity(0)))]
    for each in found:
        seconds, is_patient = each.read()
        assert float(seconds) < 0.25
        assert is_patient == "True"
    return found


@pytest.mark.parametrize("ends", [False, True])
def test_next_command_is_admitted_when_one_gives_its_slot_back_or_ends(start, ends):
    first, *_ = admitted(start)
    waiting = start()
    assert_stays(lambda: not select.select([waiting.process.stdout], [], [], 0)[0], 0.7)
    if ends:
        first.process.kill()
    else:
        first.write()
        assert first.read() == ["left"]
    seconds, is_patient = waiting.read()
    assert float(seconds) < 4
    assert is_patient == "False"


def test_command_starts_when_none_gives_its_slot_back(start):
    admitted(start)
    seconds, _ = start().read()
    assert 4.5 < float(seconds) < 15


@pytest.mark.parametrize("line", ["run -d box", "run -itd box", "container run --detach box"])
def test_command_that_ends_when_its_container_runs_does_not_wait(start, line):
    admitted(start)
    seconds, is_patient = start(*line.split()).read()
    assert float(seconds) < 0.25
    assert is_patient == "True"


def test_command_without_a_runtime_directory_starts_at_once(tmp_path):
    command = Command(tmp_path / "none" / "there")
    assert command.read() == ["0.0", "True"]
    command.process.kill()
    command.process.communicate()


def test_standard_stream_that_the_caller_closed_stays_closed(tmp_path):
    program = "import os; from rootless.supervisor import admission; admission.enter([], os.environ); os.fstat(0)"
    done = subprocess.run(
        ["sh", "-c", 'exec "$0" -P -c "$1" <&-', sys.executable, program],
        env={**os.environ, "PYTHONPATH": str(ROOT), "ROOTLESS_RUNROOT": str(tmp_path)},
        stderr=subprocess.PIPE,
        check=False,
    )
    assert b"Bad file descriptor" in done.stderr
