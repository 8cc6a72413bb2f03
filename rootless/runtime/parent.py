"""The parent's side of a start: clone, id maps, the handshake, and failures as errors. docs/handshake.md has a
diagram.

The caller must have one thread, and must outlive the container: the child dies with the thread that
made it.
"""

from __future__ import annotations

import errno
import os
import select

from rootless.errors import LaunchError
from rootless.light_stdlib import signal, socket
from rootless.runtime import child, extensions
from rootless.runtime.channel import receive, send
from rootless.runtime.failure import Failure, HookError
from rootless.runtime.handshake import (
    HandshakeMessage,
    MessageKind,
    State,
    advance,
)
from rootless.runtime.idmap import IdMaps
from rootless.runtime.idmap_writer import begin_maps
from rootless.runtime.plan import make_plan
from rootless.runtime.rootfs import ROOT_TREE, Rootfs
from rootless.runtime.seccomp import filters_of
from rootless.syscalls import descriptors, mounts, processes
from unionfs.light_types import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import Any, NoReturn

    from rootless.runtime.execution import Filters
    from rootless.runtime.nested import SharedNamespace
    from rootless.runtime.plan import Plan


class Stdio(NamedTuple):
    """Descriptors that become the container's 0, 1 and 2. They stay the caller's."""

    stdin: int
    stdout: int
    stderr: int


if TYPE_CHECKING:
    from unionfs.light_types import Protocol

    class RootServer(Protocol):
        """The process that serves the root file system."""

        def fileno(self) -> int:
            """Readable when it has ended; -1 if there is nothing to wait for any more."""

        def note_end(self) -> None:
            """It has ended: have another process go on, or let requests fail."""


class Caller(NamedTuple):
    """A process that becomes the container's first one itself (`rootless.runtime.in_place`): its pidfd, its PID, and
    this side's end of the handshake."""

    pidfd: int
    pid: int
    channel: socket.socket


class LaunchArgs(NamedTuple):
    """All that a start needs. Descriptors stay the caller's."""

    spec: Mapping[str, Any]
    """The OCI runtime spec."""
    bundle: str
    """Directory of config.json; relative paths of the spec are taken from it."""
    rootfs: Rootfs
    id_maps: IdMaps
    stdio: Stdio | None
    """None when the spec asks for a terminal."""
    cgroup_fd: int | None = None
    """Directory descriptor of the cgroup that clone3(2) starts the container in."""
    serve: Callable[[int, int], None] | None = None
    """Called with the FUSE descriptor, which it must close, and the host's pid of the container as
    soon as the union is mounted. It must make another process answer the descriptor, and return.
    Needed for a FuseRootfs and an OverlayRootfs."""
    server: RootServer | None = None
    """Watched while the child is waited for, which may wait for the server itself."""
    connect: Callable[[int], None] | None = None
    """Called with the host's pid of the container when its namespaces are there and its id maps written, before
    it does anything."""
    meanwhile: Callable[[], None] | None = None
    """Called once the container's process is there, while other processes write its id maps."""
    seccomp_cache: str | None = None
    """Directory in which compiled filters are kept; without it each start compiles its own."""
    debug: Callable[[str], None] | None = None
    """Called with each line of the plan."""
    trees: Mapping[int, int] = {}
    """Detached mounts of file systems that other processes serve, by the position of the spec's mount that
    each is for."""
    caller: Caller | None = None
    """The process that becomes the container's; without one a new process does."""
    below: SharedNamespace | None = None
    """The user namespace that those file systems or a shared network belong to: that of the container is made below it, because
    only there its processes may use them."""
    preserved: tuple[int, ...] = ()
    """Descriptors that the command gets by their numbers, beside the standard streams."""


