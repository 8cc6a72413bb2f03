"""Pauses a running container while its files are read from outside.

Its processes are stopped: by the freezer of its control group where it has one, otherwise one by
one with SIGSTOP, in rounds until a round finds no new one. Those that were stopped before stay
stopped afterwards.

Then the kernel hands the file server what it still holds: close(2) of a file waits for all its writes
(fuse_flush in fs/fuse/file.c), so that only files which are open or mapped can have any. They are
opened and closed once more, by a process that joins the container's namespaces, since the mount
answers no other. syncfs(2) starts all writes at once but does not wait for FUSE.
"""

from __future__ import annotations

import os
import signal
import stat
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rootless.containers.process_identity import children_of
from rootless.containers.processes.pause_watchdog import PauseWatchdog
from rootless.containers.status import Status
from rootless.errors import RootlessError
from rootless.syscalls.openat2 import RESOLVE_IN_ROOT, RESOLVE_NO_MAGICLINKS, openat2

if TYPE_CHECKING:
    from rootless.cgroups.control_group import ControlGroup
    from rootless.containers.record import ContainerRecord

_SETTLE = 5.0
_STEP = 0.002
_STOPPED = "TtZX"
_OF_MOUNTS = b" - fuse.rootless-volume rootless "
"""In a line of mountinfo, type and source of a mount that is copied on write, or of an image's."""
_CLONE_NEWUSER = 0x10000000
_CLONE_NEWNS = 0x00020000


@contextmanager
def paused(record: ContainerRecord) -> Iterator[None]:
    """Stop all processes of a running container during the block, with its files written out.
    Raises RootlessError if they do not stop within seconds."""
    if record.status is Status.PAUSED:
        # By the user, who also lets it go on.
        write_out(record)
        yield
        return
    group = _control_group(record.pid)
    with PauseWatchdog(None if group is None else group.path) as watchdog:
        yield from _stopped(record, group, watchdog)


def _stopped(
    record: ContainerRecord, group: ControlGroup | None, watchdog: PauseWatchdog
) -> Iterator[None]:
    stopped: list[int] = []
    try:
        if group is not None:
            group.freeze()
            _wait(lambda: group.frozen, record)
        else:
            _stop_all(record, stopped, watchdog)
        write_out(record)
        yield
    finally:
        if group is not None:
            group.thaw()
            group.close()
        for pidfd in stopped:
            try:
                signal.pidfd_send_signal(pidfd, signal.SIGCONT)
            except ProcessLookupError:
                pass
            os.close(pidfd)


def _control_group(pid: int) -> ControlGroup | None:
    """The container's own group; None where it has none."""
    from rootless.cgroups.control_group import ControlGroup
    from rootless.cgroups.hierarchy import observe, own_path

    top = observe({}).hierarchy.top
    try:
        with open(f"/proc/{pid}/cgroup", encoding="utf-8", errors="surrogateescape") as file:
            path = own_path(file.read())
    except OSError:
        return None
    if top is None or path is None or not path.endswith("/container"):
        return None
    outer = f"{top}{path.removesuffix('/container')}"
    try:
        return ControlGroup(outer) if os.path.basename(outer).startswith("rootless-") else None
    except OSError:
        return None


def _wait(done: Callable[[], bool], record: ContainerRecord) -> None:
    end = time.monotonic() + _SETTLE
    while not done():
        if time.monotonic() > end:
            raise RootlessError(
                f"container {record.name} could not be paused within {_SETTLE:g} seconds",
                hint="try again, or use --pause=false",
            )
        time.sleep(_STEP)


def processes_of(pid: int) -> list[int]:
    """Every process in the user namespace of a container's first one, and that itself."""
    namespace = os.stat(f"/proc/{_joinable(pid)}/ns/user").st_ino
    found = [pid]
    for name in os.listdir("/proc"):
        try:
            if (
                name.isdecimal()
                and int(name) != pid
                and os.stat(f"/proc/{name}/ns/user").st_ino == namespace
            ):
                found.append(int(name))
        except OSError:
            continue
    return found


def _joinable(pid: int) -> int:
    """A process of a container whose namespaces this one may see. An init of the engine's (--init) is not dumpable,
    because it has executed no program (ptrace(2), "Ptrace access mode checking"); its first child is.
    """
    try:
        os.stat(f"/proc/{pid}/ns/user")
    except PermissionError:
        return next(iter(children_of(pid)), pid)
    return pid


