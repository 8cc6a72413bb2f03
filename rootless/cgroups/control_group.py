"""One container's control group.

    OUTER/          processor and device limits: the container and the processes that serve it
        server/     the monitor and the file server: as much memory as the container may have
        container/  memory and process limits: the container alone, and the root that it sees

Two, because a file system in user space does a container's input and output in another process: a
limit on the container's own group alone would bound nothing that goes through its root file system.
And because processes may stand only in leaves once controllers are handed down (cgroup-v2.rst, "No
Internal Process Constraint").
"""

from __future__ import annotations

import errno
import os
import time

from rootless.cgroups.hierarchy import CONTROLLERS, controllers_at
from rootless.cgroups.resources import Group, Write, missing, writes
from rootless.errors import HostSupportError, UsageError
from rootless.light_stdlib import read_file, signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from typing import Any, Self

DELEGATE_HINT = (
    "as root: `systemctl edit user@.service`, add `[Service]` and "
    "`Delegate=cpu cpuset io memory pids`, then log out of all sessions and in again"
)


_ABANDONED_AGE = 60.0
"""Seconds; making a group takes milliseconds."""


class ControlGroup:
    """A container's two groups, by the path of the outer one. `close` it, or use it as a context
    manager.

    `origin` is where this process stood before it went in; None when systemd clears up behind us.
    """

    def __init__(self, outer: str, origin: str | None = None) -> None:
        """Raises FileNotFoundError if the group does not exist."""
        self.outer = outer
        self.path = f"{outer}/container"
        self._origin = origin
        self._descriptor = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    @property
    def directory_fd(self) -> int:
        """The directory of the container's own group, for clone3(2) with CLONE_INTO_CGROUP. `close`
        closes it."""
        return self._descriptor

    @property
    def controllers(self) -> frozenset[str]:
        """The controllers that act on the container's own group."""
        return controllers_at(self.path)

    def close(self) -> None:
        """Close the descriptor; the group stays."""
        if self._descriptor >= 0:
            descriptor, self._descriptor = self._descriptor, -1
            os.close(descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def apply(self, resources: Mapping[str, Any]) -> tuple[Write, ...]:
        """Set what OCI `linux.resources` asks for; returns the files that were written.

        Raises HostSupportError naming the limit when one cannot be set, UsageError for processors
        or memory nodes there are not.
        """
        wanted = writes(resources)
        check_controllers(wanted, self.controllers, self.outer)
        return self.write(wanted)

    def write(self, wanted: tuple[Write, ...]) -> tuple[Write, ...]:
        """As `apply`, for what `resources.writes` made of it."""
        written = tuple(write for write in wanted if self._write(write))
        unheard = {w.limit for w in wanted if w.controller == "io"} - {w.limit for w in written}
        for limit in unheard:
            raise HostSupportError(
                f"{limit} cannot be enforced: this kernel has neither io.weight nor io.bfq.weight",
                hint="as root: modprobe bfq, and make it the disk's scheduler",
            )
        return written

    def _write(self, write: Write) -> bool:
        if write.controller == "cpuset":
            self._check_available(write)
        for group in write.groups:
            directory = {
                Group.OUTER: self.outer,
                Group.INNER: self.path,
                Group.SERVER: f"{self.outer}/server",
            }[group]
            try:
                write_line(f"{directory}/{write.file}", write.value)
            except FileNotFoundError:
                if write.optional:
                    return False
                raise HostSupportError(
                    f"{write.limit} cannot be enforced: this kernel has no {write.file}"
                ) from None
            except OSError as error:
                if write.optional and error.errno == errno.EOPNOTSUPP:
                    return False
                raise HostSupportError(
                    f"{write.limit} cannot be enforced: "
                    f"writing {write.value!r} to {write.file}: {error.strerror}"
                ) from None
        return True

    def _check_available(self, write: Write) -> None:
        """The kernel takes processors that do not exist, and then uses all there are
        (cgroup-v2.rst, cpuset.cpus).
        """
        available = read(f"{self.outer}/{write.file}.effective").strip()
        if not list_of(write.value) <= list_of(available):
            kind = "CPUs" if write.file == "cpuset.cpus" else "memory nodes"
            raise UsageError(
                f"requested {kind} are not available: "
                f"requested {write.value}, available: {available}"
            )

    def add_process(self, pid: int) -> None:
        """Move a process in, where clone3 could not start it there (Linux before 5.7)."""
        write_line(f"{self.path}/cgroup.procs", str(pid))

    def oom_kills(self) -> int:
        """How many processes of the container the kernel has killed because memory ran out; 0
        without the memory controller.
        """
        return flat_keyed(read(f"{self.path}/memory.events")).get("oom_kill", 0)

    def processes(self) -> list[int]:
        """The processes of the container, also those in groups that it made."""
        return [
            int(pid)
            for directory in _tree(self.path)
            for pid in read(f"{directory}/cgroup.procs").split()
        ]

    def kill(self) -> None:
        """SIGKILL to every process of the container, to none that comes after. Does not wait.

        A group that is gone has none.
        """
        try:
            write_line(f"{self.path}/cgroup.kill", "1")
        except FileNotFoundError:
            if not os.path.exists(self.path):
                return
            # Before Linux 5.14. Frozen, the container cannot fork faster than its processes are killed.
            self.freeze()
            for pid in self.processes():
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            self.thaw()

    def freeze(self) -> None:
        """Stop every process of the container (docker pause).

        Returns at once; `frozen` becomes true when all have stopped.
        """
        write_line(f"{self.path}/cgroup.freeze", "1")

    def thaw(self) -> None:
        write_line(f"{self.path}/cgroup.freeze", "0")

    @property
    def frozen(self) -> bool:
        return flat_keyed(read(f"{self.path}/cgroup.events")).get("frozen") == 1

    @property
    def populated(self) -> bool:
        """Whether the container has a process."""
        return flat_keyed(read(f"{self.path}/cgroup.events")).get("populated") == 1

    def remove(self, timeout: float = 2) -> bool:
        """Remove the group; waits up to `timeout` seconds for its last processes to end.

        This process and those that serve the container leave it first. False when something is left: a
        later call may succeed.
        """
        self.close()
        deadline = time.monotonic() + timeout
        if self._origin is not None:
            # Of a container that could not be created the file server is still there.
            for pid in ("0", *read(f"{self.outer}/server/cgroup.procs").split()):
                try:
                    write_line(f"{self._origin}/cgroup.procs", pid)
                except ProcessLookupError:
                    pass
                except OSError:
                    return False
        # systemd removes a scope when the last process has left it, and that may be this one.
        top = self.path if self._origin is None else self.outer
        while not _remove_tree(top):
            if time.monotonic() >= deadline:
                return False
            time.sleep(0.005)
        return True


def divide(outer: str, pids: Iterable[int]) -> None:
    """Makes the two leaves, puts the processes into `server` and hands the controllers down. Raises
    OSError.

    The processes must stand in `outer` itself, or `outer` be empty.
    """
    os.mkdir(f"{outer}/server")
    os.mkdir(f"{outer}/container")
    for pid in pids:
        write_line(f"{outer}/server/cgroup.procs", str(pid))
    enable(outer)


def enable(directory: str) -> None:
    """Hands every controller that limits need and that is here down to the children.

    One line each: a controller that cannot be (cpu, while a real-time process is about) does not
    take the others with it.
    """
    present = controllers_at(directory)
    for controller in CONTROLLERS:
        if controller in present:
            try:
                write_line(f"{directory}/cgroup.subtree_control", f"+{controller}")
            except OSError as error:
                if error.errno == errno.EBUSY:
                    raise


def remove_abandoned(base: str) -> None:
    """Removes containers' groups that a monitor which was killed has left below `base`, empty.

    Systemd does this for its scopes. A group is empty too while it is being made, so young ones
    stay.
    """
    with os.scandir(base) as entries:
        groups = [entry.path for entry in entries if entry.name.startswith("rootless-")]
    for group in groups:
        try:
            age = time.time() - os.stat(group).st_mtime
        except FileNotFoundError:
            continue
        events = flat_keyed(read(f"{group}/cgroup.events"))
        if age > _ABANDONED_AGE and events.get("populated") == 0:
            _remove_tree(group)


def check_controllers(wanted: tuple[Write, ...], present: frozenset[str], where: str) -> None:
    """Raises HostSupportError naming the first limit whose controller is not there."""
    for write in missing(wanted, present):
        raise HostSupportError(
            f"{write.limit} cannot be enforced: "
            f"the {write.controller} controller is not delegated to {where}",
            hint=DELEGATE_HINT,
            details={"limit": write.limit, "controller": write.controller, "cgroup": where},
        )


def write_line(path: str, line: str) -> None:
    """One write(2), as the files of cgroupfs want it. Raises OSError."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(descriptor, line.encode())
    finally:
        os.close(descriptor)


def read(path: str) -> str:
    """A file's text; empty when there is no such file, or no such group any more (ENODEV)."""
    try:
        return read_file(path).decode()
    except OSError:
        return ""


def flat_keyed(text: str) -> dict[str, int]:
    """`KEY NUMBER` lines (cgroup-v2.rst, "Flat keyed")."""
    pairs = (line.split() for line in text.splitlines())
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isdigit()}


def list_of(text: str) -> set[int]:
    """`0-2,5` is 0, 1, 2 and 5 (cpuset(7), "List format"). Raises ValueError."""
    numbers: set[int] = set()
    for part in filter(None, text.split(",")):
        first, _, last = part.partition("-")
        numbers.update(range(int(first), int(last or first) + 1))
    return numbers


def _tree(directory: str) -> Iterator[str]:
    """A group and those below it, deepest first."""
    try:
        below = [
            entry.path for entry in os.scandir(directory) if entry.is_dir(follow_symlinks=False)
        ]
    except OSError:
        below = []
    for path in below:
        yield from _tree(path)
    yield directory


def _remove_tree(directory: str) -> bool:
    """Whether the group is gone."""
    for path in _tree(directory):
        try:
            os.rmdir(path)
        except FileNotFoundError:
            pass
        except OSError:
            return False
    return True
