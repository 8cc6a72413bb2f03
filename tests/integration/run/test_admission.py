"""A `run` waits for its turn while others start, and keeps none waiting once its container runs."""

import os
from pathlib import Path

import pytest

from rootless.paths import runtime_root
from tests.support.waiting import assert_stays, wait_until

pytestmark = pytest.mark.needs("userns", "fuse", "busybox")

RUN = ("run", "-i", "box:1", "sh", "-c", "echo up; read line")


@pytest.fixture
def slots(box):
    """The file of all slots, as another process has it: that has no lock yet."""
    box("run", "--rm", "box:1", "true").ok()
    descriptor = os.open(f"{runtime_root(box.env, os.getuid())}/starts", os.O_RDWR)
    yield descriptor
    os.close(descriptor)


def test_run_waits_until_there_is_a_slot(box, slots):
    os.lockf(slots, os.F_LOCK, 0)
    running = box.popen(*RUN)
    os.set_blocking(running.stdout.fileno(), False)
    assert_stays(lambda: running.stdout.read() is None, 2)
    os.lockf(slots, os.F_ULOCK, 0)
    wait_until(lambda: running.stdout.read() == b"up\n")
    _, errors = running.communicate(b"\n")
    assert (running.returncode, errors) == (0, b"")


@pytest.mark.parametrize("options", [(), ("--read-only",)])
def test_running_container_has_no_slot(box, slots, options):
    running = box.popen("run", "-i", "--name", "c1", *options, *RUN[2:])
    assert running.stdout.readline() == b"up\n"
    wait_until(lambda: not is_taken(slots))
    monitor = box("inspect", "--format", "{{.State.ConmonPid}}", "c1").ok().stdout.strip()
    for each in (running.pid, monitor):
        opened = map(os.readlink, Path(f"/proc/{each}/fd").iterdir())
        assert not [path for path in opened if path.endswith("/starts")]
    running.communicate(b"\n")


def is_taken(slots):
    """Whether another process has one of them."""
    try:
        os.lockf(slots, os.F_TLOCK, 0)
    except BlockingIOError:
        return True
    os.lockf(slots, os.F_ULOCK, 0)
    return False
