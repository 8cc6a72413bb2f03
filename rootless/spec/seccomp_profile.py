"""The default seccomp profile, and the reading of profiles in Docker's format. Pure. What it allows is
what Docker's default allows; a test lists the differences with their reasons.

Three answers: a call of `ALLOWED` goes through; a call that is known and withheld is EPERM;
anything else, above all a call newer than this table, is ENOSYS, because a program (glibc first of
all) takes ENOSYS as "not there" and falls back, and EPERM as the end.

What is withheld is what reaches past the namespaces (the kernel itself, the clock, the keyring that
all users of a host share, devices) or has a history of kernel bugs while programs do without it
(userfaultfd, io_uring). A capability that was given brings its calls back.
"""

from __future__ import annotations

from rootless.errors import InvalidDocumentError
from rootless.light_json import loads
from rootless.runtime.seccomp_rules import (
    ARCHITECTURES,
    ENOSYS,
    EPERM,
    Profile,
    argument_rule,
)
from rootless.spec.host import HostFacts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from typing import Any

AF_ALG = 38
"""The kernel's cryptography: reached by no namespace, and a history of kernel bugs."""
AF_VSOCK = 40
"""Virtual machines and their host: reached by no namespace."""
_FAMILIES: tuple[tuple[int, int], ...] = (
    (0, 32), (32, 4), (36, 2), (39, 1), (41, 1), (42, 2), (44, 4), (48, 16),
)  # fmt: skip
"""The address families from 0 to 63 except those two, as blocks of a power of two: first, count. The kernel looks at the lower
half of the argument alone, and only a masked comparison does the same; `not 38` would let 2^32 + 38 pass."""
CLONE_NAMESPACES = 0x7E020000
"""CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET."""

