"""The resource usage of a running container: from its control group, or from /proc of its processes if it has none."""

from __future__ import annotations

import os
import time

from rootless.cgroups import stats
from rootless.cgroups.control_group import ControlGroup, flat_keyed, read
from rootless.cgroups.membership import groups_of
from rootless.containers.process_identity import is_alive
from rootless.containers.processes.proc import container_processes
from rootless.containers.processes.proc import read as read_process
from rootless.containers.writable_layers.usage import StorageUsage, storage_usage
from unionfs.light_types import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.containers.record import ContainerRecord

_TICKS = os.sysconf("SC_CLK_TCK")


class ContainerUsage(NamedTuple):
    """A sample. Bytes; seconds of processor time since the start; `moment` is of the monotonic clock.

    Processor time, input and output have the file server's in them, which works for the container;
    memory and the number of processes do not. `server_` figures are the file server's alone.
    """

    moment: float
    processor_time: float = 0.0
    memory: int = 0
    memory_limit: int = 0
    received: int = 0
    sent: int = 0
    read: int = 0
    written: int = 0
    processes: int = 0
    server_time: float = 0.0
    server_memory: int = 0
    storage: StorageUsage | None = None
    """What the writable layer holds, also of a container that does not run; None: it has no limit."""


class SampledContainer(NamedTuple):
    """A container by the name that it was asked for, its record, and a sample of what it uses."""

    name: str
    record: ContainerRecord
    usage: ContainerUsage


def sample(record: ContainerRecord, directory: str) -> ContainerUsage:
    """The present usage of the container with this directory; if it does not run, its storage alone."""
    usage = ContainerUsage(time.monotonic(), storage=storage_usage(directory))
    if not is_alive(record.pid, record.pid_start):
        return usage
    usage = _with_server(usage, record)
    received, sent = _network(record.pid)
    usage = usage._replace(
        received=received,
        sent=sent,
        memory_limit=_keyed(read("/proc/meminfo")).get("MemTotal", 0) * 1024,
    )
    groups = groups_of(record.pid)
    return _from_group(usage, groups[0]) if groups else _from_processes(usage, record)


def _with_server(usage: ContainerUsage, record: ContainerRecord) -> ContainerUsage:
    if not is_alive(record.server_pid, record.server_pid_start):
        return usage
    process = read_process(record.server_pid)
    if process is None:
        return usage
    ticks = process.processor_time + process.children_time
    return usage._replace(
        server_time=ticks / _TICKS, server_memory=_proportional_memory(record.server_pid)
    )


def _from_group(usage: ContainerUsage, path: str) -> ContainerUsage:
    try:
        group = ControlGroup(os.path.dirname(path))
    except OSError:
        return usage  # it has ended
    with group:
        found = stats.usage(group)
        # As docker shows memory: without what the kernel would take back first.
        inactive = flat_keyed(read(f"{path}/memory.stat")).get("inactive_file", 0)
        processes = len(group.processes()) if found.processes is None else found.processes
    memory = found.memory or 0
    return usage._replace(
        processor_time=(found.cpu_usec or 0) / 1e6,
        memory=memory - inactive if inactive < memory else memory,
        memory_limit=found.memory_limit or usage.memory_limit,
        read=sum(device.read_bytes for device in found.devices),
        written=sum(device.write_bytes for device in found.devices),
        processes=processes,
    )


def _from_processes(usage: ContainerUsage, record: ContainerRecord) -> ContainerUsage:
    processes = container_processes(record.pid)
    ticks = sum(each.processor_time + each.children_time for each in processes)
    moved = [_block_io(pid) for pid in (record.server_pid, *(each.pid for each in processes))]
    return usage._replace(
        processor_time=usage.server_time + ticks / _TICKS,
        memory=sum(_proportional_memory(each.pid) for each in processes),
        read=sum(each[0] for each in moved),
        written=sum(each[1] for each in moved),
        processes=len(processes),
    )


def _proportional_memory(pid: int) -> int:
    """Memory of a process, its share of what it shares with others; all of it where the kernel does
    not tell the share.
    """
    share = _keyed(read(f"/proc/{pid}/smaps_rollup")).get("Pss")
    return 1024 * (_keyed(read(f"/proc/{pid}/status")).get("VmRSS", 0) if share is None else share)


def _block_io(pid: int) -> tuple[int, int]:
    """Bytes that the process had read from and written to disks (proc_pid_io(5))."""
    figures = _keyed(read(f"/proc/{pid}/io"))
    return figures.get("read_bytes", 0), figures.get("write_bytes", 0)


def _network(pid: int) -> tuple[int, int]:
    """Bytes that were received and sent on the interfaces of the process's network namespace, without
    the loopback; none in the host's, whose figures are not the container's (as docker stats).
    """
    try:
        if os.stat(f"/proc/{pid}/ns/net").st_ino == os.stat("/proc/self/ns/net").st_ino:
            return 0, 0
    except OSError:
        return 0, 0
    received = sent = 0
    for line in read(f"/proc/{pid}/net/dev").splitlines()[2:]:
        name, _, figures = line.partition(":")
        if name.strip() != "lo":
            fields = figures.split()
            received, sent = received + int(fields[0]), sent + int(fields[8])
    return received, sent


def _keyed(text: str) -> dict[str, int]:
    """`NAME: NUMBER` lines, as of /proc/meminfo, PID/status and PID/io."""
    found = {}
    for line in text.splitlines():
        name, colon, rest = line.partition(":")
        figure = rest.split()[:1]
        if colon and figure and figure[0].isdigit():
            found[name] = int(figure[0])
    return found
