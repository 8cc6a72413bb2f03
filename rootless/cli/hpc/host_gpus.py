"""Adds the GPUs of the host to a container of `hpc`."""

from __future__ import annotations

from unionfs.light_types import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.spec.options import UserMount


class HostGpus(NamedTuple):
    """What is mounted, which CDI devices are given, and the directory with libraries, or nothing."""

    mounts: tuple[UserMount, ...] = ()
    cdi_devices: tuple[str, ...] = ()
    libraries: str = ""


NO_GPUS = HostGpus()