# Readable where seven groups of ten lines are not: one reason, then the names.
_GROUPS: dict[str, str] = {
    "files": """
        access chdir chmod chown chown32 close close_range copy_file_range creat dup dup2 dup3
        faccessat faccessat2 fadvise64 fadvise64_64 fallocate fchdir fchmod fchmodat fchmodat2
        fchown fchown32 fchownat fcntl fcntl64 fdatasync flock fstat fstat64 fstatat64 fstatfs
        fstatfs64 fsync ftruncate ftruncate64 futimesat getcwd getdents getdents64 ioctl lchown
        lchown32 link linkat _llseek lseek lstat lstat64 mkdir mkdirat mknod mknodat
        name_to_handle_at newfstatat open openat openat2 pipe pipe2 pread64 preadv preadv2
        pwrite64 pwritev pwritev2 read readahead readlink readlinkat readv rename renameat
        renameat2 rmdir sendfile sendfile64 splice stat stat64 statfs statfs64 statx symlink
        symlinkat sync sync_file_range syncfs tee truncate truncate64 umask unlink unlinkat
        utime utimensat utimensat_time64 utimes vmsplice write writev cachestat statmount
        listmount""",
    "extended attributes": """
        fgetxattr flistxattr fremovexattr fsetxattr getxattr getxattrat lgetxattr listxattr
        listxattrat llistxattr lremovexattr lsetxattr removexattr removexattrat setxattr
        setxattrat""",
    "waiting": """
        epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait
        epoll_wait_old eventfd eventfd2 inotify_add_watch inotify_init inotify_init1
        inotify_rm_watch fanotify_mark _newselect poll ppoll ppoll_time64 pselect6
        pselect6_time64 select signalfd signalfd4""",
    "memory": """
        brk madvise map_shadow_stack membarrier memfd_create memfd_secret mincore mlock mlock2
        mlockall mmap mmap2 mprotect mremap mseal msync munlock munlockall munmap pkey_alloc
        pkey_free pkey_mprotect process_mrelease remap_file_pages""",
    "processes": """
        execve execveat exit exit_group fork getpgid getpgrp getpid getppid getpriority
        getrlimit getrusage getsid gettid ioprio_get ioprio_set kill pidfd_open
        pidfd_send_signal prctl prlimit64 process_vm_readv process_vm_writev ptrace
        restart_syscall sched_get_priority_max sched_get_priority_min sched_getaffinity
        sched_getattr sched_getparam sched_getscheduler sched_rr_get_interval
        sched_rr_get_interval_time64 sched_setaffinity sched_setattr sched_setparam
        sched_setscheduler sched_yield seccomp set_robust_list get_robust_list set_thread_area
        get_thread_area set_tid_address setpgid setpriority setrlimit setsid getcpu rseq tgkill
        times tkill ugetrlimit vfork wait4 waitid waitpid landlock_add_rule
        landlock_create_ruleset landlock_restrict_self uretprobe""",
    "identity": """
        capget capset getegid getegid32 geteuid geteuid32 getgid getgid32 getgroups getgroups32
        getresgid getresgid32 getresuid getresuid32 getuid getuid32 setfsgid setfsgid32 setfsuid
        setfsuid32 setgid setgid32 setgroups setgroups32 setregid setregid32 setresgid
        setresgid32 setresuid setresuid32 setreuid setreuid32 setuid setuid32""",
    "signals": """
        alarm getitimer pause rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo
        rt_sigreturn rt_sigsuspend rt_sigtimedwait rt_sigtimedwait_time64 rt_tgsigqueueinfo
        setitimer sigaltstack sigprocmask sigreturn""",
    "time, which is read but not set": """
        adjtimex clock_adjtime clock_adjtime64 clock_getres clock_getres_time64 clock_gettime
        clock_gettime64 clock_nanosleep clock_nanosleep_time64 gettimeofday nanosleep time
        timer_create timer_delete timer_getoverrun timer_gettime timer_gettime64 timer_settime
        timer_settime64 timerfd_create timerfd_gettime timerfd_gettime64 timerfd_settime
        timerfd_settime64""",
    "locks between threads": """
        futex futex_requeue futex_time64 futex_wait futex_waitv futex_wake""",
    "messages and shared memory, which the IPC namespace keeps apart": """
        ipc mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedreceive_time64 mq_timedsend
        mq_timedsend_time64 mq_unlink msgctl msgget msgrcv msgsnd semctl semget semop semtimedop
        semtimedop_time64 shmat shmctl shmdt shmget""",
    "sockets": """
        accept accept4 bind connect getpeername getsockname getsockopt listen recv recvfrom
        recvmmsg recvmmsg_time64 recvmsg send sendmmsg sendmsg sendto setsockopt shutdown
        socketcall socketpair""",
    "asynchronous input and output of the old kind": """
        io_cancel io_destroy io_getevents io_pgetevents io_pgetevents_time64 io_setup io_submit""",
    "the system described": """
        getrandom sysinfo uname""",
}

ALLOWED: frozenset[str] = frozenset(name for names in _GROUPS.values() for name in names.split())

WITHHELD: dict[str, str] = {
    "the keyring of the host's user": "add_key keyctl request_key",
    "new programming of the kernel": "bpf create_module delete_module finit_module init_module "
    "get_kernel_syms query_module kexec_file_load kexec_load perf_event_open",
    "the clock of the host": "clock_settime clock_settime64 settimeofday stime",
    "mounts and namespaces": "fsconfig fsmount fsopen fspick mount mount_setattr move_mount "
    "open_tree open_tree_attr pivot_root setns umount umount2 unshare",
    "names of the host": "setdomainname sethostname",
    "the whole machine": "acct afs_syscall nfsservctl quotactl quotactl_fd reboot swapoff swapon "
    "sysfs _sysctl syslog uselib ustat vhangup",
    "hardware": "ioperm iopl vm86 vm86old",
    "memory of other nodes and processes": "get_mempolicy kcmp lookup_dcookie mbind migrate_pages "
    "move_pages pidfd_getfd process_madvise set_mempolicy set_mempolicy_home_node",
    "files past their permissions": "open_by_handle_at fanotify_init chroot",
    "the security modules of the host": "lsm_get_self_attr lsm_list_modules lsm_set_self_attr",
    "a history of kernel bugs": "io_uring_enter io_uring_register io_uring_setup userfaultfd",
    "with other arguments than the rules below allow": "clone personality socket",
}

