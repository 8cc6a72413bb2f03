"""The names of a container's processes, by their PIDs in its PID namespace.

They are read from the host's /proc: the container's own /proc can be entered only by processes of its
user namespace.
"""

from __future__ import annotations

import os
from time import monotonic_ns

_FRESH = 50_000_000
"""Nanoseconds for which a name is reused: the name of a process that copies up thousands of files is
then read a few times a second."""


class ProcessNames:
    """The processes of the PID namespace of `init`, which is a PID of the host."""

    def __init__(self, init: int) -> None:
        self._init = init
        self._hosts: dict[int, int] = {}
        self._last: tuple[int, str, int] = (0, "", 0)

    def __call__(self, pid: int) -> str:
        """The name of process `pid`; empty if it has ended."""
        last, name, until = self._last
        if pid == last and monotonic_ns() < until:
            return name
        name = self._known(pid)
        if not name:
            self._search()
            name = self._known(pid)
        self._last = pid, name, monotonic_ns() + _FRESH
        return name

    def _known(self, pid: int) -> str:
        host = self._hosts.get(pid)
        if host is None or _namespace(host) != _namespace(self._init):
            return ""
        name, inside = _status(host)
        return name if inside == pid else ""

    def _search(self) -> None:
        """Read which processes are in the namespace."""
        self._hosts.clear()
        namespace = _namespace(self._init)
        if not namespace:
            return
        for entry in os.listdir("/proc"):
            if entry.isdecimal() and _namespace(int(entry)) == namespace:
                host = int(entry)
                self._hosts[_status(host)[1]] = host


def _namespace(host: int) -> str:
    try:
        return os.readlink(f"/proc/{host}/ns/pid")
    except OSError:
        return ""  # it has ended, or belongs to another user


def _status(host: int) -> tuple[str, int]:
    """Name, and PID in the innermost namespace (proc_pid_status(5))."""
    try:
        with open(f"/proc/{host}/status", encoding="utf-8", errors="replace") as file:
            fields = dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)
        return fields["Name"], int(fields["NSpid"].split()[-1])
    except (OSError, KeyError):
        return "", 0
