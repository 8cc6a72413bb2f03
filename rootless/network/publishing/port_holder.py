"""Finds the process that holds a port, as far as /proc shows it to this user. Imported only for an error message."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_LISTEN = "0A"
"""TCP_LISTEN (include/net/tcp_states.h)."""


def port_holder(address: str, port: int, protocol: str) -> str:
    """Program and PID of the process; empty if it cannot be seen."""
    suffix = "6" if ":" in address else ""
    inodes = set(_inodes(f"/proc/net/{protocol}{suffix}", port, protocol))
    wanted = {f"socket:[{inode}]" for inode in inodes}
    for pid in filter(str.isdecimal, os.listdir("/proc")) if wanted else ():
        if wanted.intersection(_descriptors(pid)):
            return f"{_name(pid)} (PID {pid})"
    return ""


def _descriptors(pid: str) -> Iterator[str]:
    """What the descriptors of a process refer to (proc_pid_fd(5)); nothing of another user's process."""
    try:
        numbers = os.listdir(f"/proc/{pid}/fd")
    except OSError:
        return
    for number in numbers:
        try:
            yield os.readlink(f"/proc/{pid}/fd/{number}")
        except OSError:
            continue  # closed meanwhile


def _inodes(path: str, port: int, protocol: str) -> Iterator[str]:
    """Of the sockets that are bound to the port (proc_pid_net(5))."""
    try:
        with open(path, encoding="ascii") as file:
            rows = [line.split() for line in file][1:]
    except OSError:
        return
    for row in rows:
        if row[1].endswith(f":{port:04X}") and (protocol != "tcp" or row[3] == _LISTEN):
            yield row[9]


def _name(pid: str) -> str:
    try:
        with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as file:
            return file.read().strip()
    except OSError:
        return "a process that has ended"