BY_CAPABILITY: dict[str, str] = {
    "DAC_READ_SEARCH": "open_by_handle_at",
    "SYS_ADMIN": "bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie "
    "lsm_get_self_attr lsm_list_modules lsm_set_self_attr mount mount_setattr move_mount open_tree "
    "open_tree_attr perf_event_open quotactl quotactl_fd "
    "setdomainname sethostname setns syslog umount umount2 unshare",
    "SYS_BOOT": "reboot",
    "SYS_CHROOT": "chroot",
    "SYS_MODULE": "delete_module finit_module init_module",
    "SYS_PACCT": "acct",
    "SYS_PTRACE": "kcmp pidfd_getfd process_madvise",
    "SYS_RAWIO": "ioperm iopl",
    "SYS_TIME": "clock_settime clock_settime64 settimeofday stime",
    "SYS_TTY_CONFIG": "vhangup",
    "SYS_NICE": "get_mempolicy mbind set_mempolicy set_mempolicy_home_node",
    "SYSLOG": "syslog",
    "BPF": "bpf",
    "PERFMON": "perf_event_open",
}

BY_ARCHITECTURE: dict[str, str] = {
    "x86_64": "arch_prctl modify_ldt",
    "aarch64": "arm_fadvise64_64 arm_sync_file_range breakpoint cacheflush set_tls "
    "sync_file_range2",
    "ppc64le": "sync_file_range2 swapcontext",
    "s390x": "s390_pci_mmio_read s390_pci_mmio_write s390_runtime_instr",
    "riscv64": "riscv_flush_icache riscv_hwprobe",
}

_PERSONALITIES = (0x0, 0x8, 0x20000, 0x20008, 0xFFFFFFFF)


def _allow(names: Iterable[str], *arguments: dict[str, Any]) -> dict[str, Any]:
    rule: dict[str, Any] = {"names": sorted(names), "action": "SCMP_ACT_ALLOW"}
    return {**rule, "args": list(arguments)} if arguments else rule


def default_profile(capabilities: frozenset[str], machine: str) -> Profile:
    """The `linux.seccomp` object for a container with these capabilities (no CAP_ prefix)."""
    allowed = set(ALLOWED) | set(BY_ARCHITECTURE.get(machine, "").split())
    for capability in capabilities:
        allowed |= set(BY_CAPABILITY.get(capability, "").split())
    rules = [_allow(allowed)]
    if "clone" not in allowed:
        # s390 passes the flags as the second argument (clone(2), C library/kernel differences).
        # clone3's are in memory that no filter can read: ENOSYS, so that the C library uses clone.
        index = 1 if machine == "s390x" else 0
        rules.append(_allow(["clone"], argument_rule(index, CLONE_NAMESPACES, "MASKED_EQ")))
    for first, count in _FAMILIES:
        mask = 0xFFFFFFFF - (count - 1)
        rules.append(_allow(["socket"], argument_rule(0, mask, "MASKED_EQ", first)))
    rules += [_allow(["personality"], argument_rule(0, value, "EQ")) for value in _PERSONALITIES]
    withheld = {name for names in WITHHELD.values() for name in names.split()} - allowed
    conditional = {"clone", "personality", "socket"}
    rules.append(
        {
            "names": sorted(withheld - conditional),
            "action": "SCMP_ACT_ERRNO",
            "errnoRet": EPERM,
        }
    )
    rules += _refusals(machine, has_clone="clone" in allowed)
    return {
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": ENOSYS,
        "architectures": list(ARCHITECTURES.get(machine, ())),
        "syscalls": rules,
    }


def _refusals(machine: str, *, has_clone: bool) -> list[dict[str, Any]]:
    """EPERM for the arguments that the conditional rules leave out."""

    def refuse(name: str, *arguments: dict[str, Any]) -> dict[str, Any]:
        return {
            "names": [name],
            "action": "SCMP_ACT_ERRNO",
            "errnoRet": EPERM,
            "args": list(arguments),
        }

    rules = [
        refuse("socket", argument_rule(0, 0xFFFFFFFF, "MASKED_EQ", family))
        for family in (AF_ALG, AF_VSOCK)
    ]
    if not has_clone:
        index = 1 if machine == "s390x" else 0
        flags = (1 << bit for bit in range(32) if CLONE_NAMESPACES >> bit & 1)
        rules += [refuse("clone", argument_rule(index, flag, "MASKED_EQ", flag)) for flag in flags]
    return rules