class ContainerProcess:
    """A container between clone and its end. `pid` is the host's; wait and kill through `pidfd`, so
    that no reused pid is hit.

    `console` is the master of its terminal, if it has one. `listener` is that of its seccomp filter with
    notifications, if it has one, once it has been started. A container with a single id has `user_namespace`, which
    cannot be opened later: an init of the engine's is not dumpable. One with such an init and a terminal has `stops`,
    from which a byte can be read each time the command stops. The descriptors are the caller's to close.
    `is_child`: of this process; one that is not is never killed, and reports the error itself.
    """

    __slots__ = (
        "_channel",
        "_server",
        "console",
        "is_child",
        "listener",
        "pid",
        "pidfd",
        "stops",
        "user_namespace",
    )

    def __init__(
        self,
        pid: int,
        pidfd: int,
        channel: socket.socket,
        server: RootServer | None = None,
        *,
        is_child: bool = True,
    ) -> None:
        self._server = server
        self.is_child = is_child
        self.pid = pid
        self.pidfd = pidfd
        self.console: int | None = None
        self.listener: int | None = None
        self.user_namespace: int | None = None
        self.stops: int | None = None
        self._channel: socket.socket | None = channel

    def start(self) -> ContainerProcess:
        """Start the command. Returns this object when it has been executed.

        Raises:
            CommandNotFoundError, CommandNotExecutableError: there is no such command.
            LaunchError: something else failed.
        """
        channel = self._channel
        if channel is None:
            raise LaunchError("the container has already been started")
        self._channel = None
        try:
            state = advance(State.READY, MessageKind.START)
            try:
                send(channel, HandshakeMessage(MessageKind.START))
            except BrokenPipeError:
                self.abandon("its start")
            while state is State.STARTING:
                message = _receive(channel, self._server)
                if message.failure is not None:
                    self.abandon("exec", message.failure)
                if message.descriptor is not None:
                    self.listener = message.descriptor
                state = advance(state, message.kind)
        finally:
            channel.close()
        return self

    def abandon(self, during: str, failure: Failure | None = None) -> NoReturn:
        """Kill it and raise the reason as LaunchError."""
        result = None
        if self.is_child:
            try:
                signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)
            except ProcessLookupError:
                pass
            result = os.waitid(os.P_PIDFD, self.pidfd, os.WEXITED)
        os.close(self.pidfd)
        for descriptor in (self.console, self.listener, self.user_namespace, self.stops):
            if descriptor is not None:
                os.close(descriptor)
        if failure is not None:
            from rootless.runtime.failures import launch_error

            raise launch_error(failure)
        how = f" ({_ended(result)})" if result is not None else ""
        raise LaunchError(f"the container's process ended during {during}{how}")


def launch(args: LaunchArgs) -> ContainerProcess:
    """Start a container and return once its command has been executed.

    Raises:
        LaunchError: a step failed; nothing is left running.
    """
    return create(args).start()


def create(args: LaunchArgs) -> ContainerProcess:
    """Set a container up to the point where only exec is missing. Before `start` the caller may
    look at /proc/PID/ns and configure a network.

    Raises:
        LaunchError: a step failed; nothing is left running.
    """
    plan = make_plan(
        args.spec,
        rootfs=args.rootfs,
        id_maps=args.id_maps,
        bundle=args.bundle,
        entered=() if args.below is None else args.below.entered,
    )
    filters = filters_of(args.spec, args.seccomp_cache)
    if args.debug is not None:
        for line in plan.describe():
            args.debug(line)
    if plan.execute.init:
        # The child can import nothing, and a start without init does not pay for this.
        from rootless.runtime import reaper  # noqa: F401
    if plan.execute.holds:
        from rootless.runtime import holder  # noqa: F401
    if not mounts.has_mount_setattr():
        from rootless.runtime.steps import bind_remount  # noqa: F401
    own_end, process = (
        _wait_for_caller(args.caller, args) if args.caller else _start(plan, filters, args)
    )
    try:
        _set_up(process, own_end, args)
        if args.spec.get("annotations", {}).get(extensions.PRETEND_OWNERSHIP) == "true":
            process.user_namespace = os.open(
                f"/proc/{process.pid}/ns/user", os.O_RDONLY | os.O_CLOEXEC
            )
    except BaseException:
        own_end.close()
        raise
    return process


def _start(
    plan: Plan, filters: Filters, args: LaunchArgs
) -> tuple[socket.socket, ContainerProcess]:
    """The new process, and this side's end of the handshake."""
    own_end, child_end = descriptors.pair()
    monitor = os.pidfd_open(os.getpid())
    stops, told = (None, -1)
    if plan.execute.init and plan.execute.terminal:
        stops, told = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        side = child.ChildSide(
            plan, child_end, args.stdio, filters, monitor, args.trees, args.preserved, told
        )
        pid, pidfd = _clone(side, own_end, args)
    except BaseException:
        if stops is not None:
            os.close(stops)
        raise
    finally:
        child_end.close()
        os.close(monitor)
        if told >= 0:
            os.close(told)
    process = ContainerProcess(pid, pidfd, own_end, args.server)
    process.stops = stops
    return own_end, process


def _wait_for_caller(caller: Caller, args: LaunchArgs) -> tuple[socket.socket, ContainerProcess]:
    """The process that becomes the container's, once it is in its namespaces."""
    process = ContainerProcess(
        caller.pid, caller.pidfd, caller.channel, args.server, is_child=False
    )
    try:
        if args.below is None:
            send(caller.channel, HandshakeMessage(MessageKind.NAMESPACE))
        else:
            for kind, descriptor in (
                (MessageKind.NAMESPACE, args.below.descriptor),
                (MessageKind.TREE, args.trees[ROOT_TREE]),
            ):
                send(caller.channel, HandshakeMessage(kind, descriptor=descriptor))
    except BrokenPipeError:
        process.abandon("its change of namespaces")
    message = _receive(caller.channel, args.server)
    if message.kind is not MessageKind.UNSHARED:
        process.abandon("its change of namespaces", message.failure)
    advance(State.UNSHARING, message.kind)
    return caller.channel, process


