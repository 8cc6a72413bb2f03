"""Makes the calling process a member of a running container, in place: it keeps its PID, parent, session and standard
streams.

64 ranks of a step do this at one time, each with an interpreter of its own. Nothing here imports `os`, which takes
a millisecond: `posix` is what it is made of (docs/decisions/1811-ranks-share-a-container.md).
"""

from __future__ import annotations

import errno
import posix
import sys

from rootless.light_stdlib import signal
from rootless.runtime.execution import (
    Credentials,
    Filters,
    environment_of,
    execute_checked,
    program_of,
    refuse_magic_links,
    resolve_user,
    script_interpreter,
    take_credentials,
)
from rootless.syscalls import processes
from rootless.syscalls.identity import become
from rootless.syscalls.openat2 import RESOLVE_IN_ROOT, RESOLVE_NO_MAGICLINKS, openat2
from unionfs.light_types import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import Any, NoReturn

    from rootless.runtime.userdb import Identity

from _frozen_importlib import BuiltinImporter, FrozenImporter  # noqa: E402

_WITHOUT_FILES = (BuiltinImporter, FrozenImporter)
_DIRECTORY = posix.O_PATH | posix.O_DIRECTORY | posix.O_CLOEXEC
_NOT_PERMITTED = (errno.EACCES, errno.EPERM)
_OF_PYTHON = (signal.SIGPIPE, signal.SIGXFSZ)
"""Signals that the interpreter ignores by itself."""


class Limit(NamedTuple):
    """`number` and values are those of setrlimit(2)."""

    name: str
    number: int
    soft: int
    hard: int


class JoinPlan(NamedTuple):
    """How a process joins a container. `flags` are the namespaces, `root` the ids with which the root is entered.
    `user` and `groups` are looked up in the container, `fixed` and `required` as in `resolve_user`. `terminal`: rows and
    columns of one of its own.
    """

    flags: int
    root: tuple[int, int]
    drop_groups: bool
    user: str
    groups: tuple[str, ...]
    fixed: bool
    required: bool
    limits: tuple[Limit, ...]
    umask: int
    directory: str
    credentials: Credentials
    args: tuple[str, ...]
    env: tuple[str, ...]
    terminal: tuple[int, int] | None = None


class Entry(NamedTuple):
    """All that a rank needs to enter a container. `groups` are the control groups of a container with limits; the first that
    takes the process has it.
    """

    plan: JoinPlan
    filters: Filters
    groups: tuple[str, ...] = ()


class Doing:
    """What a process does: the stage, and the words of its error message."""

    __slots__ = ("stage", "what")

    def __init__(self) -> None:
        self.stage, self.what = "set up", "start"


def to_plain(entry: Entry) -> tuple[Any, ...]:
    """The values of an entry for `marshal`, which takes no classes."""
    return tuple(map(_plain, entry))


def _plain(value: object) -> object:
    return tuple(map(_plain, value)) if isinstance(value, tuple) else value


def from_plain(plain: tuple[Any, ...]) -> Entry:
    """The entry of the values that `to_plain` has made."""
    values, filters, groups = plain
    plan = JoinPlan(*values)
    plan = plan._replace(
        limits=tuple(Limit(*each) for each in plan.limits),
        credentials=Credentials(*plan.credentials),
    )
    return Entry(plan, Filters(*filters), groups)


