"""What the options of the local driver ask for."""

from rootless.volumes.options import bind_flags
from rootless.volumes.record import VolumeRecord


def test_device_is_a_directory_of_the_host_for_binds_alone():
    bind = {"type": "none", "device": "/srv", "o": "ro,bind,noexec"}
    assert VolumeRecord("b", "", options=bind).device == "/srv"
    assert bind_flags(bind) == ("noexec", "ro")
    assert VolumeRecord("t", "", options={"type": "tmpfs", "device": "tmpfs"}).device is None