def execute_runtime_hooks(
    spec: Mapping[str, Any], bundle: str, pid: int, *points: str, status: str = "creating"
) -> None:
    """Execute hooks on the host. Raises LaunchError at the first that does not succeed."""
    from rootless.runtime.hooks import execute_hooks, hooks_of, state_of

    try:
        execute_hooks(hooks_of(spec, *points), state_of(spec, bundle, pid).document(status))
    except HookError as error:
        raise LaunchError(str(error)) from error


def _clone(side: child.ChildSide, own_end: socket.socket, args: LaunchArgs) -> tuple[int, int]:
    flags = sum(processes.NAMESPACE_FLAGS[name] for name in side.plan.namespaces)

    def run() -> NoReturn:
        own_end.close()
        child.run(side)

    try:
        if args.below is not None:
            from rootless.runtime.nested import clone_below

            return clone_below(args.below, args.id_maps, flags, args.cgroup_fd, run)
        pid, pidfd = processes.fork_into(flags, args.cgroup_fd)
    except OSError as error:
        raise clone_error(
            error, side.plan.namespaces, in_cgroup=args.cgroup_fd is not None
        ) from error
    if pid == 0:
        run()
    return pid, pidfd


def _set_up(
    process: ContainerProcess,
    channel: socket.socket,
    args: LaunchArgs,
) -> None:
    try:
        _prepare_namespaces(process.pid, args)
    except BaseException:
        _end(process)
        raise
    state = advance(State.MAPPING, MessageKind.MAPPED)
    try:
        send(channel, HandshakeMessage(MessageKind.MAPPED))
    except BrokenPipeError:
        process.abandon("the writing of its id maps")
    while state is State.SETTING_UP:
        message = _receive(channel, args.server)
        if message.kind is MessageKind.CLOSED:
            process.abandon("its set-up")
        if message.failure is not None:
            process.abandon("its set-up", message.failure)
        state = advance(state, message.kind)
        if message.descriptor is None:
            continue
        if message.kind is MessageKind.FUSE:
            try:
                _serve(args.serve, message.descriptor, process.pid)
            except BaseException:
                _end(process)
                raise
        else:
            process.console = message.descriptor


def _prepare_namespaces(pid: int, args: LaunchArgs) -> None:
    helpers = begin_maps(pid, args.id_maps) if args.below is None else None
    if args.below is not None and args.caller is not None:
        from rootless.runtime.nested import write_maps_inside

        write_maps_inside(args.below, pid, args.id_maps)
    if args.meanwhile is not None:
        args.meanwhile()
    if helpers is not None:
        helpers.wait()
    if args.connect is not None:
        args.connect(pid)
    if "hooks" in args.spec:
        execute_runtime_hooks(args.spec, args.bundle, pid, "prestart", "createRuntime")


def _receive(channel: socket.socket, server: RootServer | None) -> HandshakeMessage:
    """The next message of the child."""
    while server is not None and (descriptor := server.fileno()) >= 0:
        poll = select.poll()
        poll.register(channel, select.POLLIN)
        poll.register(descriptor, select.POLLIN)
        if any(ready == channel.fileno() for ready, _ in poll.poll()):
            break
        server.note_end()
    return receive(channel)


def _serve(serve: Callable[[int, int], None] | None, descriptor: int, pid: int) -> None:
    if serve is None:
        os.close(descriptor)
        raise LaunchError("a FUSE root needs a file server")
    serve(descriptor, pid)


def _end(process: ContainerProcess) -> None:
    try:
        process.abandon("its set-up")
    except LaunchError:
        pass


def _ended(result: os.waitid_result) -> str:
    if result.si_code == os.CLD_EXITED:
        return f"status {result.si_status}"
    from signal import Signals

    return Signals(result.si_status).name


def clone_error(error: OSError, kinds: Iterable[str], *, in_cgroup: bool) -> LaunchError:
    """The error for namespaces of these kinds that could not be made."""
    from rootless.runtime.refused_namespaces import remedy

    # EACCES is what AppArmor answers too.
    refusal = remedy(kinds) if error.errno in {errno.EACCES, errno.EPERM, errno.ENOSPC} else ""
    # EBUSY: the group has controllers for groups below it, so no process may be in it (cgroups(7)).
    not_for_groups = {errno.EACCES, errno.EBUSY, errno.ENODEV, errno.EOPNOTSUPP}
    if in_cgroup and error.errno in not_for_groups and not refusal:
        return LaunchError(f"cannot start a process in the control group: {error.strerror}")
    hints = {
        errno.EPERM: "if this is a container itself, its seccomp profile must allow clone3(2) with namespaces",
        errno.ENOSPC: "no user namespaces are left: as root, raise sysctl user.max_user_namespaces",
        errno.EAGAIN: "the account has as many processes as it may have: end some, or raise ulimit -u",
        errno.EUSERS: "user namespaces are nested too deeply",
    }
    return LaunchError(
        f"cannot create the container's namespaces: {error.strerror}",
        hint=refusal or hints.get(error.errno or 0),
    )
