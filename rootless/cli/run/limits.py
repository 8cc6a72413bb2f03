"""The limits of `run`, `create` and `update`. Imported only if one is given."""

from __future__ import annotations

from rootless.cli.flags.resources import (
    parse_cpus,
    parse_memory,
    parse_memory_swap,
    parse_throttles_bps,
    parse_throttles_iops,
)
from rootless.cli.run import options as rows
from rootless.spec.options import ResourceLimits

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.cli.grammar import Parsed


def read_limits(parsed: Parsed) -> ResourceLimits:
    """The limits; zero is none. Raises UsageError."""
    return ResourceLimits(
        memory=parse_memory(parsed[rows.MEMORY], "-m, --memory"),
        memory_swap=parse_memory_swap(parsed[rows.MEMORY_SWAP]),
        memory_reservation=parse_memory(parsed[rows.MEMORY_RESERVATION], "--memory-reservation"),
        oom_kill_disable=parsed[rows.OOM_KILL_DISABLE],
        nano_cpus=parse_cpus(parsed[rows.CPUS]),
        cpu_shares=parsed[rows.CPU_SHARES] or 0,
        cpu_period=parsed[rows.CPU_PERIOD] or 0,
        cpu_quota=parsed[rows.CPU_QUOTA] or 0,
        cpuset_cpus=parsed[rows.CPUSET_CPUS] or "",
        cpuset_mems=parsed[rows.CPUSET_MEMS] or "",
        pids_limit=parsed[rows.PIDS_LIMIT] or 0,
        blkio_weight=parsed[rows.BLKIO_WEIGHT] or 0,
        read_bps=parse_throttles_bps(parsed[rows.DEVICE_READ_BPS], "--device-read-bps"),
        write_bps=parse_throttles_bps(parsed[rows.DEVICE_WRITE_BPS], "--device-write-bps"),
        read_iops=parse_throttles_iops(parsed[rows.DEVICE_READ_IOPS], "--device-read-iops"),
        write_iops=parse_throttles_iops(parsed[rows.DEVICE_WRITE_IOPS], "--device-write-iops"),
    )
