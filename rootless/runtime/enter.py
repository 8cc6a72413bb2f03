"""Makes the calling process a member of a running container, in place: it keeps its PID, parent, session and standard
streams.
"""

from __future__ import annotations

import errno
import os
import sys

from rootless.light_stdlib import signal, socket
from rootless.runtime import failures
from rootless.runtime.child import become_user, failure_of
from rootless.runtime.execution import (
    execute,
    find_executable,
    reset_signals,
    script_interpreter,
)
from rootless.runtime.extensions import DEFAULT_PATH
from rootless.runtime.join import enter_group, enter_root, make_join_plan
from rootless.runtime.seccomp import filters_of
from rootless.runtime.steps.context import Context
from rootless.syscalls import processes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import NoReturn

    from rootless.runtime.join import JoinArgs

_HEAD = 256
_OF_PYTHON = frozenset({signal.SIGPIPE, signal.SIGXFSZ})
"""Signals that the interpreter ignores by itself."""


def enter(args: JoinArgs, preserved: Iterable[int] = ()) -> NoReturn:
    """Join the container and execute `process` of its spec. The caller must have one thread, and the container the
    caller's PID namespace. Signals that the caller ignores stay ignored.

    Args:
        preserved: Descriptors that the command gets, beside the standard streams.

    Raises:
        CommandNotFoundError, CommandNotExecutableError: there is no such command.
        LaunchError: something else failed. In either case this process has lost the host's tree: it can only
            print the error and end, and imports nothing any more.
    """
    plan = make_join_plan(args.spec)
    filters = filters_of(args.spec, args.seccomp_cache)
    ignored = [
        number
        for number in signal.valid_signals() - _OF_PYTHON
        if signal.getsignal(number) == signal.SIG_IGN
    ]
    stage, doing = "set up", "join the control group of the container"
    sys.meta_path.clear()
    try:
        if args.spec["linux"].get("resources"):
            enter_group(args)
        # What the trampoline would write its failure to: nothing reads it.
        null = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
        doing = "join the namespaces of the container"
        processes.prctl(processes.PR_SET_DUMPABLE, 0)
        processes.setns(args.container, plan.flags)
        context = Context(socket.socket(socket.AF_UNIX))
        for stage, doing in enter_root(plan, context):  # noqa: B007 - for the report
            pass
        environment = become_user(
            context, plan.credentials, plan.env, filters, args.hand_over or os.close
        )
        reset_signals()
        for number in ignored:
            signal.signal(number, signal.SIG_IGN)
        processes.close_on_exec_from(3)
        for descriptor in preserved:
            os.set_inheritable(descriptor, True)
        stage, doing = "exec", f"exec {' '.join(plan.args)}"
        _require_format(find_executable(plan.args[0], environment.get("PATH", DEFAULT_PATH)))
        execute(plan.args, environment, null)
    except BaseException as error:  # noqa: BLE001 - the traceback would need imports
        raise failures.launch_error(failure_of(stage, doing, error)) from None


def _require_format(path: str) -> None:
    """Raise OSError as execve(2) would for a file that is no program, or a script whose interpreter is missing: after
    the trampoline nothing is left that could report it.
    """
    try:
        with open(path, "rb") as file:
            head = file.read(_HEAD)
    except PermissionError:
        return
    interpreter = script_interpreter(head)
    if interpreter is not None:
        os.stat(interpreter)
    elif not head.startswith(b"\x7fELF"):
        raise OSError(errno.ENOEXEC, os.strerror(errno.ENOEXEC), path)
