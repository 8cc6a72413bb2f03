"""The parent: clone, id maps, the handshake, and what went wrong as one error. docs/handshake.md
draws it.

The caller must have one thread, and must outlive the container: the child dies with the thread that
made it.
"""

from __future__ import annotations

import errno
import os

from rootless.errors import CommandNotExecutableError, CommandNotFoundError, LaunchError
from rootless.light_stdlib import signal, socket
from rootless.runtime import child
from rootless.runtime.handshake import Failure, Kind, Message, State, advance, receive, send
from rootless.runtime.idmap import IdMaps
from rootless.runtime.idmap_writer import write_maps
from rootless.runtime.plan import make_plan
from rootless.runtime.rootfs import Rootfs
from rootless.runtime.seccomp import filters_of
from rootless.syscalls import descriptors, processes
from unionfs.light_types import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any, NoReturn

_FLAGS = {
    "user": processes.CLONE_NEWUSER,
    "mount": processes.CLONE_NEWNS,
    "pid": processes.CLONE_NEWPID,
    "network": processes.CLONE_NEWNET,
    "ipc": processes.CLONE_NEWIPC,
    "uts": processes.CLONE_NEWUTS,
}


class Stdio(NamedTuple):
    """Descriptors that become the container's 0, 1 and 2. They stay the caller's."""

    stdin: int
    stdout: int
    stderr: int


class ContainerProcess:
    """A container between clone and its end. `pid` is the host's; wait and kill through `pidfd`, so
    that no reused pid is hit.

    `console` is the master of its terminal, if it has one. Both descriptors are the caller's to
    close.
    """

    __slots__ = ("_channel", "console", "pid", "pidfd")

    def __init__(self, pid: int, pidfd: int, channel: socket.socket) -> None:
        self.pid = pid
        self.pidfd = pidfd
        self.console: int | None = None
        self._channel: socket.socket | None = channel

    def start(self) -> None:
        """Let it exec. Returns when it has.

        Raises:
            CommandNotFoundError, CommandNotExecutableError: there is no such command.
            LaunchError: something else failed.
        """
        channel = self._channel
        if channel is None:
            raise LaunchError("the container has already been started")
        self._channel = None
        try:
            state = advance(State.READY, Kind.START)
            try:
                send(channel, Message(Kind.START))
            except BrokenPipeError:
                self.abandon("start")
            message = receive(channel)
            if message.failure is not None:
                self.abandon("exec", message.failure)
            advance(state, message.kind)
        finally:
            channel.close()

    def abandon(self, doing: str, failure: Failure | None = None) -> NoReturn:
        """End it and say why."""
        try:
            signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)
        except ProcessLookupError:
            pass
        result = os.waitid(os.P_PIDFD, self.pidfd, os.WEXITED)
        os.close(self.pidfd)
        if self.console is not None:
            os.close(self.console)
        if failure is not None:
            raise _launch_error(failure)
        how = f" ({_ended(result)})" if result is not None else ""
        raise LaunchError(f"the container process died while the engine was to {doing}{how}")


def launch(
    spec: Mapping[str, Any],
    *,
    bundle: str,
    rootfs: Rootfs,
    id_maps: IdMaps,
    stdio: Stdio | None,
    cgroup_fd: int | None = None,
    serve: Callable[[int, int], None] | None = None,
    seccomp_cache: str | None = None,
    debug: Callable[[str], None] | None = None,
) -> ContainerProcess:
    """Start a container from an OCI runtime spec and return once its command has been executed.

    Args:
        bundle: Directory of config.json; relative paths of the spec are taken from it.
        stdio: None when the spec asks for a terminal.
        cgroup_fd: Directory descriptor of the cgroup it is born in.
        serve: Called with the FUSE descriptor (the callee's to close) and the host's number of
            the container's process as soon as the union is mounted; must make something answer it
            (another process) and return. Needed for a FuseRootfs and an OverlayRootfs.
        seccomp_cache: Directory in which compiled filters are kept; compiled anew each time
        without.
        debug: Given the plan, a line a step.

    Raises:
        LaunchError: a step failed; nothing is left running.
    """
    process = create(
        spec,
        bundle=bundle,
        rootfs=rootfs,
        id_maps=id_maps,
        stdio=stdio,
        cgroup_fd=cgroup_fd,
        serve=serve,
        seccomp_cache=seccomp_cache,
        debug=debug,
    )
    process.start()
    return process


def create(
    spec: Mapping[str, Any],
    *,
    bundle: str,
    rootfs: Rootfs,
    id_maps: IdMaps,
    stdio: Stdio | None,
    cgroup_fd: int | None = None,
    serve: Callable[[int, int], None] | None = None,
    seccomp_cache: str | None = None,
    debug: Callable[[str], None] | None = None,
) -> ContainerProcess:
    """As `launch`, up to the point where everything is in place but exec: between the two the
    caller may look at /proc/PID/ns and configure a network. `start` goes on."""
    plan = make_plan(spec, rootfs=rootfs, id_maps=id_maps, bundle=bundle)
    filters = filters_of(spec, seccomp_cache)
    if debug is not None:
        for line in plan.describe():
            debug(line)
    ours, theirs = descriptors.pair()
    monitor = os.pidfd_open(os.getpid())
    try:
        side = child.ChildSide(plan, theirs, stdio, filters, monitor)
        pid, pidfd = _clone(side, ours, cgroup_fd)
    finally:
        theirs.close()
        os.close(monitor)
    process = ContainerProcess(pid, pidfd, ours)
    try:
        _set_up(process, ours, id_maps, serve)
    except BaseException:
        ours.close()
        raise
    return process


