"""The processes of a running container, as the host's /proc has them (proc(5))."""

from __future__ import annotations

import fcntl
import os

from unionfs.light_types import NamedTuple

_UNIX98_MAJOR = range(136, 144)  # pseudo-terminals (Documentation/admin-guide/devices.txt)
_CONSOLE_MAJOR = 4
_NS_GET_PARENT = 0xB702  # ioctl_ns(2)


class ProcessStat(NamedTuple):
    """One process. Times are in clock ticks, `started` since boot. `children_time` is the processor time
    of the children that it has waited for. `uid` is the host's.
    """

    pid: int
    parent: int
    uid: int
    terminal: str
    processor_time: int
    children_time: int
    started: int
    command: str


def container_processes(first: int) -> list[ProcessStat]:
    """The processes of the container whose first process is `first`, by PID: every process in its user namespace or
    in one below that.
    """
    namespace = _number(f"/proc/{first}/ns/user")
    if namespace == 0:
        return []
    own = _number("/proc/self/ns/user")
    pids = [int(name) for name in os.listdir("/proc") if name.isdecimal()]
    found = [read(pid) for pid in pids if _is_below(f"/proc/{pid}/ns/user", namespace, own)]
    return sorted(each for each in found if each is not None)


def read(pid: int) -> ProcessStat | None:
    """One process; None if it has ended."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            text = file.read()
            uid = os.fstat(file.fileno()).st_uid
        uid = _uid(pid, uid)
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            command = file.read()
    except OSError:
        return None
    name = text[text.index(b"(") + 1 : text.rindex(b")")].decode(errors="surrogateescape")
    # From field 3, the state.
    fields = text[text.rindex(b")") + 2 :].split()
    words = command.rstrip(b"\0").replace(b"\0", b" ").decode(errors="surrogateescape")
    defunct = fields[0] == b"Z"
    return ProcessStat(
        pid,
        int(fields[1]),
        uid,
        _terminal(int(fields[4])),
        int(fields[11]) + int(fields[12]),
        int(fields[13]) + int(fields[14]),
        int(fields[19]),
        f"[{name}] <defunct>" if defunct else words or f"[{name}]",
    )


def _uid(pid: int, owner: int) -> int:
    """The effective user. The files of a process that is not dumpable belong to root."""
    with open(f"/proc/{pid}/status", "rb") as file:
        for line in file:
            if line.startswith(b"Uid:"):
                return int(line.split()[2])
    return owner


def _terminal(number: int) -> str:
    """As ps(1) names it; `?` for none."""
    if number == 0:
        return "?"
    major, minor = os.major(number), os.minor(number)
    if major in _UNIX98_MAJOR:
        return f"pts/{(major - _UNIX98_MAJOR.start) * 256 + minor}"
    return f"tty{minor}" if major == _CONSOLE_MAJOR else "?"


def _number(path: str) -> int:
    """The inode number of a namespace; 0 if it cannot be read: the process has ended, or is another
    account's.
    """
    try:
        return os.stat(path).st_ino
    except OSError:
        return 0


def _is_below(path: str, namespace: int, own: int) -> bool:
    """Whether a user namespace is the one with the number, or below it; `own` is the caller's."""
    if (number := _number(path)) in (0, own, namespace):
        return number == namespace
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        while (number := os.fstat(descriptor).st_ino) != namespace:
            if number == own:
                return False
            parent = fcntl.ioctl(descriptor, _NS_GET_PARENT)
            os.close(descriptor)
            descriptor = parent
    except OSError:
        return False  # EPERM: there is no parent that the caller may see (ioctl_ns(2))
    finally:
        os.close(descriptor)
    return True
