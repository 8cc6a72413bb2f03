"""OCI `linux.resources` to lines for cgroup v2 files. Pure.

A container has two control groups (see `control_group`): the outer one holds the container and the
processes that serve it, the inner one the container alone. What bounds the work done *for* the
container (processor time, device input and output: with a file system in user space the server does
it) is written to the outer; what the server must not die of (memory, processes) to the inner. A
limit that programs read to size themselves is written to the inner as well, since the inner one is
all they see.

The server's own group gets `memory.high` with `--memory`: the kernel takes back what it caches of the
container's files, and kills nothing.
"""

from __future__ import annotations

import math

from rootless.errors import HostSupportError, InvalidDocumentError
from unionfs.light_types import Enum, NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any


class Group(Enum):
    """The control groups of a container."""

    OUTER = "outer"
    INNER = "inner"
    SERVER = "server"


class Write(NamedTuple):
    """One line for one file. `limit` is the flag to name when it cannot be written.

    `optional`: what was asked for holds without it where the file does not exist.
    """

    limit: str
    controller: str
    file: str
    value: str
    groups: tuple[Group, ...]
    optional: bool = False


_BOTH = (Group.OUTER, Group.INNER)
_OUTER = (Group.OUTER,)
_INNER = (Group.INNER,)
_SERVER = (Group.SERVER,)
_SERVER_MEMORY = 64 << 20
"""Bytes that the monitor and the file server have whatever the limit is: twice what they take."""
_THROTTLES = {
    "throttleReadBpsDevice": "rbps",
    "throttleWriteBpsDevice": "wbps",
    "throttleReadIOPSDevice": "riops",
    "throttleWriteIOPSDevice": "wiops",
}
_THROTTLE_FLAGS = {
    "rbps": "--device-read-bps",
    "wbps": "--device-write-bps",
    "riops": "--device-read-iops",
    "wiops": "--device-write-iops",
}
# Sections and keys that have no counterpart in version 2, or none that an ordinary user is given.
# `devices` is missing here on purpose: without device nodes of its own a container has no device to
# be kept from.
_UNKNOWN = {
    "memory": {"kernel", "kernelTCP", "swappiness", "useHierarchy", "checkBeforeUpdate"},
    "cpu": {"realtimeRuntime", "realtimePeriod", "burst", "idle"},
    "blockIO": {"leafWeight", "weightDevice"},
}
_UNKNOWN_SECTIONS = ("hugepageLimits", "network", "rdma")


def writes(resources: Mapping[str, Any]) -> tuple[Write, ...]:
    """The writes, in order. Raises HostSupportError for a limit that cgroup v2 does not have."""
    try:
        _refuse_unknown(resources)
        return (
            *_memory(resources.get("memory") or {}),
            *_cpu(resources.get("cpu") or {}),
            *_pids(resources.get("pids") or {}),
            *_block_io(resources.get("blockIO") or {}),
            *_unified(resources.get("unified") or {}),
        )
    except (TypeError, KeyError, AttributeError) as error:
        raise InvalidDocumentError(f"linux.resources is malformed: {error}") from None


def missing(wanted: Iterable[Write], controllers: Iterable[str]) -> tuple[Write, ...]:
    """Those of `wanted` whose controller is not among `controllers`."""
    present = set(controllers) | {"cgroup"}
    return tuple(
        write for write in wanted if write.controller not in present and not write.optional
    )


def _refuse_unknown(resources: Mapping[str, Any]) -> None:
    if (resources.get("memory") or {}).get("disableOOMKiller"):
        raise HostSupportError(
            "--oom-kill-disable cannot be enforced: cgroup v2 always kills on out of memory",
            hint="leave it out, or give the container a larger --memory",
        )
    asked = [name for name in _UNKNOWN_SECTIONS if resources.get(name)]
    asked += [
        f"{section}.{key}"
        for section, keys in _UNKNOWN.items()
        for key in sorted(keys & set(resources.get(section) or {}))
        if resources[section][key]
    ]
    if asked:
        raise HostSupportError(f"linux.resources.{asked[0]} cannot be enforced: not supported")


