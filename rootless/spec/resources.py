"""Translates limits to the OCI runtime specification's `linux.resources`. Pure, but for the facts of the machine that
the caller passes.

What is refused is what the docker daemon refuses (daemon/daemon_unix.go,
verifyPlatformContainerResources), which has the same rules for both versions of cgroups.
"""

from __future__ import annotations

from rootless.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from rootless.spec.options import ResourceLimits

_MINIMUM_MEMORY = 6 << 20
_CPU_PERIOD = 100_000
_NANO = 10**9
_CPU_LIST = r"\d+(-\d+)?(,\d+(-\d+)?)*"


def make_resources(
    limits: ResourceLimits, *, cpu_count: int, device_number: Callable[[str], tuple[int, int]]
) -> dict[str, Any]:
    """The `linux.resources` object; empty when there is no limit.

    Args:
        device_number: Major and minor number of the block device at a path
            (`rootless.cgroups.devices.block_device_number`).

    Raises:
        UsageError: a limit, or two together, that make no sense.
    """
    sections = {
        "memory": _memory(limits),
        "cpu": _cpu(limits, cpu_count),
        "pids": {"limit": limits.pids_limit} if limits.pids_limit > 0 else {},
        "blockIO": _block_io(limits, device_number),
    }
    return {name: section for name, section in sections.items() if section}


def _memory(limits: ResourceLimits) -> dict[str, Any]:
    limit, swap, reservation = limits.memory, limits.memory_swap, limits.memory_reservation
    if 0 < limit < _MINIMUM_MEMORY:
        raise UsageError("minimum memory limit allowed is 6MB")
    if 0 < reservation < _MINIMUM_MEMORY:
        raise UsageError("minimum memory reservation allowed is 6MB")
    if swap > 0 and not limit:
        raise UsageError("you should always set the memory limit when using the memoryswap limit")
    if 0 < swap < limit:
        raise UsageError("minimum memoryswap limit should be larger than memory limit")
    if limit and reservation > limit:
        raise UsageError("minimum memory limit can not be less than memory reservation limit")
    section: dict[str, Any] = {}
    if limit:
        # Docker's default: as much swap as memory. The specification counts both together.
        section |= {"limit": limit, "swap": swap or 2 * limit}
    elif swap:
        section["swap"] = swap
    if reservation:
        section["reservation"] = reservation
    if limits.oom_kill_disable:
        section["disableOOMKiller"] = True
    return section


def _cpu(limits: ResourceLimits, cpu_count: int) -> dict[str, Any]:
    section: dict[str, Any] = {}
    if limits.cpu_shares < 0:
        raise UsageError(
            f"invalid CPU shares ({limits.cpu_shares}): value must be a positive integer"
        )
    if limits.cpu_shares:
        section["shares"] = limits.cpu_shares
    period, quota = limits.cpu_period, limits.cpu_quota
    if period and not 1000 <= period <= 1_000_000:
        raise UsageError(
            "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)"
        )
    if 0 < quota < 1000:
        raise UsageError("CPU cfs quota can not be less than 1ms (i.e. 1000)")
    if limits.nano_cpus:
        if period or quota:
            other = "CPU period" if period else "CPU quota"
            raise UsageError(
                f"conflicting options: nano CPUs (--cpus) and {other} cannot both be set"
            )
        _check_cpus(limits.nano_cpus, cpu_count)
        period, quota = _CPU_PERIOD, limits.nano_cpus * _CPU_PERIOD // _NANO
    if period:
        section["period"] = period
    if quota > 0:
        section["quota"] = quota
    for key, what, value in (
        ("cpus", "processors", limits.cpuset_cpus),
        ("mems", "memory nodes", limits.cpuset_mems),
    ):
        if value:
            if not _is_list(value):
                raise UsageError(f"invalid list of {what} {value!r}: not a list like 0-3,7")
            section[key] = value
    return section


def _is_list(text: str) -> bool:
    import re

    return re.fullmatch(_CPU_LIST, text, re.ASCII) is not None


def _check_cpus(nano: int, cpu_count: int) -> None:
    # The kernel's smallest quota is a millisecond of each period, a hundredth of a processor.
    if not _NANO // 100 <= nano <= cpu_count * _NANO:
        raise UsageError(
            f"range of CPUs is from 0.01 to {cpu_count}.00, as there are only {cpu_count} CPUs available"
        )


def _block_io(
    limits: ResourceLimits, device_number: Callable[[str], tuple[int, int]]
) -> dict[str, Any]:
    section: dict[str, Any] = {}
    if limits.blkio_weight:
        if not 10 <= limits.blkio_weight <= 1000:
            raise UsageError("range of blkio weight is from 10 to 1000")
        section["weight"] = limits.blkio_weight
    for key, throttles in (
        ("throttleReadBpsDevice", limits.read_bps),
        ("throttleWriteBpsDevice", limits.write_bps),
        ("throttleReadIOPSDevice", limits.read_iops),
        ("throttleWriteIOPSDevice", limits.write_iops),
    ):
        entries = []
        for device, rate in throttles:
            if rate:
                major, minor = device_number(device)
                entries.append({"major": major, "minor": minor, "rate": rate})
        if entries:
            section[key] = entries
    return section
