"""Starts a further process in a running container.

    caller -- fork(2) --> joiner -- clone3(2), CLONE_PARENT --> process

The joiner enters the container's control group and its namespaces, and makes the process, because a
PID namespace is entered by children only (pid_namespaces(7)). The process is a child of the caller's,
so that the caller learns its exit status; the joiner ends at once.

From before it joins until exec neither is dumpable: no process of the container can trace it or open
its /proc/PID, where the engine's program and memory are (CVE-2016-9962).
"""

from __future__ import annotations

import os
import sys

from rootless.errors import LaunchError
from rootless.light_stdlib import socket
from rootless.runtime.channel import receive, send
from rootless.runtime.child import (
    DEAD,
    become_user,
    connect_terminal,
    report,
    send_listener,
    take_stdio,
)
from rootless.runtime.enter import (
    Doing,
    JoinPlan,
    Limit,
    enter_group,
    enter_root,
    settle,
)
from rootless.runtime.execution import Filters, credentials_of, execute, reset_signals
from rootless.runtime.handshake import HandshakeMessage, MessageKind
from rootless.runtime.idmap import IdMaps
from rootless.runtime.seccomp import filters_of
from rootless.runtime.steps import attributes
from rootless.runtime.steps.context import Context
from rootless.syscalls import descriptors, processes
from unionfs.light_types import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from typing import Any, NoReturn

    from rootless.runtime.failure import Failure


class JoinArgs(NamedTuple):
    """All that a process needs. Descriptors stay the caller's."""

    container: int
    """A pidfd of the container's first process."""
    spec: Mapping[str, Any]
    """The OCI runtime spec of the container, with `process` and the annotations of the user that are
    the new process's."""
    stdio: tuple[int, int, int] | None
    """Descriptors that become its 0, 1 and 2; None when `process` asks for a terminal."""
    groups: Sequence[str] = ()
    """Directories of control groups; the first that takes the process has it."""
    seccomp_cache: str | None = None
    """Directory in which compiled filters are kept."""
    hand_over: Callable[[int], None] | None = None
    """Called with the listener of the process's seccomp filter, which it must not close. Without it the calls that
    the filter notifies of fail with ENOSYS."""
    preserved: tuple[int, ...] = ()
    """Descriptors that the command gets by their numbers, beside the standard streams."""


class JoinedProcess(NamedTuple):
    """A process that has executed its command, a child of the caller's. `console` is the master of its
    terminal, if it has one. Both descriptors are the caller's to close."""

    pidfd: int
    console: int | None


def join(args: JoinArgs) -> JoinedProcess:
    """Start the process and return once its command has been executed.

    Raises:
        CommandNotFoundError, CommandNotExecutableError: there is no such command.
        LaunchError: something else failed; nothing is left running.
    """
    plan = make_join_plan(args.spec)
    filters = filters_of(args.spec, args.seccomp_cache)
    own_end, child_end = descriptors.pair()
    joiner = os.fork()
    if joiner == 0:
        own_end.close()
        _join(args, plan, filters, child_end)
    child_end.close()
    try:
        return _receive(own_end, args.hand_over)
    finally:
        own_end.close()
        _reap(joiner)


def make_join_plan(spec: Mapping[str, Any]) -> JoinPlan:
    """How a process with the spec's `process` joins the container."""
    process, linux = spec["process"], spec["linux"]
    id_maps = IdMaps.from_spec(linux)
    terminal = None
    if process.get("terminal"):
        from rootless.runtime.steps import filesystem  # noqa: F401 - `_run` imports nothing

        size = process.get("consoleSize", {})
        terminal = int(size.get("height", 0)), int(size.get("width", 0))
    *_, user = attributes.identity_steps(spec, process, id_maps)
    assert isinstance(user, attributes.ResolveUser)  # the last one
    limits = [(each.resource, *each.values()) for each in attributes.limits_of(process)]
    return JoinPlan(
        flags=sum(processes.NAMESPACE_FLAGS[str(entry["type"])] for entry in linux["namespaces"]),
        root=id_maps.root,
        drop_groups=id_maps.helper,
        user=user.user,
        groups=user.groups,
        fixed=user.fixed,
        required=user.required,
        limits=tuple(Limit(*each) for each in limits),
        umask=int(process.get("user", {}).get("umask", 0o022)),
        directory=str(process["cwd"]),
        credentials=credentials_of(process),
        args=tuple(map(str, process["args"])),
        env=tuple(map(str, process.get("env", ()))),
        terminal=terminal,
    )


