"""When the file server of a container looks whether it may stand by."""

import os
import signal
import socket

import pytest

from rootless.containers.launch_description import HostTree, LaunchDescription
from rootless.containers.record import ContainerRecord
from rootless.runtime.idmap import IdMaps, IdRange
from rootless.spec.storage_driver import StorageDriver
from rootless.supervisor.file_servers import resting
from tests.support.waiting import wait_until
from unionfs.directory import DirectoryLayer
from unionfs.union import Union

DESCRIPTION = LaunchDescription(
    record=ContainerRecord("a" * 64, "web", "2026-01-01T00:00:00Z"),
    directory="/store/containers/a",
    spec={},
    id_maps=IdMaps((IdRange(0, 1000, 1),), (IdRange(0, 1000, 1),), helper=False),
    tree=HostTree("/", ("/store",)),
    storage_driver=StorageDriver.UNIONFS,
    terminal=False,
    stop_signal=signal.SIGTERM,
    stop_timeout=None,
    cgroup_parent="",
    seccomp_cache="/store/seccomp",
    control_directory="/run/a",
)


@pytest.fixture
def server(monkeypatch):
    """A server whose device is a socket, and which looks all the time."""
    monkeypatch.setattr(resting, "FIRST_QUIET", 0.02)
    before = signal.getsignal(signal.SIGALRM)
    device, end = socket.socketpair()
    with device, end:
        yield resting.RestingServer(DESCRIPTION, end, -1, device.fileno(), 0, go_on=pytest.fail)
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_server_looks_again_when_the_device_blocks_before_the_loop_has_looked(server, tmp_path):
    """As it does while threads work."""
    server.begin(Union([DirectoryLayer(os.fsencode(tmp_path))], None))
    for _ in range(3):
        wait_until(lambda: not os.get_blocking(server.device))
        os.set_blocking(server.device, True)