def _clone(side: child.ChildSide, ours: socket.socket, cgroup_fd: int | None) -> tuple[int, int]:
    flags = sum(_FLAGS[name] for name in side.plan.namespaces)
    try:
        pid, pidfd = processes.fork_into(flags, cgroup_fd)
    except OSError as error:
        raise _clone_error(error, in_cgroup=cgroup_fd is not None) from error
    if pid == 0:
        ours.close()
        child.run(side)
    return pid, pidfd


def _set_up(
    process: ContainerProcess,
    channel: socket.socket,
    id_maps: IdMaps,
    serve: Callable[[int, int], None] | None,
) -> None:
    try:
        write_maps(process.pid, id_maps)
    except BaseException:
        _end(process)
        raise
    state = advance(State.MAPPING, Kind.MAPPED)
    try:
        send(channel, Message(Kind.MAPPED))
    except BrokenPipeError:
        process.abandon("write its id maps")
    while state is State.SETTING_UP:
        message = receive(channel)
        if message.kind is Kind.CLOSED:
            process.abandon("set it up")
        if message.failure is not None:
            process.abandon("set it up", message.failure)
        state = advance(state, message.kind)
        if message.descriptor is None:
            continue
        if message.kind is Kind.FUSE:
            try:
                _serve(serve, message.descriptor, process.pid)
            except BaseException:
                _end(process)
                raise
        else:
            process.console = message.descriptor


def _serve(serve: Callable[[int, int], None] | None, descriptor: int, pid: int) -> None:
    if serve is None:
        os.close(descriptor)
        raise LaunchError("nothing is there to serve the union")
    serve(descriptor, pid)


def _end(process: ContainerProcess) -> None:
    try:
        process.abandon("set it up")
    except LaunchError:
        pass


def _ended(result: os.waitid_result) -> str:
    if result.si_code == os.CLD_EXITED:
        return f"status {result.si_status}"
    from signal import Signals

    return Signals(result.si_status).name


def _clone_error(error: OSError, *, in_cgroup: bool) -> LaunchError:
    # EBUSY: the group has controllers for groups below it, so no process may be in it (cgroups(7)).
    if in_cgroup and error.errno in {errno.EACCES, errno.EBUSY, errno.ENODEV, errno.EOPNOTSUPP}:
        return LaunchError(f"cannot start a process in the control group: {error.strerror}")
    hints = {
        errno.EPERM: "user namespaces are forbidden here: ask for "
        "sysctl kernel.unprivileged_userns_clone=1, or for an AppArmor profile that allows them",
        errno.ENOSPC: "no user namespaces are left: raise sysctl user.max_user_namespaces",
        errno.EUSERS: "user namespaces are nested too deeply",
    }
    return LaunchError(
        f"cannot create the container's namespaces: {error.strerror}",
        hint=hints.get(error.errno or 0),
    )


def _launch_error(failure: Failure) -> LaunchError:
    reason = os.strerror(failure.errno) if failure.errno else ""
    if failure.stage == "exec" and failure.path is not None:
        return _command_error(failure, reason)
    where = f" ({failure.path})" if failure.path and failure.path not in failure.step else ""
    what = f"cannot {failure.step}{where}: {reason}" if reason else failure.step
    details = {"stage": failure.stage, "errno": failure.errno, "path": failure.path}
    return LaunchError(what, hint=_hint(failure), details=details)


def _hint(failure: Failure) -> str | None:
    """What to do about the refusals that have one well-known reason."""
    if failure.path == "/dev/fuse":
        if failure.errno in {errno.EACCES, errno.EPERM}:
            return "the account must be able to open /dev/fuse: ask for mode 0666"
        return "FUSE is not there: ask for modprobe fuse"
    if failure.step.startswith("mount proc ") and failure.errno == errno.EPERM:
        return (
            "the engine runs in a container whose /proc has hidden parts: start that one with "
            "--security-opt systempaths=unconfined, or this one with --pid host"
        )
    if failure.step.startswith("mount fuse.") and failure.errno == errno.ENODEV:
        return "FUSE is not there: ask for modprobe fuse"
    if failure.step.startswith("mount kernel overlayfs "):
        return (
            "the storage driver overlay needs Linux 5.11 or later, and the store on a file system with "
            "user attributes and whiteouts, as local disks are; the storage driver unionfs does without"
        )
    if failure.step.startswith("set limit ") and failure.errno == errno.EPERM:
        return "a limit cannot be above the hard limit of the one who starts the container"
    return None


def _command_error(failure: Failure, reason: str) -> LaunchError:
    if failure.step == "search PATH":
        return CommandNotFoundError(f'exec: "{failure.path}": executable file not found in $PATH')
    text = f'exec: "{failure.path}": {reason[:1].lower()}{reason[1:]}'
    if failure.errno in {errno.ENOENT, errno.ENOTDIR}:
        return CommandNotFoundError(text)
    if failure.errno == errno.EISDIR:
        text += ": permission denied"
    return CommandNotExecutableError(text)
