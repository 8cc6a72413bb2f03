"""Finds the process of a container that a thread belongs to, by the thread id of a FUSE request.

Linux 6.11 translates numbers between PID namespaces (ioctl_nsfs(2)). Before, the host's /proc is searched, at most
twenty times a second: a process that lives shorter may then stay without a name.
"""

from __future__ import annotations

import os
from fcntl import ioctl
from time import monotonic_ns

from rootless.light_stdlib import read_file
from rootless.supervisor.file_servers.process_names import ProcessNames
from unionfs.session.tracer import ProcessIdentity

# include/uapi/linux/nsfs.h
_NS_GET_TGID_FROM_PIDNS = 0x8004B707
_NS_GET_TGID_IN_PIDNS = 0x8004B709

_TRAMPOLINE = "memfd:exec"
"""The name of a process that executes the file of `rootless.runtime.trampoline`."""

_PAUSE = 50_000_000
"""Nanoseconds between two searches of /proc."""


class ThreadIdentities:
    """The threads of the PID namespace of `init`, which is a PID of the host. It has not executed its program yet: a process
    of its name is this program's own, and about to become another, as is one that executes the trampoline.
    """

    def __init__(self, init: int) -> None:
        self._names = ProcessNames(init)
        self._starting = {_name_of(init), _TRAMPOLINE}
        self._searched = 0
        try:
            self._namespace = os.open(f"/proc/{init}/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
            ioctl(self._namespace, _NS_GET_TGID_FROM_PIDNS, 1)
        except OSError:
            self._namespace = -1

    def __call__(self, thread: int) -> ProcessIdentity | None:
        """The process of a thread; None if it has ended, or cannot be found."""
        if self._namespace < 0:
            return self._search(thread)
        try:
            host = ioctl(self._namespace, _NS_GET_TGID_FROM_PIDNS, thread)
            pid = ioctl(self._namespace, _NS_GET_TGID_IN_PIDNS, host)
        except OSError:
            return None
        name = _name_of(host)
        return ProcessIdentity(pid, host, name, name in self._starting)

    def _search(self, thread: int) -> ProcessIdentity | None:
        if monotonic_ns() - self._searched < _PAUSE:
            return None
        self._searched = monotonic_ns()
        name = self._names(thread)
        return ProcessIdentity(thread, 0, name) if name else None


def _name_of(host: int) -> str:
    """The name of a process of the host; empty if it has ended."""
    try:
        return read_file(f"/proc/{host}/comm").decode(errors="replace").rstrip("\n")
    except OSError:
        return ""