def enter(
    entry: Entry,
    container: int,
    doing: Doing,
    hand_over: Callable[[int], None],
    preserved: Iterable[int] = (),
) -> NoReturn:
    """Join the container whose first process has the pidfd `container`, and execute the command. The caller must have
    one thread, and the container the caller's PID namespace. Signals that the caller ignores stay ignored.

    Args:
        doing: Says what has failed.
        hand_over: Called with the listener of a seccomp filter, which it must not close.
        preserved: Descriptors that the command gets, beside the standard streams.

    Raises any error; after it this process has lost the host's tree: it can only print the error and end, and imports
    nothing from files any more.
    """
    plan = entry.plan
    if plan.limits:
        import resource  # noqa: F401 - while the interpreter's library is there
    sys.meta_path[:] = [each for each in sys.meta_path if each in _WITHOUT_FILES]
    if entry.groups:
        doing.what = "join the control group of the container"
        enter_group(entry.groups, limited=True)
    # What the trampoline would write its failure to: nothing reads it.
    null = posix.open("/dev/null", posix.O_WRONLY | posix.O_CLOEXEC)
    doing.what = "join the namespaces of the container"
    processes.prctl(processes.PR_SET_DUMPABLE, 0)
    processes.setns(container, plan.flags)
    identity = settle(plan, enter_root(plan, doing), doing)
    environment = environment_of(plan.env, identity.home)
    take_credentials(plan.credentials, identity, entry.filters, hand_over, keep_ids=plan.fixed)
    for number in _OF_PYTHON:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    processes.close_on_exec_from(3)
    for descriptor in preserved:
        posix.set_inheritable(descriptor, True)
    doing.stage, doing.what = "exec", f"exec {' '.join(plan.args)}"
    path = program_of(plan.args, environment)
    _require_format(path, refuse_magic_links(path))
    execute_checked(path, plan.args, environment, null)


def enter_group(groups: Sequence[str], *, limited: bool) -> None:
    """Enter the container's control group. Where the caller may not move a process there (cgroups(7),
    "Delegation Containment"), a container without limits does without.
    """
    refused: OSError | None = None
    for group in groups:
        try:
            descriptor = posix.open(f"{group}/cgroup.procs", posix.O_WRONLY | posix.O_CLOEXEC)
            try:
                posix.write(descriptor, b"0")
            finally:
                posix.close(descriptor)
            return
        except OSError as error:
            refused = refused or error
    if refused is not None and (limited or refused.errno not in _NOT_PERMITTED):
        raise refused


def enter_root(plan: JoinPlan, doing: Doing) -> int:
    """In the namespaces of the container: enter its root as its root user. Returns the root as an O_PATH descriptor."""
    doing.what = "enter the root of the container"
    root = posix.open("/", _DIRECTORY)
    doing.what = "become the root user of the container"
    become(*plan.root, drop_groups=plan.drop_groups)
    processes.prctl(processes.PR_SET_DUMPABLE, 0)
    return root


def settle(plan: JoinPlan, root: int, doing: Doing) -> Identity:
    """Find out who the process is to be, and give it limits, umask and directory."""
    doing.what = f"look up the user {plan.user!r}"
    identity = resolve_user(root, plan.user, plan.groups, fixed=plan.fixed, required=plan.required)
    for name, number, soft, hard in plan.limits:
        import resource

        doing.what = f"set limit {name}={soft}:{hard}"
        resource.setrlimit(number, (soft, hard))
    posix.umask(plan.umask)
    doing.stage, doing.what = "chdir", f"change to the working directory {plan.directory}"
    directory = openat2(
        root, plan.directory, _DIRECTORY, resolve=RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS
    )
    posix.fchdir(directory)
    posix.close(directory)
    doing.stage, doing.what = "set up", "take the credentials of the user"
    return identity


def _require_format(path: str, head: bytes | None) -> None:
    """Raise OSError as execve(2) would for a file that is no program, or a script whose interpreter is missing: after
    the trampoline nothing is left that could report it.
    """
    if head is None:
        try:
            posix.close(posix.open(path, posix.O_RDONLY | posix.O_CLOEXEC))
        except PermissionError:
            pass  # it may be executed nevertheless
        return
    interpreter = script_interpreter(head)
    if interpreter is not None:
        posix.stat(interpreter)
    elif not head.startswith(b"\x7fELF"):
        raise OSError(errno.ENOEXEC, posix.strerror(errno.ENOEXEC), path)
