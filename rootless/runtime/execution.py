"""The end of the start: credentials, seccomp, exec. Runs in the child."""

from __future__ import annotations

import errno
import os
import stat

from rootless.light_stdlib import signal
from rootless.runtime.extensions import DEFAULT_PATH
from rootless.runtime.trampoline import execute_by_trampoline
from rootless.runtime.userdb import Identity
from rootless.syscalls import capabilities, processes
from rootless.syscalls.identity import become, setgroups
from rootless.syscalls.mounts import AT_FDCWD
from rootless.syscalls.openat2 import RESOLVE_NO_MAGICLINKS, openat2
from rootless.syscalls.seccomp import load_filter, load_notifying_filter
from unionfs.light_types import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any, NoReturn

_SCRIPT_DEPTH = 6  # search_binary_handler follows five interpreters
_HEAD = 256  # BINPRM_BUF_SIZE of the kernel


class Credentials(NamedTuple):
    """The credentials of the process. Capability names have no CAP_ prefix; the effective set is the permitted one.
    For a user other than root exec(2) leaves the ambient set only (capabilities(7)), which is empty unless asked
    for.
    """

    bounding: frozenset[str]
    permitted: frozenset[str]
    inheritable: frozenset[str]
    ambient: frozenset[str]
    no_new_privileges: bool

    def describe(self) -> str:
        return f"keep {len(self.bounding)} capabilities"


def credentials_of(process: Mapping[str, Any]) -> Credentials:
    """The capabilities of a process of a spec."""
    given = process.get("capabilities", {})

    def names(key: str) -> frozenset[str]:
        return frozenset(str(n).removeprefix("CAP_") for n in given.get(key, ()))

    return Credentials(
        bounding=names("bounding"),
        permitted=names("permitted"),
        inheritable=names("inheritable"),
        ambient=names("ambient"),
        no_new_privileges=bool(process.get("noNewPrivileges")),
    )


class Filters(NamedTuple):
    """The programs of a container. `notifying` is loaded first, with a listener that the engine receives; where the
    kernel has no listener to give, `substitute` in its place, if there is one."""

    programs: tuple[bytes, ...] = ()
    """In the order in which they are loaded."""
    notifying: bytes = b""
    substitute: bytes = b""


class Execute(NamedTuple):
    """The end of the start: exec, an init of the engine's with the command as its child, or a process that only
    holds the namespaces.
    """

    args: tuple[str, ...]
    env: tuple[str, ...]
    init: bool
    terminal: bool
    holds: bool = False

    def describe(self) -> str:
        if self.holds:
            return "hold the namespaces"
        return f"{'init and ' if self.init else ''}exec {' '.join(self.args)}"


class ListenerRefusedError(OSError):
    """The kernel gives no listener for the notifications of a filter."""


class NotFoundInPathError(FileNotFoundError):
    """No directory of PATH has the command."""


def reset_signals() -> None:
    """Python ignores SIGPIPE and SIGXFSZ, and what is ignored stays so over exec."""
    for number in signal.valid_signals():
        # The interpreter knows what it has set, and what was ignored when it began.
        if signal.getsignal(number) != signal.SIG_DFL:
            signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def take_credentials(
    credentials: Credentials,
    identity: Identity,
    filters: Filters,
    hand_over: Callable[[int], None],
    *,
    keep_ids: bool,
) -> None:
    """Become the container's user with the capabilities and filters it is to have. `hand_over` sends the listener of
    a filter to the engine.

    The bounding set goes first, which needs CAP_SETPCAP. Filters go before the last capset, because
    loading one without no_new_privs needs CAP_SYS_ADMIN; the filters of the single-id case
    therefore leave capset alone.
    """
    bounding = capabilities.bits(credentials.bounding)
    for number in range(64):
        if not bounding >> number & 1:
            try:
                processes.prctl(processes.PR_CAPBSET_DROP, number)
            except OSError as error:
                if error.errno == errno.EINVAL:
                    break  # past the kernel's last one
                raise
    processes.prctl(processes.PR_SET_KEEPCAPS, 1)
    if not keep_ids:
        setgroups(identity.groups)
        become(identity.uid, identity.gid)
    permitted = capabilities.bits(credentials.permitted)
    inheritable = capabilities.bits(credentials.inheritable)
    for_filters = capabilities.bits(frozenset({"SYS_ADMIN"}))
    capabilities.capset(permitted | for_filters, permitted | for_filters, inheritable)
    if credentials.no_new_privileges:
        processes.prctl(processes.PR_SET_NO_NEW_PRIVS, 1)
    if filters.notifying:
        _load_notifying(filters, hand_over)
    for program in filters.programs:
        load_filter(program)
    capabilities.capset(permitted, permitted, inheritable)
    for name in sorted(credentials.ambient):
        number = capabilities.NAMES.index(name)
        processes.prctl(processes.PR_CAP_AMBIENT, processes.PR_CAP_AMBIENT_RAISE, number)
    processes.prctl(processes.PR_SET_DUMPABLE, 0)