def _receive(channel: socket.socket, hand_over: Callable[[int], None] | None) -> JoinedProcess:
    """What joiner and process send until both have closed their end, which exec does."""
    pidfd, console = -1, -1
    failure: Failure | None = None
    while (message := receive(channel)).kind is not MessageKind.CLOSED:
        if message.failure is not None:
            failure = message.failure
        elif message.descriptor is not None:
            if message.kind is MessageKind.JOINED:
                pidfd = message.descriptor
            elif message.kind is MessageKind.LISTENER:
                if hand_over is not None:
                    hand_over(message.descriptor)
                os.close(message.descriptor)
            else:
                console = message.descriptor
    if failure is None and pidfd >= 0:
        return JoinedProcess(pidfd, console if console >= 0 else None)
    if console >= 0:
        os.close(console)
    if pidfd >= 0:
        exit_status(pidfd)
        os.close(pidfd)
    if failure is None:
        raise LaunchError("the process that joins the container was killed")
    from rootless.runtime.failures import launch_error

    raise launch_error(failure)


def exit_status(pidfd: int) -> int:
    """Wait for the end of a child; returns its exit status, 128+n where signal n ended it."""
    try:
        result = os.waitid(os.P_PIDFD, pidfd, os.WEXITED)
    except ChildProcessError:  # the caller ignores SIGCHLD: the kernel keeps no status
        return 0
    assert result is not None  # without WNOHANG there is one
    status = int(result.si_status)
    return status if result.si_code == os.CLD_EXITED else 128 + status


def _reap(joiner: int) -> None:
    try:
        os.waitpid(joiner, 0)
    except ChildProcessError:
        pass


def _join(args: JoinArgs, plan: JoinPlan, filters: Filters, channel: socket.socket) -> NoReturn:
    """The joiner. Nothing may be imported from here on: in the container the path of the interpreter's
    library is the image's.
    """
    doing = "prepare to join the container"
    sys.meta_path.clear()
    try:
        os.setsid()
        # Both in the host's /proc and control groups, which are not in sight from inside.
        score = args.spec["process"].get("oomScoreAdj")
        if score is not None:
            doing = f"set oom_score_adj to {score}"
            attributes.AdjustOomScore(int(score)).perform(Context(channel))
        doing = "join the control group of the container"
        limited = bool(args.spec["linux"].get("resources"))
        enter_group(args.groups, limited=limited)
        if args.stdio is not None:
            take_stdio(args.stdio)
        doing = "join the namespaces of the container"
        processes.prctl(processes.PR_SET_DUMPABLE, 0)
        processes.setns(args.container, plan.flags)
        doing = "start a process in the container"
        pid, pidfd = processes.fork_into(processes.CLONE_PARENT)
        if pid == 0:
            _run(plan, filters, channel, args.preserved)
        send(channel, HandshakeMessage(MessageKind.JOINED, descriptor=pidfd))
        os._exit(0)
    except BaseException as error:  # noqa: BLE001 - nothing may escape into the caller's program
        report(channel, "set up", doing, error)
    os._exit(DEAD)


def _run(
    plan: JoinPlan, filters: Filters, channel: socket.socket, preserved: Iterable[int]
) -> NoReturn:
    """The process: set itself up as the spec wants it, and execute the command."""
    doing = Doing()
    try:
        # setsid(2) once more: a terminal can be the controlling one of a session's leader only.
        os.setsid()
        context = Context(channel)
        context.root = enter_root(plan, doing)
        if plan.terminal is not None:
            from rootless.runtime.steps.filesystem import OpenTerminal  # it is loaded

            step = OpenTerminal(*plan.terminal)
            doing.what = step.describe()
            step.perform(context)
        context.identity = settle(plan, context.root, doing)
        context.keeps_ids = plan.fixed
        connect_terminal(context)
        environment = become_user(
            context,
            plan.credentials,
            plan.env,
            filters,
            lambda listener: send_listener(channel, listener),
        )
        reset_signals()
        processes.close_on_exec_from(3)
        for descriptor in preserved:
            os.set_inheritable(descriptor, True)
        doing.stage, doing.what = "exec", f"exec {' '.join(plan.args)}"
        execute(plan.args, environment, channel.fileno())
    except BaseException as error:  # noqa: BLE001 - nothing may escape into the caller's program
        report(channel, doing.stage, doing.what, error)
    os._exit(DEAD)
