"""A process stands by and goes on: in the program in memory, and by the interpreter where there is none."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.standby import MEMORY, memory_of, stands_by
from tests.support.waiting import wait_until

PROGRAM = """
import os, select, sys
sys.path.insert(0, os.getcwd())
from rootless.supervisor.standby import modules, waiter
from rootless.supervisor.standby.entering import stand_by
from tests.unit.rootless.supervisor.standby.test_standing_by import Waiting
if sys.argv[1] == "interpreter":
    waiter.CODE.clear()
stand_by(Waiting(), {0: select.POLLIN}, frozenset(), modules.of_monitor, command=["a", "command"])
"""


class Waiting:
    """The program that resumes."""

    def resume(self):
        """Tell what it read, its name, and which descriptors it has."""
        line = os.read(0, 10).decode().strip()
        name = Path("/proc/self/comm").read_text().strip()
        opened = sorted(os.listdir("/proc/self/fd"), key=int)[:-1]
        print(line, name, *opened, flush=True)
        os._exit(7)


@pytest.fixture(params=["memory", "interpreter"])
def process(request):
    argv = [sys.executable, "-c", PROGRAM, request.param]
    root = Path(__file__).parents[5]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=root) as child:
        wait_until(lambda: stands_by(child.pid))
        assert (memory_of(child.pid) <= MEMORY) is (request.param == "memory")
        yield child
        child.kill()


def test_goes_on_with_what_it_waited_for(process):
    command = Path(f"/proc/{process.pid}/cmdline").read_bytes()
    assert command.endswith(b"\0--\0a\0command\0")
    name = Path(f"/proc/{process.pid}/comm").read_text().strip()
    output, _ = process.communicate(b"line", timeout=120)
    assert output.decode().split() == ["line", name, "0", "1", "2"]
    assert process.returncode == 7


def test_goes_on_after_it_was_stopped(process):
    process.send_signal(signal.SIGSTOP)
    process.send_signal(signal.SIGCONT)
    output, _ = process.communicate(b"more", timeout=120)
    assert output.startswith(b"more")