def _load_notifying(filters: Filters, hand_over: Callable[[int], None]) -> None:
    """First, because another filter may forbid what it takes to send the listener."""
    try:
        listener = load_notifying_filter(filters.notifying)
    except OSError as error:
        if not filters.substitute:
            raise ListenerRefusedError(error.errno, error.strerror) from error
        # EBUSY in a container of an engine that listens itself, or a kernel before Linux 5.0.
        load_filter(filters.substitute)
        return
    hand_over(listener)
    os.close(listener)


def execute(args: Sequence[str], environment: Mapping[str, str], channel: int) -> NoReturn:
    """execve(2), of a name without a slash after a search of PATH in `environment`. `channel` is the descriptor of the
    handshake, to which the trampoline writes failures.

    Raises:
        NotFoundInPathError: no directory of PATH has it.
        OSError: it was found and cannot be run, or the path given does not exist.
    """
    path = find_executable(args[0], environment.get("PATH", DEFAULT_PATH))
    refuse_magic_links(path)
    execute_by_trampoline(path, args, environment, channel)
    # Without a trampoline the process is still the engine's program when the kernel looks for the
    # interpreter of a script, so the engine has to have read which one that is.
    refuse_magic_links(path, unreadable=True)
    os.execve(path, list(args), environment)


def find_executable(name: str, search: str) -> str:
    if not name:
        raise NotFoundInPathError(errno.ENOENT, os.strerror(errno.ENOENT), name)
    if "/" in name:
        _check_executable(name)
        return name
    refused: OSError | None = None
    for directory in search.split(":"):
        candidate = f"{directory or '.'}/{name}"
        try:
            _check_executable(candidate)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            refused = refused or error
        else:
            return candidate
    if refused is not None:
        raise refused
    raise NotFoundInPathError(errno.ENOENT, os.strerror(errno.ENOENT), name)


def _check_executable(path: str) -> None:
    mode = os.stat(path).st_mode
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
    if not stat.S_ISREG(mode) or not os.access(path, os.X_OK, effective_ids=True):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)


def refuse_magic_links(path: str, *, unreadable: bool = False) -> None:
    """Refuse a command, or the interpreter of a script, that leads through /proc/PID/exe or the
    like, and with `unreadable` a file that may be such a script but cannot be read.

    Until exec that is the engine's own program on the host: executed inside, it could be opened for
    writing by its new owner (CVE-2019-5736).

    Raises:
        PermissionError: it does.
    """
    for _ in range(_SCRIPT_DEPTH):
        try:
            fd = openat2(AT_FDCWD, path, os.O_RDONLY, resolve=RESOLVE_NO_MAGICLINKS)
        except OSError as error:
            if error.errno == errno.ELOOP or (unreadable and error.errno == errno.EACCES):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path) from None
            return  # exec fails in the same way
        with open(fd, "rb") as file:
            interpreter = script_interpreter(file.read(_HEAD))
        if interpreter is None:
            return
        path = os.fsdecode(interpreter)


def script_interpreter(head: bytes) -> bytes | None:
    """The interpreter that a file beginning with `head` names, as load_script in fs/binfmt_script.c
    finds it; None for what is no script. Only blanks and tabs separate, and a zero byte ends."""
    line = head[:_HEAD].partition(b"\n")[0]
    if not line.startswith(b"#!"):
        return None
    name = line[2:].lstrip(b" \t")
    for separator in (b" ", b"\t", b"\0"):
        name = name.partition(separator)[0]
    return name or None
