"""The end of a command that writes to an ext3 image, as its parent hears of it: once fuse2fs has written the image.

The command is its caller's own child, and no process of the engine's stands between the two that could wait
(rootless.supervisor.in_place). So the kernel has to: the command inherits the descriptor of a FUSE file. Each process that
closes it, at the latest by its own end, waits in the kernel for the answer of the file's server (FUSE_FLUSH), a process of
the engine's, which answers at once. To the end of the command it attaches before it answers (PTRACE_SEIZE). The command then
leaves its namespaces, by which the container's files are unmounted, and its parent hears of its end after
its tracer has waited for it (ptrace(2), "Death under ptrace").

A command that closes the descriptor, or that another program traces, ends some milliseconds before the image is written.
"""

from __future__ import annotations

import fcntl
import os
import select
import stat
import time
from errno import ENOSYS

from rootless.light_stdlib import signal, socket
from rootless.supervisor.detach import ignore_signals
from rootless.supervisor.messages import close_all_but
from rootless.syscalls import descriptors, mounts, processes
from unionfs.session import wire
from unionfs.session.wire import Opcode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

_LIMIT = 30.0
"""Seconds after which the command ends whatever is not written yet, as `run` does."""
_LOOK_SECONDS = 0.5
_LEAST_DESCRIPTOR = 1000
"""Of the command's descriptor: a shell's script opens those with one digit, and shells keep theirs from 10 on."""
_MAX_WRITE = 4096
_EXITING = 4  # PF_EXITING of include/linux/sched.h, in the ninth field of /proc/PID/stat
_NODE = 1


def start_holder(monitor: int) -> socket.socket:
    """Start the server of the file, which the calling process is to open by `join_holder` before it becomes the command.
    The process must have one thread. `monitor`: the PID of the monitor, which ends when the image is written.
    """
    ours, theirs = descriptors.pair()
    command, ended = os.getpid(), os.pidfd_open(monitor)
    pid = os.fork()
    if pid == 0:
        try:
            if os.fork() == 0:  # no child of the command's
                _be_holder(theirs, command, ended)
        finally:
            os._exit(0)
    theirs.close()
    os.close(ended)
    os.waitpid(pid, 0)
    return ours


def join_holder(channel: socket.socket) -> None:
    """In the user namespace of the command: open the file, for the command to inherit. Raises OSError."""
    device = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
    mode = f"rootmode={stat.S_IFREG | 0o400:o}"
    owner = (f"user_id={os.getuid()}", f"group_id={os.getgid()}")
    tree = mounts.new_mount("fuse", "rootless", (f"fd={device}", mode, *owner, "allow_other"))
    descriptors.send(channel, b"device", [device])
    os.close(device)
    channel.close()
    opened = os.open(f"/proc/self/fd/{tree}", os.O_RDONLY | os.O_CLOEXEC)
    os.close(tree)
    try:
        fcntl.fcntl(opened, fcntl.F_DUPFD, _LEAST_DESCRIPTOR)
    except OSError:  # more than RLIMIT_NOFILE
        fcntl.fcntl(opened, fcntl.F_DUPFD, 3)
    os.close(opened)


def _be_holder(end: socket.socket, command: int, monitor: int) -> NoReturn:
    """The whole program of the server. It ends with the command."""
    try:
        os.setsid()
        os.chdir("/")
        ignore_signals(signal.SIGTERM)
        close_all_but((end.fileno(), monitor))
        null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        for stream in range(3):
            os.dup2(null, stream)
        _, received = descriptors.receive(end, 16, 1)
        if received:
            _serve(received[0], command, monitor)
    finally:
        os._exit(0)


def _serve(device: int, command: int, monitor: int) -> None:
    while True:
        try:
            request = os.read(device, wire.MIN_READ_BUFFER)
        except OSError:  # no process has the file
            return
        _, opcode, unique, _, uid, gid, pid, _, _ = wire.IN_HEADER.unpack_from(request)
        if opcode in wire.UNANSWERED:
            continue
        is_end = opcode == Opcode.FLUSH and _ends(command, pid)
        files = _mount_namespace(command) if is_end else ""
        is_traced = is_end and _trace(command)
        number, body = _answer(opcode, uid, gid)
        header = wire.OUT_HEADER.pack(wire.OUT_HEADER.size + len(body), -number, unique)
        os.write(device, header + body)
        if is_traced:
            _hold(command, monitor, files)
        if is_end:
            return


def _answer(opcode: int, uid: int, gid: int) -> tuple[int, bytes]:
    """The error, or 0, and what follows it."""
    if opcode == Opcode.INIT:
        version = (wire.KERNEL_VERSION, wire.OLDEST_MINOR)
        return 0, wire.INIT_OUT.pack(*version, 0, 0, 0, 0, _MAX_WRITE, 0, 0, 0, 0, 0, 0)
    if opcode == Opcode.GETATTR:
        attributes = (_NODE, *(0,) * 8, stat.S_IFREG | 0o400, 1, uid, gid, 0, 0, 0)
        return 0, wire.ATTR_OUT.pack(0, 0, 0, *attributes)
    if opcode == Opcode.OPEN:
        return 0, wire.OPEN_OUT.pack(0, 0, 0)
    if opcode in (Opcode.FLUSH, Opcode.RELEASE, Opcode.READ):
        return 0, b""
    return ENOSYS, b""


def _ends(command: int, pid: int) -> bool:
    """Whether it is the command that closes the file because it ends: with all its threads, of which `pid` is one."""
    tasks = f"/proc/{command}/task"
    if not os.path.exists(f"{tasks}/{pid}"):
        return False  # a child of it, most often
    return all(_is_exiting(f"{tasks}/{each}") for each in os.listdir(tasks))


def _is_exiting(thread: str) -> bool:
    try:
        with open(f"{thread}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return True  # it has ended
    return bool(int(fields[6]) & _EXITING)


def _trace(command: int) -> bool:
    """False if another process traces it, or the system lets none do so."""
    try:
        processes.seize(command)
    except OSError:
        return False
    return True


def _hold(command: int, monitor: int, files: str) -> None:
    """Let the parent of the command, which ends, hear of that when the monitor has ended; at once if processes that it has
    left behind still use the files.
    """
    os.waitid(os.P_PID, command, os.WEXITED | os.WNOWAIT | processes.WALL)
    until = time.monotonic() + _LIMIT
    poll = select.poll()
    poll.register(monitor, select.POLLIN)
    while not _are_used(files) and time.monotonic() < until:
        if poll.poll(_LOOK_SECONDS * 1000):
            break
    os.waitpid(command, processes.WALL)


def _mount_namespace(pid: int | str) -> str:
    """Its name; empty if the process has none any more."""
    try:
        return os.readlink(f"/proc/{pid}/ns/mnt")
    except OSError:
        return ""


def _are_used(files: str) -> bool:
    """Whether a process is in this mount namespace."""
    return any(
        name.isdigit() and files and _mount_namespace(name) == files for name in os.listdir("/proc")
    )
