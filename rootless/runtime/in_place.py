"""A process that becomes a container's first one itself, in the place of a new one: it enters new namespaces, follows
the plan, and executes the command. Who waits for the process waits for the command, whose streams, signals and
descriptors are the process's own.

The parent's side of the handshake is another process's, by `LaunchArgs.caller`: the id maps of a user namespace can
only be written from outside of it, and the file server has to outlive the change of namespaces.
"""

from __future__ import annotations

import os
import sys

from rootless.light_stdlib import signal, socket
from rootless.runtime.channel import receive, send
from rootless.runtime.child import become_user, report, send_listener
from rootless.runtime.execution import find_executable, refuse_magic_links
from rootless.runtime.extensions import DEFAULT_PATH
from rootless.runtime.handshake import HandshakeMessage, MessageKind
from rootless.runtime.rootfs import ROOT_TREE
from rootless.runtime.steps.context import Context
from rootless.syscalls import mounts, processes
from unionfs.light_types import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import NoReturn

    from rootless.runtime.execution import Filters
    from rootless.runtime.plan import Plan


class NotBecomeError(Exception):
    """The process has not become the container's: the other side of the handshake knows why, or has ended."""


class SharedRoot(NamedTuple):
    """The mount of an image that other containers have too, and the user namespace that it belongs to: descriptors."""

    namespace: int
    tree: int


def receive_root(channel: socket.socket) -> SharedRoot | None:
    """What the parent has for the root; None if the container has a mount of its own. Raises NotBecomeError."""
    message = receive(channel)
    if message.kind is not MessageKind.NAMESPACE:
        raise NotBecomeError
    if message.descriptor is None:
        return None
    tree = receive(channel)
    if tree.kind is not MessageKind.TREE or tree.descriptor is None:
        raise NotBecomeError
    return SharedRoot(message.descriptor, tree.descriptor)


def enter_namespaces(plan: Plan, shared: SharedRoot | None) -> None:
    """Enter the namespaces of a plan, which has none for PIDs: only children would be in it. The process must have one
    thread. Raises OSError.
    """
    if not mounts.has_mount_setattr():
        # Nothing can be imported where the root is another.
        from rootless.runtime.steps import bind_remount  # noqa: F401
    if shared is not None:
        processes.setns(shared.namespace, processes.CLONE_NEWUSER)
    processes.unshare(sum(processes.NAMESPACE_FLAGS[name] for name in plan.namespaces))


def become_container(
    plan: Plan,
    channel: socket.socket,
    filters: Filters,
    shared: SharedRoot | None,
    prepare: Callable[[], None] | None = None,
) -> NoReturn:
    """Follow the plan, after `enter_namespaces`, and execute its command. `prepare` is called once the id maps are there.

    The caller's descriptors that are not close-on-exec, its signal mask, its ignored signals, its session and its
    group stay as they are. From here on nothing can be imported.

    Raises NotBecomeError.
    """
    # Past the pivot the path of the interpreter's library is the image's.
    sys.meta_path.clear()
    stage, doing = "set up", "start"
    try:
        os.umask(0)
        send(channel, HandshakeMessage(MessageKind.UNSHARED))
        _expect(channel, MessageKind.MAPPED)
        if prepare is not None:
            prepare()
        context = Context(channel, {} if shared is None else {ROOT_TREE: shared.tree})
        for step in plan.steps:
            doing = step.describe()
            step.perform(context)
        send(channel, HandshakeMessage(MessageKind.READY))
        _expect(channel, MessageKind.START)
        stage, doing = "exec", plan.execute.describe()
        environment = become_user(
            context,
            plan.credentials,
            plan.execute.env,
            filters,
            lambda listener: send_listener(channel, listener),
        )
        # The two that Python ignores by itself.
        for number in (signal.SIGPIPE, signal.SIGXFSZ):
            signal.signal(number, signal.SIG_DFL)
        _execute(plan.execute.args, environment)
    except NotBecomeError:
        raise
    except BaseException as error:
        report(channel, stage, doing, error)
        raise NotBecomeError from error


def _expect(channel: socket.socket, kind: MessageKind) -> None:
    if receive(channel).kind is not kind:
        raise NotBecomeError


def _execute(args: Sequence[str], environment: dict[str, str]) -> NoReturn:
    """Without a trampoline, whose failure would be this process's end: the command has no more rights on the engine's
    program than the caller, and no link of /proc leads the kernel to it."""
    path = find_executable(args[0], environment.get("PATH", DEFAULT_PATH))
    refuse_magic_links(path, unreadable=True)
    os.execve(path, list(args), environment)
