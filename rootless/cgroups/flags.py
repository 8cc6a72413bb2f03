"""Docker's limit flags to the OCI runtime specification's `linux.resources`. Pure, but for what the
caller says of the machine.

The grammar is the docker command line's (opts/, cli/command/container/opts.go), the limits on
values and on combinations are the docker daemon's (daemon/daemon_unix.go,
verifyPlatformContainerResources), which knew them for both versions of cgroups.
"""

from __future__ import annotations

from rootless.cgroups.sizes import ram_in_bytes
from rootless.errors import UsageError
from unionfs.light_types import Protocol

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_MINIMUM_MEMORY = 6 << 20
_CPU_PERIOD = 100_000
_NANO = 10**9
_CPU_LIST = r"\d+(-\d+)?(,\d+(-\d+)?)*"
_RATIONAL = r"[+-]?((\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,3})?|\d+/\d+)"


class LimitFlags(Protocol):
    """The limits of `rootless.spec.request.RunRequest`, as typed:

    None or empty is "not given".
    """

    @property
    def memory(self) -> str | None: ...
    @property
    def memory_swap(self) -> str | None: ...
    @property
    def memory_reservation(self) -> str | None: ...
    @property
    def cpus(self) -> str | None: ...
    @property
    def cpu_shares(self) -> int | None: ...
    @property
    def cpu_period(self) -> int | None: ...
    @property
    def cpu_quota(self) -> int | None: ...
    @property
    def cpuset_cpus(self) -> str | None: ...
    @property
    def cpuset_mems(self) -> str | None: ...
    @property
    def pids_limit(self) -> int | None: ...
    @property
    def blkio_weight(self) -> int | None: ...
    @property
    def device_read_bps(self) -> tuple[str, ...]: ...
    @property
    def device_write_bps(self) -> tuple[str, ...]: ...
    @property
    def device_read_iops(self) -> tuple[str, ...]: ...
    @property
    def device_write_iops(self) -> tuple[str, ...]: ...
    @property
    def oom_kill_disable(self) -> bool: ...


def resources_of(
    flags: LimitFlags, *, cpu_count: int, device_number: Callable[[str], tuple[int, int]]
) -> dict[str, Any]:
    """`linux.resources` of what was asked for; empty when nothing was.

    `device_number` says which block device a path is
    (`rootless.cgroups.devices.block_device_number`). Raises UsageError.
    """
    sections = {
        "memory": _memory(flags),
        "cpu": _cpu(flags, cpu_count),
        "pids": {"limit": flags.pids_limit} if (flags.pids_limit or 0) > 0 else {},
        "blockIO": _block_io(flags, device_number),
    }
    return {name: section for name, section in sections.items() if section}


def _refuse(flag: str, value: object, why: str) -> UsageError:
    return UsageError(f'invalid argument "{value}" for "{flag}" flag: {why}')


def _size(flag: str, value: str | None) -> int:
    """Bytes; 0 when not given."""
    if value is None:
        return 0
    try:
        return ram_in_bytes(value)
    except ValueError as error:
        raise _refuse(flag, value, str(error)) from None


def _memory(flags: LimitFlags) -> dict[str, Any]:
    limit = _size("-m, --memory", flags.memory)
    reservation = _size("--memory-reservation", flags.memory_reservation)
    swap = -1 if flags.memory_swap == "-1" else _size("--memory-swap", flags.memory_swap)
    if 0 < limit < _MINIMUM_MEMORY:
        raise _refuse("-m, --memory", flags.memory, "minimum memory limit allowed is 6MB")
    if 0 < reservation < _MINIMUM_MEMORY:
        raise _refuse(
            "--memory-reservation",
            flags.memory_reservation,
            "minimum memory reservation allowed is 6MB",
        )
    if swap > 0 and not limit:
        raise _refuse(
            "--memory-swap",
            flags.memory_swap,
            "you should always set the memory limit when using the memoryswap limit",
        )
    if 0 < swap < limit:
        raise _refuse(
            "--memory-swap",
            flags.memory_swap,
            "minimum memoryswap limit should be larger than memory limit",
        )
    if limit and reservation > limit:
        raise _refuse(
            "--memory-reservation",
            flags.memory_reservation,
            "minimum memory limit can not be less than memory reservation limit",
        )
    section: dict[str, Any] = {}
    if limit:
        # Docker's default: as much swap as memory. The specification counts both together.
        section |= {"limit": limit, "swap": swap or 2 * limit}
    elif swap:
        section["swap"] = swap
    if reservation:
        section["reservation"] = reservation
    if flags.oom_kill_disable:
        section["disableOOMKiller"] = True
    return section


