"""A root that is mounted inside and served from outside."""

import os

import pytest

from rootless.errors import LaunchError
from rootless.runtime.rootfs import FuseRootfs
from tests.support.passthrough import Passthrough

pytestmark = pytest.mark.needs("userns", "fuse", "busybox")


@pytest.fixture
def mountpoint(tmp_path):
    path = tmp_path / "mountpoint"
    path.mkdir()
    return path


def server(root, seen):
    def serve(device, _container):
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                from unionfs.session.device import serve as answer

                answer(device, Passthrough(root))
                status = 0
            finally:
                os._exit(status)
        os.close(device)
        seen.append(pid)

    return serve


def test_launch_union_is_root_and_served_by_the_caller(own_box, mountpoint):
    seen = []
    result = own_box.sh(
        "grep ' / ' /proc/mounts; echo written > /tmp/new; cat /etc/hosts | head -n 1",
        rootfs=FuseRootfs(str(mountpoint), source="box"),
        serve=server(own_box.root, seen),
    )
    assert result.status == 0, result.err
    first, second = result.out.splitlines()
    assert first.startswith("box / fuse.rootless-unionfs rw,")
    assert "allow_other" in first
    assert "default_permissions" in first
    assert second == "127.0.0.1\tlocalhost"
    assert (own_box.root / "tmp/new").read_text() == "written\n"
    # The server ends by itself when the last mount is gone, with the namespace.
    assert os.waitpid(seen[0], 0)[1] == 0
    assert list(mountpoint.iterdir()) == []


def test_launch_union_that_is_not_answered_is_an_error(own_box, mountpoint):
    with pytest.raises(LaunchError, match="transport endpoint is not connected"):
        own_box.sh(
            "true", rootfs=FuseRootfs(str(mountpoint)), serve=lambda device, _: os.close(device)
        )
    with pytest.raises(LaunchError, match="needs a file server"):
        own_box.sh("true", rootfs=FuseRootfs(str(mountpoint)))
