"""The end of the start: user, credentials, seccomp, exec. Runs in the child."""

from __future__ import annotations

import errno
import posix
import sys
from _stat import S_ISDIR, S_ISREG

from rootless.light_stdlib import read_file, read_to_end, signal
from rootless.runtime.extensions import DEFAULT_PATH
from rootless.runtime.failure import ListenerRefusedError, NotFoundInPathError
from rootless.runtime.trampoline import execute_by_trampoline
from rootless.runtime.userdb import Identity, UnknownUserError, find_identity
from rootless.syscalls import capabilities, processes
from rootless.syscalls.identity import become, setgroups
from rootless.syscalls.mounts import AT_FDCWD
from rootless.syscalls.openat2 import RESOLVE_IN_ROOT, RESOLVE_NO_MAGICLINKS, openat2
from rootless.syscalls.seccomp import load_filter, load_notifying_filter
from unionfs.light_types import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from typing import Any, NoReturn

_USER_FILE_LIMIT = 16 * 1024 * 1024  # bytes of /etc/passwd or /etc/group that are read
_IN_ROOT = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS
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


def resolve_user(
    root: int, user: str, groups: tuple[str, ...], *, fixed: bool, required: bool
) -> Identity:
    """Who `user` is in the container whose root is open, with the additional `groups`. With `fixed` the container has a
    single id, and every user is that one unless it is `required`.

    Raises UnknownUserError, OSError.
    """
    passwd = _read_user_file(root, "/etc/passwd")
    group = _read_user_file(root, "/etc/group")
    found = find_identity(user, passwd, group, groups)
    if not fixed:
        # Now, while files can be opened whatever the limit of open files will be.
        _check_mapped(found)
        return found
    if required and found.uid != posix.getuid():
        raise UnknownUserError(
            f"cannot become {user}: the account has no subordinate ids, so {posix.getuid()} is the only user"
        )
    return Identity(posix.getuid(), posix.getgid(), (), found.home)


def _check_mapped(found: Identity) -> None:
    own, group = posix.getuid(), posix.getgid()
    for name, mapped, numbers in (
        ("uid", own, {found.uid}),
        ("gid", group, {found.gid, *found.groups}),
    ):
        if numbers == {mapped}:
            continue  # this process has it
        content = read_file(f"/proc/self/{name}_map")
        ranges = [tuple(map(int, line.split())) for line in content.splitlines()]
        for number in numbers:
            if not any(first <= number < first + size for first, _, size in ranges):
                raise UnknownUserError(f"{name} {number} is not in the id map of the container")


def _read_user_file(root: int, path: str) -> bytes:
    """Empty when there is none. Never waits on a FIFO, never reads without end."""
    flags = posix.O_RDONLY | posix.O_NONBLOCK | posix.O_NOCTTY
    try:
        descriptor = openat2(root, path, flags, resolve=_IN_ROOT)
    except (FileNotFoundError, NotADirectoryError):
        return b""
    try:
        if not S_ISREG(posix.fstat(descriptor).st_mode):
            return b""
        return read_to_end(descriptor, _USER_FILE_LIMIT)
    finally:
        posix.close(descriptor)


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
    posix.close(listener)


def environment_of(env: Iterable[str], home: str) -> dict[str, str]:
    """The environment of the command: a later entry wins; HOME is the user's unless it is set."""
    result: dict[str, str] = {}
    for entry in env:
        name, _, value = entry.partition("=")
        result[name] = value
    if not result.get("HOME"):
        result["HOME"] = home
    return result


def execute(args: Sequence[str], environment: Mapping[str, str], channel: int) -> NoReturn:
    """execve(2), of a name without a slash after a search of PATH in `environment`. `channel` is the descriptor of the
    handshake, to which the trampoline writes failures.

    Raises:
        NotFoundInPathError: no directory of PATH has it.
        OSError: it was found and cannot be run, or the path given does not exist.
    """
    path = program_of(args, environment)
    refuse_magic_links(path)
    execute_checked(path, args, environment, channel)


def program_of(args: Sequence[str], environment: Mapping[str, str]) -> str:
    """The path of a command. Raises as `execute`."""
    return find_executable(args[0], environment.get("PATH", DEFAULT_PATH))


def execute_checked(
    path: str, args: Sequence[str], environment: Mapping[str, str], channel: int
) -> NoReturn:
    """`execute`, of a path that `program_of` has found and `refuse_magic_links` has let through."""
    execute_by_trampoline(path, args, environment, channel)
    # Without a trampoline the process is still the engine's program when the kernel looks for the
    # interpreter of a script, so the engine has to have read which one that is.
    refuse_magic_links(path, unreadable=True)
    posix.execve(path, list(args), environment)


def find_executable(name: str, search: str) -> str:
    """The path of a command: `name` itself if it has a slash, else a file of a directory in `search` (the variable PATH).
    Raises as `execute`."""
    if not name:
        raise NotFoundInPathError(errno.ENOENT, posix.strerror(errno.ENOENT), name)
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
    raise NotFoundInPathError(errno.ENOENT, posix.strerror(errno.ENOENT), name)


def _check_executable(path: str) -> None:
    mode = posix.stat(path).st_mode
    if S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, posix.strerror(errno.EISDIR), path)
    if not S_ISREG(mode) or not posix.access(path, posix.X_OK, effective_ids=True):
        raise PermissionError(errno.EACCES, posix.strerror(errno.EACCES), path)


def refuse_magic_links(path: str, *, unreadable: bool = False) -> bytes | None:
    """Refuse a command, or the interpreter of a script, that leads through /proc/PID/exe or the
    like, and with `unreadable` a file that may be such a script but cannot be read. Returns the head of the command; None
    if it cannot be read.

    Until exec that is the engine's own program on the host: executed inside, it could be opened for
    writing by its new owner (CVE-2019-5736).

    Raises:
        PermissionError: it does.
    """
    first: bytes | None = None
    for _ in range(_SCRIPT_DEPTH):
        try:
            fd = openat2(AT_FDCWD, path, posix.O_RDONLY, resolve=RESOLVE_NO_MAGICLINKS)
        except OSError as error:
            if error.errno == errno.ELOOP or (unreadable and error.errno == errno.EACCES):
                raise PermissionError(errno.EACCES, posix.strerror(errno.EACCES), path) from None
            return first  # exec fails in the same way
        try:
            head = posix.read(fd, _HEAD)
        finally:
            posix.close(fd)
        first = head if first is None else first
        interpreter = script_interpreter(head)
        if interpreter is None:
            return first
        path = interpreter.decode(sys.getfilesystemencoding(), "surrogateescape")
    return first


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