def _cpu(flags: LimitFlags, cpu_count: int) -> dict[str, Any]:
    section: dict[str, Any] = {}
    if flags.cpu_shares:
        if flags.cpu_shares < 0:
            raise _refuse("-c, --cpu-shares", flags.cpu_shares, "shares can not be negative")
        section["shares"] = flags.cpu_shares
    period, quota = flags.cpu_period or 0, flags.cpu_quota or 0
    if period and not 1000 <= period <= 1_000_000:
        raise _refuse(
            "--cpu-period",
            period,
            "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)",
        )
    if 0 < quota < 1000:
        raise _refuse("--cpu-quota", quota, "CPU cfs quota can not be less than 1ms (i.e. 1000)")
    if nano := _nano_cpus(flags.cpus, cpu_count):
        if period or quota:
            other = "CPU period" if period else "CPU quota"
            raise UsageError(
                f"conflicting options: nano CPUs (--cpus) and {other} cannot both be set"
            )
        period, quota = _CPU_PERIOD, nano * _CPU_PERIOD // _NANO
    if period:
        section["period"] = period
    if quota > 0:
        section["quota"] = quota
    for key, flag, value in (
        ("cpus", "--cpuset-cpus", flags.cpuset_cpus),
        ("mems", "--cpuset-mems", flags.cpuset_mems),
    ):
        if value:
            if not _matches(_CPU_LIST, value):
                raise _refuse(flag, value, "not a list like 0-3,7")
            section[key] = value
    return section


def _matches(pattern: str, text: str) -> bool:
    import re

    return re.fullmatch(pattern, text, re.ASCII) is not None


def _nano_cpus(text: str | None, cpu_count: int) -> int:
    """Billionths of a processor; 0 when not given."""
    if text is None:
        return 0
    if (
        not _matches(_RATIONAL, text)
        or text.partition("/")[2].strip("0") == "" != text.partition("/")[1]
    ):
        raise _refuse("--cpus", text, f"failed to parse {text} as a rational number")
    from fractions import Fraction

    nano = Fraction(text) * _NANO
    if nano.denominator != 1:
        raise _refuse("--cpus", text, "value is too precise")
    # The kernel's smallest quota is a millisecond of each period, a hundredth of a processor.
    if nano and not _NANO // 100 <= nano <= cpu_count * _NANO:
        plural = "CPU is" if cpu_count == 1 else "CPUs are"
        raise _refuse(
            "--cpus",
            text,
            f"range of CPUs is from 0.01 to {cpu_count}.00, as only {cpu_count} {plural} available",
        )
    return int(nano)


def _block_io(flags: LimitFlags, device_number: Callable[[str], tuple[int, int]]) -> dict[str, Any]:
    section: dict[str, Any] = {}
    if flags.blkio_weight:
        if not 10 <= flags.blkio_weight <= 1000:
            raise _refuse(
                "--blkio-weight", flags.blkio_weight, "range of blkio weight is from 10 to 1000"
            )
        section["weight"] = flags.blkio_weight
    for key, flag, values in (
        ("throttleReadBpsDevice", "--device-read-bps", flags.device_read_bps),
        ("throttleWriteBpsDevice", "--device-write-bps", flags.device_write_bps),
        ("throttleReadIOPSDevice", "--device-read-iops", flags.device_read_iops),
        ("throttleWriteIOPSDevice", "--device-write-iops", flags.device_write_iops),
    ):
        throttles = []
        for value in values:
            path, rate = _throttle(flag, value)
            if rate:
                major, minor = device_number(path)
                throttles.append({"major": major, "minor": minor, "rate": rate})
        if throttles:
            section[key] = throttles
    return section


def _throttle(flag: str, value: str) -> tuple[str, int]:
    """The device and the rate of PATH:RATE."""
    path, colon, rate = value.partition(":")
    if not colon or not path or ":" in rate:
        raise _refuse(flag, value, f"bad format: {value}")
    if not path.startswith("/dev/"):
        raise _refuse(flag, value, f"bad format for device path: {value}")
    if flag.endswith("bps"):
        try:
            return path, ram_in_bytes(rate)
        except ValueError:
            unit = (
                "[<unit>]. Number must be a positive integer. "
                "Unit is optional and can be kb, mb, or gb"
            )
    elif rate.isascii() and rate.isdigit():
        return path, int(rate)
    else:
        unit = ". Number must be a positive integer"
    raise _refuse(
        flag,
        value,
        f"invalid rate for device: {value}. The correct format is <device-path>:<number>{unit}",
    )
