"""The resource usage of a container, from its control group's files (cgroup-v2.rst, "Core Interface Files"
of each controller).
"""

from __future__ import annotations

from dataclasses import dataclass

from rootless.cgroups.control_group import ControlGroup, flat_keyed, read


@dataclass(frozen=True, slots=True)
class DeviceUse:
    """Input and output of one disk since the start: bytes and operations."""

    major: int
    minor: int
    read_bytes: int
    write_bytes: int
    reads: int
    writes: int


@dataclass(frozen=True, slots=True)
class Usage:
    """Bytes, microseconds of processor time, processes.

    None where the controller or the kernel does not say; a limit of None is none.
    """

    memory: int | None
    memory_peak: int | None
    memory_limit: int | None
    cpu_usec: int | None
    cpu_throttled_usec: int | None
    processes: int | None
    processes_limit: int | None
    devices: tuple[DeviceUse, ...]


def usage(group: ControlGroup) -> Usage:
    """Processor time and devices with the file server's share, memory and processes without."""
    cpu = flat_keyed(read(f"{group.outer}/cpu.stat"))
    return Usage(
        memory=number(read(f"{group.path}/memory.current")),
        memory_peak=number(read(f"{group.path}/memory.peak")),
        memory_limit=number(read(f"{group.path}/memory.max")),
        cpu_usec=cpu.get("usage_usec"),
        cpu_throttled_usec=cpu.get("throttled_usec"),
        processes=number(read(f"{group.path}/pids.current")),
        processes_limit=number(read(f"{group.path}/pids.max")),
        devices=device_uses(read(f"{group.outer}/io.stat")),
    )


def number(text: str) -> int | None:
    """`max`, and a file that is not there, are None."""
    return int(text) if text.strip().isdigit() else None


def device_uses(io_stat: str) -> tuple[DeviceUse, ...]:
    """`MAJOR:MINOR rbytes=… wbytes=… rios=… wios=…` lines; a device without numbers is left out."""
    found = []
    for line in io_stat.splitlines():
        device, *pairs = line.split()
        major, colon, minor = device.partition(":")
        values = dict(pair.split("=", 1) for pair in pairs if "=" in pair)
        if colon and "rbytes" in values:
            counts = (int(values.get(key, 0)) for key in ("rbytes", "wbytes", "rios", "wios"))
            found.append(DeviceUse(int(major), int(minor), *counts))
    return tuple(found)