def _memory(section: Mapping[str, Any]) -> Iterable[Write]:
    limit, swap, low = (section.get(key) or 0 for key in ("limit", "swap", "reservation"))
    if limit:
        yield Write("--memory", "memory", "memory.max", _or_max(limit), _INNER)
        server = limit if limit < 0 else max(limit, _SERVER_MEMORY)
        yield Write("--memory", "memory", "memory.high", _or_max(server), _SERVER)
    if swap:
        yield Write(
            "--memory-swap",
            "memory",
            "memory.swap.max",
            _swap_beyond(swap, limit),
            _INNER,
            # Twice the limit is what -m means without --memory-swap: then a kernel that does not count
            # swap will do.
            optional=swap == 2 * limit,
        )
    if low:
        # An inner protection counts only as far as the outer one reaches (cgroup-v2.rst,
        # memory.low).
        yield Write("--memory-reservation", "memory", "memory.low", _or_max(low), _BOTH)


def _swap_beyond(swap: int, limit: int) -> str:
    """The specification counts memory and swap together, version 2 swap alone."""
    if swap < 0 or limit < 0:
        return "max"
    if swap < limit or not limit:
        raise InvalidDocumentError(
            f"linux.resources.memory.swap {swap} is less than its limit {limit}"
        )
    return str(swap - limit)


def _cpu(section: Mapping[str, Any]) -> Iterable[Write]:
    if shares := section.get("shares"):
        yield Write("--cpu-shares", "cpu", "cpu.weight", str(cpu_weight(shares)), _BOTH)
    quota, period = section.get("quota") or 0, section.get("period") or 0
    if quota > 0 or period:
        value = f"{quota if quota > 0 else 'max'} {period or 100_000}"
        yield Write("--cpus" if quota > 0 else "--cpu-period", "cpu", "cpu.max", value, _BOTH)
    if cpus := section.get("cpus"):
        yield Write("--cpuset-cpus", "cpuset", "cpuset.cpus", cpus, _BOTH)
    if mems := section.get("mems"):
        yield Write("--cpuset-mems", "cpuset", "cpuset.mems", mems, _BOTH)


def cpu_weight(shares: int) -> int:
    """cpu.weight (1 to 10000, 100 by default) for shares (2 to 262144, 1024 by default).

    The curve of runc 1.3.2 and crun 1.23: a straight line between the ends would make the default
    of the one, 1024, 39 of the other, and so a container that asks for the default weaker than one
    that asks for nothing.
    """
    if shares <= 2:
        return 1
    if shares >= 262_144:
        return 10_000
    log = math.log2(shares)
    return math.ceil(10 ** ((log * log + 125 * log) / 612 - 7 / 34))


def _pids(section: Mapping[str, Any]) -> Iterable[Write]:
    if limit := section.get("limit"):
        yield Write("--pids-limit", "pids", "pids.max", _or_max(limit), _INNER)


def _block_io(section: Mapping[str, Any]) -> Iterable[Write]:
    if weight := section.get("weight"):
        # Which of the two acts depends on the disk's scheduler: bfq reads its own file, the io.cost
        # controller the other.
        bfq, cost = str(weight), f"default {io_weight(weight)}"
        yield Write("--blkio-weight", "io", "io.bfq.weight", bfq, _OUTER, optional=True)
        yield Write("--blkio-weight", "io", "io.weight", cost, _OUTER, optional=True)
    devices: dict[tuple[int, int], dict[str, int]] = {}
    for key, name in _THROTTLES.items():
        for entry in section.get(key) or ():
            devices.setdefault((entry["major"], entry["minor"]), {})[name] = entry["rate"]
    for (major, minor), rates in devices.items():
        value = " ".join(
            (f"{major}:{minor}", *(f"{name}={_or_max(rate)}" for name, rate in rates.items()))
        )
        yield Write(_THROTTLE_FLAGS[next(iter(rates))], "io", "io.max", value, _OUTER)


def io_weight(weight: int) -> int:
    """io.weight (1 to 10000) for a blkio weight (10 to 1000), on a straight line as runc and crun
    do.
    """
    return 1 + (weight - 10) * 9999 // 990


def _unified(section: Mapping[str, str]) -> Iterable[Write]:
    for file, value in section.items():
        controller = file.partition(".")[0]
        if "/" in file or "." not in file:
            raise InvalidDocumentError(f"linux.resources.unified: {file!r} is not a cgroup file")
        yield Write(f"unified {file}", controller, file, value, _INNER)


def _or_max(number: int) -> str:
    return str(number) if number > 0 else "max"
