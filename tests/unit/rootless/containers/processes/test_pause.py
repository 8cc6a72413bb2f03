"""When a process counts as stopped."""

import os
import signal
import subprocess
import sys

from rootless.containers.process_identity import children_of
from rootless.containers.processes.pause import is_stopped, state_of
from tests.support.waiting import wait_until

VFORK = """
import os
# vfork(2) by way of posix_spawn(3): the child opens a FIFO before it executes, and blocks there.
os.posix_spawn("/bin/true", ["true"], {}, file_actions=[(os.POSIX_SPAWN_OPEN, 0, FIFO, os.O_RDONLY, 0)])
"""


def test_parent_in_vfork_counts_as_stopped_while_its_child_is(tmp_path):
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    parent = subprocess.Popen([sys.executable, "-c", VFORK.replace("FIFO", repr(str(fifo)))])
    try:
        (child,) = wait_until(lambda: children_of(parent.pid))
        wait_until(lambda: state_of(parent.pid) == "D")
        assert not is_stopped(parent.pid)
        os.kill(child, signal.SIGSTOP)
        os.kill(parent.pid, signal.SIGSTOP)
        wait_until(lambda: is_stopped(child) and is_stopped(parent.pid))
        assert state_of(parent.pid) == "D"
        os.kill(child, signal.SIGKILL)
        wait_until(lambda: state_of(parent.pid) == "T")
        assert is_stopped(parent.pid)
    finally:
        parent.kill()
        parent.wait()
