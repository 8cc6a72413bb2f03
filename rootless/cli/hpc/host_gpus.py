"""Adds the GPUs of the host to a container of `hpc`."""

from __future__ import annotations

from unionfs.light_types import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.spec.options import UserMount


class HostGpus(NamedTuple):
    """The mounts, the CDI devices, and the directory with libraries, if there is one."""

    mounts: tuple[UserMount, ...] = ()
    cdi_devices: tuple[str, ...] = ()
    libraries: str = ""


NO_GPUS = HostGpus()
