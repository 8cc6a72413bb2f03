"""clone3(2), unshare(2), setns(2), close_range(2), prctl(2), sethostname(2), ptrace(2): what makes, confines and
traces a process."""

from __future__ import annotations

import errno
import posix

from rootless.light_stdlib import signal, struct
from rootless.syscalls.libc import check, encoded, fail, libc, once, syscall
from unionfs.syscalls.light_ctypes import ctypes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

CLONE_PIDFD = 0x00001000
CLONE_PARENT = 0x00008000
CLONE_NEWTIME = 0x00000080
CLONE_NEWNS = 0x00020000
CLONE_NEWCGROUP = 0x02000000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000
CLONE_INTO_CGROUP = 0x200000000

NAMESPACE_FLAGS = {
    "user": CLONE_NEWUSER,
    "mount": CLONE_NEWNS,
    "pid": CLONE_NEWPID,
    "network": CLONE_NEWNET,
    "ipc": CLONE_NEWIPC,
    "uts": CLONE_NEWUTS,
    "cgroup": CLONE_NEWCGROUP,
}
"""By the names of the OCI runtime specification (config-linux.md, Namespaces)."""

_CLONE3 = 435
_CLOSE_RANGE = 436
_CLOSE_RANGE_CLOEXEC = 4
_NO_CLOSE_RANGE = (errno.EINVAL, errno.ENOSYS)
"""Before Linux 5.11 for the flag, before 5.9 for the call."""
_PROC_SUPER_MAGIC = 0x9FA0  # linux/magic.h
_LARGEST_TABLE = 65536
"""Where the descriptors cannot be listed, that many are tried."""

WALL = 0x40000000
"""__WALL of wait(2)."""
_PTRACE_SEIZE = 0x4206

PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_SET_KEEPCAPS = 8
PR_SET_NAME = 15
PR_CAPBSET_DROP = 24
PR_SET_SECUREBITS = 28
PR_SET_CHILD_SUBREAPER = 36
PR_SET_NO_NEW_PRIVS = 38
PR_CAP_AMBIENT = 47
SECBIT_NO_SETUID_FIXUP = 1 << 2
PR_CAP_AMBIENT_RAISE = 2
PR_CAP_AMBIENT_CLEAR_ALL = 4


def fork_into(flags: int, cgroup: int | None = None) -> tuple[int, int]:
    """fork(2) with the namespaces of `flags`, and straight into a cgroup (a directory descriptor)
    when one is given.

    With CLONE_PARENT the new process is a child of this one's parent, which is sent the signal at its
    end that it is sent at this one's.

    Returns (pid, pidfd); (0, -1) in the child. The interpreter's hooks of fork are called as posix.fork()
    calls them, and it must have one thread: the call is made through PyDLL, which keeps the interpreter
    lock, so that nothing runs between it and the hooks.
    """
    pidfd = ctypes.c_int(-1)
    if cgroup is not None:
        flags |= CLONE_INTO_CGROUP
    arguments = struct.pack(
        "=11Q",
        flags | CLONE_PIDFD,
        ctypes.addressof(pidfd),
        0,
        0,
        # clone3(2) refuses a signal beside CLONE_PARENT.
        0 if flags & CLONE_PARENT else signal.SIGCHLD,
        0,
        0,
        0,
        0,
        0,
        0 if cgroup is None else cgroup,
    )
    interpreter = ctypes.PyDLL(None, use_errno=True)
    call = interpreter.syscall
    call.restype = ctypes.c_long
    interpreter.PyOS_BeforeFork()
    pid = int(call(ctypes.c_long(_CLONE3), arguments, ctypes.c_size_t(len(arguments))))
    if pid == 0:
        interpreter.PyOS_AfterFork_Child()
        return 0, -1
    number = ctypes.get_errno()
    interpreter.PyOS_AfterFork_Parent()
    if pid < 0:
        raise OSError(number, posix.strerror(number), "clone3")
    return pid, pidfd.value


def unshare(flags: int) -> None:
    check(libc().unshare(ctypes.c_int(flags)))


def setns(descriptor: int, flags: int) -> None:
    """Join the namespaces of `flags` of the process whose pidfd is given, or the one a namespace
    descriptor is of."""
    check(libc().setns(ctypes.c_int(descriptor), ctypes.c_int(flags)))


def seize(pid: int) -> None:
    """Trace a process from now on, without stopping it (ptrace(2), PTRACE_SEIZE). Raises OSError."""
    check(libc().ptrace(ctypes.c_long(_PTRACE_SEIZE), ctypes.c_long(pid), None, None))


def close_on_exec_from(first: int) -> None:
    """Mark every descriptor from `first` on close-on-exec."""
    try:
        syscall(_CLOSE_RANGE, first, 0xFFFFFFFF, _CLOSE_RANGE_CLOEXEC)
    except OSError as error:
        if error.errno not in _NO_CLOSE_RANGE:
            raise
        for descriptor in _open_from(first):
            try:
                posix.set_inheritable(descriptor, False)
            except OSError as closed:
                if closed.errno != errno.EBADF:
                    raise


def close_from(first: int) -> None:
    """Close every descriptor from `first` on."""
    try:
        syscall(_CLOSE_RANGE, first, 0xFFFFFFFF, 0)
    except OSError as error:
        if error.errno not in _NO_CLOSE_RANGE:
            raise
        for descriptor in _open_from(first):
            posix.closerange(descriptor, descriptor + 1)


def _open_from(first: int) -> Iterable[int]:
    """The open descriptors from `first` on, and perhaps others."""
    try:
        directory = posix.open(
            "/proc/self/fd", posix.O_RDONLY | posix.O_DIRECTORY | posix.O_CLOEXEC
        )
    except OSError:
        return range(first, _LARGEST_TABLE)
    try:
        # A root file system may have directories of these names where no procfs is mounted.
        kind = bytearray(256)
        address = ctypes.c_void_p(ctypes.addressof(ctypes.c_int.from_buffer(kind)))
        check(libc().fstatfs(ctypes.c_int(directory), address))
        if struct.unpack_from("@l", kind)[0] != _PROC_SUPER_MAGIC:
            return range(first, _LARGEST_TABLE)
        return [number for name in posix.listdir(directory) if (number := int(name)) >= first]
    finally:
        posix.close(directory)


@once
def _prctl() -> ctypes._NamedFuncPointer:
    function = libc().prctl
    function.argtypes = [ctypes.c_int, *([ctypes.c_ulong] * 4)]
    return function


def prctl(option: int, arg2: int = 0, arg3: int = 0, arg4: int = 0, arg5: int = 0) -> int:
    return check(int(_prctl()(option, arg2, arg3, arg4, arg5)))


def set_name(name: bytes) -> None:
    """Be called that in lists of processes: comm in proc(5), of which the kernel keeps 15 bytes."""
    data = bytearray(name.ljust(16, b"\0"))
    prctl(PR_SET_NAME, ctypes.addressof(ctypes.c_int.from_buffer(data)))


def sethostname(name: str) -> None:
    data = encoded(name)
    if libc().sethostname(data, ctypes.c_size_t(len(data))) < 0:
        fail(name)


def setdomainname(name: str) -> None:
    data = encoded(name)
    if libc().setdomainname(data, ctypes.c_size_t(len(data))) < 0:
        fail(name)