def state_of(pid: int) -> str:
    """R, S, D, T, t, Z, X (proc_pid_stat(5)); X if it is gone."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            text = file.read()
    except OSError:
        return "X"
    return chr(text[text.rindex(b")") + 2])


def is_stopped(pid: int) -> bool:
    """Whether a process has stopped or ended. A parent in vfork(2) waits in state D until its child
    executes, and counts as stopped while that child is.
    """
    state = state_of(pid)
    return state in _STOPPED or (
        state == "D" and any(state_of(x) in "Tt" for x in children_of(pid))
    )


def _stop_all(record: ContainerRecord, stopped: list[int], watchdog: PauseWatchdog) -> None:
    """`stopped` takes the pidfds of those that have to be continued, also when this fails."""
    seen: set[int] = set()
    try:
        while new := [pid for pid in processes_of(record.pid) if pid not in seen]:
            for pid in new:
                seen.add(pid)
                if state_of(pid) in _STOPPED:
                    continue
                try:
                    pidfd = os.pidfd_open(pid)
                    stopped.append(pidfd)
                    watchdog.before_stopping(pid)
                    signal.pidfd_send_signal(pidfd, signal.SIGSTOP)
                except ProcessLookupError:
                    continue
            # What one of them starts before the signal reaches it is found in the next round.
            _wait(lambda: all(map(is_stopped, seen)), record)
    except OSError as error:
        raise RootlessError(
            f"cannot stop container {record.name}: {error.strerror}",
            hint="use --pause=false to read its files without pausing it",
        ) from error


def write_out(record: ContainerRecord) -> None:
    """Ask the kernel to write what it holds of the container's data to the server. Raises RootlessError."""
    try:
        processes = processes_of(record.pid)
    except FileNotFoundError:
        raise RootlessError(f"container {record.name} ended meanwhile", hint="try again") from None
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            _flush_from_inside(record.pid, processes)
            status = 0
        finally:
            os._exit(status)
    if os.waitpid(pid, 0)[1] != 0:
        raise RootlessError(f"cannot write out the files of container {record.name}")


def write_out_from(root: int, record: ContainerRecord) -> None:
    """As `write_out`, by a process of the container's user namespace. `root`: a descriptor of the container's root
    directory. Raises OSError.
    """
    proc = os.open("/proc", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    opened = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=root)
    try:
        _flush(proc, opened, processes_of(record.pid))
    finally:
        os.close(opened)
        os.close(proc)


def _flush_from_inside(pid: int, processes: list[int]) -> None:
    """The program of the process that joins the container."""
    from rootless.syscalls.processes import PR_SET_DUMPABLE, prctl, setns

    proc = os.open("/proc", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    # Inside, this process belongs to the container's users, who could open its executable, the
    # host's, through /proc (CVE-2019-5736): not of a process that is not dumpable.
    prctl(PR_SET_DUMPABLE, 0)
    setns(os.pidfd_open(_joinable(pid)), _CLONE_NEWUSER | _CLONE_NEWNS)
    _flush(proc, os.open("/", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC), processes)


def _flush(proc: int, root: int, processes: list[int]) -> None:
    from unionfs.syscalls.files import syncfs

    syncfs(root)
    devices = {os.fstat(root).st_dev, *_cow_devices(proc)}
    for process in processes:
        for path in _open_files(proc, process):
            # A link of procfs to an open file: it is followed to the file, and no path is walked.
            _open_and_close(proc, devices, proc, path)
        for path in _mapped_files(proc, process):
            _open_and_close(proc, devices, root, path, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS)


def _cow_devices(proc: int) -> list[int]:
    """The file systems of mounts that are copied on write, in the mount namespace of this process
    (proc_pid_mountinfo(5))."""
    descriptor = os.open("self/mountinfo", os.O_RDONLY | os.O_CLOEXEC, dir_fd=proc)
    with open(descriptor, "rb") as file:
        found = [line.split()[2].split(b":") for line in file if _OF_MOUNTS in line]
    return [os.makedev(int(major), int(minor)) for major, minor in found]


def _open_files(proc: int, pid: int) -> list[str]:
    try:
        directory = os.open(f"{pid}/fd", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=proc)
    except OSError:
        return []
    try:
        return [f"{pid}/fd/{name}" for name in os.listdir(directory)]
    finally:
        os.close(directory)


def _mapped_files(proc: int, pid: int) -> list[str]:
    """The paths of the files that are mapped shared and writable (proc_pid_maps(5))."""
    try:
        descriptor = os.open(f"{pid}/maps", os.O_RDONLY | os.O_CLOEXEC, dir_fd=proc)
    except OSError:
        return []
    with open(descriptor, "rb") as file:
        lines = [line.rstrip(b"\n").split(None, 5) for line in file]
    paths = {line[5] for line in lines if len(line) == 6 and line[1][1:2] + line[1][3:4] == b"ws"}
    return [os.fsdecode(path) for path in paths if path.startswith(b"/")]


def _open_and_close(
    proc: int, devices: Collection[int], directory: int, path: str, resolve: int = 0
) -> None:
    """Of a regular file on one of the devices; everything else is left alone."""
    try:
        # O_PATH first: to open a terminal or a FIFO may have effects.
        place = openat2(directory, path, os.O_PATH, resolve=resolve)
    except OSError:
        return  # it is gone, or belongs to another process
    try:
        found = os.fstat(place)
        if stat.S_ISREG(found.st_mode) and found.st_dev in devices:
            os.close(os.open(f"self/fd/{place}", os.O_RDONLY | os.O_CLOEXEC, dir_fd=proc))
    except OSError:
        return
    finally:
        os.close(place)
