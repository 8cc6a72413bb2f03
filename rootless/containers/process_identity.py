"""What /proc tells of a process: its identity, which is its pid with its start time because a pid is used again; its children;
its signal masks."""

from __future__ import annotations

import posix

from rootless.light_stdlib import read_file

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.containers.record import ContainerRecord

_STARTTIME = 22  # field of /proc/PID/stat, counted from 1 (proc_pid_stat(5))


def start_time(pid: int) -> int:
    """When the process started, in clock ticks since boot; 0 if there is no such process."""
    try:
        text = read_file(f"/proc/{pid}/stat")
    except OSError:
        return 0
    # The second field is the command in parentheses and may hold anything, parentheses included.
    after_command = text[text.rindex(b")") + 2 :].split()
    state = after_command[0]
    return 0 if state in (b"Z", b"X") else int(after_command[_STARTTIME - 3])


def boot_id() -> str:
    """The id of this boot of the kernel (random(4)); empty if the kernel has none."""
    try:
        return read_file("/proc/sys/kernel/random/boot_id").decode().strip()
    except OSError:
        return ""


def is_elsewhere(boot: str, host: str) -> bool:
    """Whether PIDs are those of another machine, which uses the same store: of another boot, and of another host name."""
    return host not in {"", posix.uname().nodename} and boot not in {"", boot_id()}


def require_here(record: ContainerRecord) -> None:
    """Raises ConflictError for a container that runs on another machine."""
    from rootless.containers.status import MONITORED
    from rootless.errors import ConflictError

    if record.status in MONITORED and is_elsewhere(record.boot, record.host):
        raise ConflictError(
            f"container {record.name} runs on {record.host}, and this machine is {posix.uname().nodename}",
            hint=f"use rootless on {record.host}; if that machine is gone, remove the container (rootless rm -f)",
        )


def is_alive(pid: int, started: int) -> bool:
    """Whether the process with this pid and start time exists and is no zombie."""
    return pid > 0 and started > 0 and start_time(pid) == started


def children_of(pid: int) -> list[int]:
    """The children of the process's first thread, in the order in which they became its children
    (proc_tid_children(5)); empty if there is no such process.
    """
    try:
        return [int(word) for word in read_file(f"/proc/{pid}/task/{pid}/children").split()]
    except OSError:
        return []


def is_in_mask(number: int, mask: str, status: str) -> bool:
    """Whether a signal is in a mask (SigBlk, SigIgn or SigCgt: proc_pid_status(5)) of the process with this /proc/PID/status."""
    for line in status.splitlines():
        name, _, value = line.partition(":")
        if name == mask:
            return bool(int(value, 16) >> (number - 1) & 1)
    return False


def open_process(pid: int, started: int) -> int | None:
    """A pidfd of the process with this pid and start time; None if there is none."""
    if pid <= 0:
        return None
    try:
        descriptor = posix.pidfd_open(pid)
    except ProcessLookupError:
        return None
    if is_alive(pid, started):
        return descriptor
    posix.close(descriptor)
    return None
