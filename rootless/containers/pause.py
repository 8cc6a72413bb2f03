"""Holding a running container still while its files are read from outside.

Its processes are stopped: by the freezer of its control group where it has one, otherwise one by
one with SIGSTOP, round after round until no further one is found (those that were stopped before
stay so afterwards).

Then what the kernel has not handed to the file server yet is: close(2) of a file waits for all its
writes (fuse_flush in fs/fuse/file.c), so that only files which are open or mapped can have any. They
are opened and closed once more, by a process that joins the container's namespaces, since the mount
answers to nobody else. syncfs(2) starts all of them at once but does not wait for FUSE.
"""

from __future__ import annotations

import os
import signal
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rootless.containers.pause_watchdog import waker
from rootless.errors import RootlessError

if TYPE_CHECKING:
    from rootless.cgroups.control_group import ControlGroup
    from rootless.containers.record import ContainerRecord

_SETTLE = 5.0
_STEP = 0.002
_CLONE_NEWUSER = 0x10000000
_CLONE_NEWNS = 0x00020000


@contextmanager
def held_still(record: ContainerRecord, *, pause: bool) -> Iterator[None]:
    """Stop a running container for the length of the block; without `pause`, only write out what it
    has written so far. Raises RootlessError if that cannot be done in some seconds."""
    if not pause:
        _write_out(record)
        yield
        return
    group = _control_group(record.pid)
    with waker(None if group is None else group.path) as before_stopping:
        yield from _stopped(record, group, before_stopping)


def _stopped(
    record: ContainerRecord, group: ControlGroup | None, before_stopping: Callable[[int], None]
) -> Iterator[None]:
    stopped: list[int] = []
    try:
        if group is not None:
            group.freeze()
            _wait(lambda: group.frozen, record)
        else:
            _stop_all(record, stopped, before_stopping)
        _write_out(record)
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
                f"container {record.name} did not come to a stop within {_SETTLE:g} seconds",
                hint="try again, or use --pause=false",
            )
        time.sleep(_STEP)


def _processes(pid: int) -> list[int]:
    """Every process in the user namespace of this one."""
    namespace = os.stat(f"/proc/{pid}/ns/user").st_ino
    found = []
    for name in os.listdir("/proc"):
        try:
            if name.isdecimal() and os.stat(f"/proc/{name}/ns/user").st_ino == namespace:
                found.append(int(name))
        except OSError:
            continue
    return found


def _state(pid: int) -> str:
    """R, S, D, T, t, Z, X (proc_pid_stat(5)); X if it is gone."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            text = file.read()
    except OSError:
        return "X"
    return chr(text[text.rindex(b")") + 2])


def _stop_all(
    record: ContainerRecord, stopped: list[int], before_stopping: Callable[[int], None]
) -> None:
    """`stopped` takes the pidfds of those that have to be continued, also when this fails."""
    seen: set[int] = set()
    try:
        while new := [pid for pid in _processes(record.pid) if pid not in seen]:
            for pid in new:
                seen.add(pid)
                if _state(pid) in "TtZX":
                    continue
                try:
                    pidfd = os.pidfd_open(pid)
                    stopped.append(pidfd)
                    before_stopping(pid)
                    signal.pidfd_send_signal(pidfd, signal.SIGSTOP)
                except ProcessLookupError:
                    continue
            # What one of them starts before the signal reaches it is found in the next round.
            _wait(lambda: all(_state(pid) in "TtZX" for pid in seen), record)
    except OSError as error:
        raise RootlessError(
            f"cannot stop container {record.name}: {error.strerror}",
            hint="use --pause=false to take its files as they are",
        ) from error


def _write_out(record: ContainerRecord) -> None:
    try:
        processes = _processes(record.pid)
    except FileNotFoundError:
        raise RootlessError(
            f"container {record.name} ended while it was looked at", hint="try again"
        ) from None
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


def _flush_from_inside(pid: int, processes: list[int]) -> None:
    """The program of the process that joins the container."""
    from rootless.syscalls.processes import setns
    from unionfs.syscalls.files import syncfs

    proc = os.open("/proc", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    setns(os.pidfd_open(pid), _CLONE_NEWUSER | _CLONE_NEWNS)
    root = os.open("/", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    syncfs(root)
    device = os.fstat(root).st_dev
    for process in processes:
        for path in (*_open_files(proc, process), *_mapped_files(proc, process)):
            _open_and_close(proc, path, device)


def _open_files(proc: int, pid: int) -> list[bytes]:
    try:
        directory = os.open(f"{pid}/fd", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=proc)
    except OSError:
        return []
    try:
        return [b"%d/fd/%b" % (pid, os.fsencode(name)) for name in os.listdir(directory)]
    finally:
        os.close(directory)


def _mapped_files(proc: int, pid: int) -> list[bytes]:
    """Those that are mapped to be written to and shared (proc_pid_maps(5))."""
    try:
        descriptor = os.open(f"{pid}/maps", os.O_RDONLY | os.O_CLOEXEC, dir_fd=proc)
    except OSError:
        return []
    with open(descriptor, "rb") as file:
        lines = [line.rstrip(b"\n").split(None, 5) for line in file]
    paths = {line[5] for line in lines if len(line) == 6 and line[1][1:2] + line[1][3:4] == b"ws"}
    return [b"%d/root%b" % (pid, path) for path in paths if path.startswith(b"/")]


def _open_and_close(proc: int, path: bytes, device: int) -> None:
    try:
        # Looked at first: to open a terminal or a fifo might do more than nothing.
        found = os.stat(path, dir_fd=proc)
        if stat.S_ISREG(found.st_mode) and found.st_dev == device:
            os.close(os.open(path, os.O_RDONLY | os.O_CLOEXEC, dir_fd=proc))
    except OSError:
        return  # gone, or another process's to read
