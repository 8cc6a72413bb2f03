"""The child: from clone to exec. Standard library and system calls only; everything is imported
before the clone."""

from __future__ import annotations

import fcntl
import os
import select
import stat
import sys

from rootless.light_stdlib import signal, socket
from rootless.runtime.channel import receive, send
from rootless.runtime.execution import (
    Filters,
    environment_of,
    execute,
    reset_signals,
    take_credentials,
)
from rootless.runtime.failure import failure_of
from rootless.runtime.handshake import HandshakeMessage, MessageKind
from rootless.runtime.steps.context import Context
from rootless.syscalls import processes
from unionfs.light_types import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import NoReturn

    from rootless.runtime.execution import Credentials
    from rootless.runtime.plan import Plan

_TIOCSCTTY = 0x540E  # asm-generic/ioctls.h; `termios` is a shared object of its own

DEAD = 125
"""Exit status of a process that reported why it does not execute the command."""


class ChildSide(NamedTuple):
    """What the child has from its start. `filters` are compiled seccomp programs, `monitor` a pidfd of
    the parent."""

    plan: Plan
    channel: socket.socket
    stdio: tuple[int, int, int] | None
    filters: Filters
    monitor: int
    trees: Mapping[int, int] = {}
    """Detached mounts, by the position of the spec's mount that each is for."""
    preserved: tuple[int, ...] = ()
    """Descriptors that stay open over execve(2), beside the standard streams."""
    stops: int = -1
    """A pipe for an init of the engine's (`rootless.runtime.reaper`)."""


def run(side: ChildSide) -> NoReturn:
    """Follow the plan; never returns and never raises."""
    stage, doing = "set up", "start"
    # Nothing may be imported from here on: past the pivot the path of the interpreter's library is
    # the image's.
    sys.meta_path.clear()
    try:
        os.umask(0)
        processes.prctl(processes.PR_SET_PDEATHSIG, signal.SIGKILL)
        _expect(side, MessageKind.MAPPED)
        os.setsid()
        if side.stdio is not None:
            take_stdio(side.stdio)
        context = Context(side.channel, side.trees)
        for step in side.plan.steps:
            doing = step.describe()
            step.perform(context)
        send(side.channel, HandshakeMessage(MessageKind.READY))
        _expect(side, MessageKind.START)
        stage, doing = "exec", side.plan.execute.describe()
        _finish(side, context)
    except BaseException as error:  # noqa: BLE001 - nothing may escape into the parent's program
        report(side.channel, stage, doing, error)
    os._exit(DEAD)


def _expect(side: ChildSide, kind: MessageKind) -> None:
    if receive(side.channel).kind is not kind:
        os._exit(DEAD)  # the parent is gone


def report(channel: socket.socket, stage: str, doing: str, error: BaseException) -> None:
    """Send the failure to the parent. `doing` describes the step that failed."""
    try:
        send(channel, HandshakeMessage(MessageKind.FAILED, failure_of(stage, doing, error)))
    except OSError:
        pass


def take_stdio(stdio: tuple[int, int, int]) -> None:
    """Make the three descriptors 0, 1 and 2, which they may be already in another order."""
    moved = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 10) for fd in stdio]
    for number, fd in enumerate(moved):
        os.dup2(fd, number, inheritable=True)
        os.close(fd)


def _finish(side: ChildSide, context: Context) -> None:
    plan = side.plan
    connect_terminal(context)
    environment = become_user(
        context,
        plan.credentials,
        plan.execute.env,
        side.filters,
        lambda listener: send_listener(side.channel, listener),
    )
    _die_with(side.monitor)
    reset_signals()
    processes.close_on_exec_from(3)
    for descriptor in side.preserved:
        os.set_inheritable(descriptor, True)
    if plan.execute.holds:
        from rootless.runtime.holder import hold  # `create` has loaded it

        hold(side.channel)
    if plan.execute.init:
        _become_init(side.stops, terminal=plan.execute.terminal)
    execute(plan.execute.args, environment, side.channel.fileno())


def send_listener(channel: socket.socket, listener: int) -> None:
    """Send the listener of a filter to the parent. Raises OSError."""
    send(channel, HandshakeMessage(MessageKind.LISTENER, descriptor=listener))


def _die_with(monitor: int) -> None:
    """A change of id forgets the signal (prctl(2)), so it is asked for again, and a parent that
    died before is noticed by its pidfd: a process id of another PID namespace is 0."""
    processes.prctl(processes.PR_SET_PDEATHSIG, signal.SIGKILL)
    poll = select.poll()
    poll.register(monitor, select.POLLIN)
    if poll.poll(0):
        os._exit(DEAD)


def connect_terminal(context: Context) -> None:
    """Give the standard streams to the container's user, and make the terminal, where there is one,
    the controlling terminal and all three streams.
    """
    _own_stdio(context)
    if context.terminal >= 0:
        fcntl.ioctl(context.terminal, _TIOCSCTTY, 0)
        for number in range(3):
            os.dup2(context.terminal, number, inheritable=True)


def _own_stdio(context: Context) -> None:
    """A program may open /dev/stdout again, which asks for the pipe's or terminal's owner. Files
    are left alone."""
    for fd in (0, 1, 2, context.terminal):
        if fd < 0:
            continue
        try:
            mode = os.fstat(fd).st_mode
            if stat.S_ISFIFO(mode) or fd == context.terminal:
                os.fchown(fd, context.identity.uid, -1)
        except OSError:
            pass  # of another owner: the program can still use the descriptor it has


def become_user(
    context: Context,
    credentials: Credentials,
    env: Sequence[str],
    filters: Filters,
    hand_over: Callable[[int], None],
) -> dict[str, str]:
    """Become the user that the steps have found (`take_credentials`). Returns the environment of the command, which has
    the user's HOME.
    """
    environment = environment_of(env, context.identity.home)
    take_credentials(credentials, context.identity, filters, hand_over, keep_ids=context.keeps_ids)
    return environment


def _become_init(stops: int, *, terminal: bool) -> None:
    """Fork; the parent stays as init and never returns, the child goes on to exec as a process
    group of its own."""
    everything = set(range(1, signal.NSIG)) - {32, 33}
    signal.pthread_sigmask(signal.SIG_BLOCK, everything)
    init = os.getpid()
    processes.prctl(processes.PR_SET_CHILD_SUBREAPER, 1)
    pid = os.fork()
    if pid:
        from rootless.runtime.reaper import reap_until  # `create` has loaded it

        try:
            reap_until(pid, stops)
        finally:
            os._exit(DEAD)
    processes.prctl(processes.PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != init:
        os._exit(DEAD)
    os.setpgid(0, 0)
    if terminal:
        os.tcsetpgrp(0, os.getpid())  # SIGTTOU is blocked, so this does not stop us
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