def read_docker_profile(
    document: object, capabilities: frozenset[str], machine: str, kernel: tuple[int, int]
) -> Profile:
    """A profile in Docker's format (--security-opt seccomp=FILE) as the `linux.seccomp` object.

    Raises:
        InvalidDocumentError: it is not one.
    """
    if not isinstance(document, dict) or "defaultAction" not in document:
        raise InvalidDocumentError("the seccomp profile has no defaultAction")
    architectures = list(document.get("architectures") or ())
    for entry in document.get("archMap") or ():
        if entry.get("architecture") == ARCHITECTURES.get(machine, ("",))[0]:
            architectures = [entry["architecture"], *(entry.get("subArchitectures") or ())]
    profile: Profile = {"defaultAction": document["defaultAction"], "architectures": architectures}
    if document.get("defaultErrnoRet") is not None:
        profile["defaultErrnoRet"] = document["defaultErrnoRet"]
    profile["syscalls"] = [
        _oci_rule(rule)
        for rule in document.get("syscalls") or ()
        if _applies(rule, capabilities, machine, kernel)
    ]
    return profile


_GO_ARCHITECTURES = {
    "x86_64": {"amd64", "x32", "x86"},
    "aarch64": {"arm64", "arm"},
    "ppc64le": {"ppc64le"},
    "s390x": {"s390x", "s390"},
    "riscv64": {"riscv64"},
}


def _applies(
    rule: Mapping[str, Any], capabilities: frozenset[str], machine: str, kernel: tuple[int, int]
) -> bool:
    includes, excludes = rule.get("includes") or {}, rule.get("excludes") or {}

    def caps(where: Mapping[str, Any]) -> set[str]:
        return {str(name).removeprefix("CAP_") for name in where.get("caps") or ()}

    own = _GO_ARCHITECTURES.get(machine, {machine})
    if minimum := includes.get("minKernel"):
        major, _, minor = str(minimum).partition(".")
        if kernel < (int(major), int(minor or 0)):
            return False
    if includes.get("arches") and not own & set(includes["arches"]):
        return False
    if own & set(excludes.get("arches") or ()):
        return False
    return caps(includes) <= capabilities and not caps(excludes) & capabilities


def _oci_rule(rule: Mapping[str, Any]) -> dict[str, Any]:
    names: Sequence[str] = rule.get("names") or [rule["name"]]
    result: dict[str, Any] = {"names": list(names), "action": rule["action"]}
    if rule.get("args"):
        result["args"] = [dict(argument) for argument in rule["args"]]
    number = rule.get("errnoRet", rule.get("errno") if isinstance(rule.get("errno"), int) else None)
    if number is not None:
        result["errnoRet"] = number
    return result


def profile_of(
    choice: str | None,
    capabilities: frozenset[str],
    *,
    host: HostFacts,
    read: Callable[[str], bytes],
    privileged: bool = False,
) -> Profile | None:
    """The profile that --security-opt seccomp= asks for: the default, none, or the one in a file,
    which `read` returns the content of.

    Raises:
        InvalidDocumentError: the file cannot be read, or is not a profile.
    """
    if choice == "unconfined" or (privileged and choice is None):
        return None
    if choice is None:
        return default_profile(capabilities, host.machine)
    try:
        document = loads(read(choice))
    except OSError as error:
        raise InvalidDocumentError(
            f"opening seccomp profile ({choice}) failed: open {choice}: {(error.strerror or '').lower()}"
        ) from error
    except ValueError as error:
        raise InvalidDocumentError(
            f"decoding seccomp profile ({choice}) failed: {error}"
        ) from error
    return read_docker_profile(document, capabilities, host.machine, host.kernel)
