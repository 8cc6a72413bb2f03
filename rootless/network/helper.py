"""The helper program of a driver, as a child of the monitor: it is started in the container's user namespace, and
ends with the monitor.

The kernel forgets the signal of PR_SET_PDEATHSIG when a process gains capabilities (prctl(2)), which it does when it
enters a user namespace. So the child enters the namespace itself, then asks for the signal, then executes the program,
which has nothing more to gain.
"""

from __future__ import annotations

import os
import select

from rootless.errors import LaunchError
from rootless.light_stdlib import signal
from rootless.syscalls import identity, processes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import NoReturn

    from rootless.network.endpoint import Assigned
    from rootless.network.namespaces import Namespaces

_READY_WAIT = 30.0
"""Seconds that a program has to configure the interface."""
_NOISE = "Failed to send "
"""What pasta of 2023 prints for every line that it cannot log because there is no syslog(3)."""
STANDARD_ERROR = 2


class Helper:
    """A running program. `pidfd` becomes readable when it has ended, `ready` when the interface is configured."""

    def __init__(
        self,
        argv: Sequence[str],
        namespaces: Namespaces,
        *,
        network_at: int,
        ready_at: int,
        exit_at: int | None = None,
    ) -> None:
        """Start it. It finds the descriptor of the network namespace as `network_at`, a pipe that it writes to when
        the interface is configured as `ready_at`, and one whose end tells it to end as `exit_at`. Raises OSError.
        """
        self.name = os.path.basename(argv[0])
        self.places: tuple[Assigned, ...] = ()
        self.ready, ready = os.pipe2(os.O_CLOEXEC)
        # pasta opens it again, by its path in /proc, and may be of another id than the monitor.
        os.fchmod(ready, 0o666)
        self._errors, errors = os.pipe2(os.O_CLOEXEC)
        # What is printed later and not read is lost, and must not stop the program.
        os.set_blocking(errors, False)
        ends, self._exit = os.pipe2(os.O_CLOEXEC)
        places = {network_at: namespaces.network, ready_at: ready, STANDARD_ERROR: errors}
        if exit_at is not None:
            places[exit_at] = ends
        monitor = os.pidfd_open(os.getpid())
        try:
            self.pid = os.fork()
            if self.pid == 0:
                _execute(argv, namespaces, places, monitor)
        finally:
            for descriptor in (ready, errors, ends, monitor):
                os.close(descriptor)
        self.pidfd = os.pidfd_open(self.pid)

    def wait_until_ready(self) -> None:
        """Return when the interface is configured. Raises LaunchError if the program cannot do that."""
        poll = select.poll()
        poll.register(self.ready, select.POLLIN)
        # A process that it started may outlast it, and hold the other end of the pipe.
        poll.register(self.pidfd, select.POLLIN)
        found = {descriptor for descriptor, _ in poll.poll(_READY_WAIT * 1000)}
        if not found:
            raise LaunchError(
                f"cannot connect the container to a network: {self.name} was not ready within {_READY_WAIT:g} seconds"
            )
        if self.ready not in found or not os.read(self.ready, 64):
            raise LaunchError(f"cannot connect the container to a network: {self.reason()}")

    def reason(self) -> str:
        """Why it ended: its last line, in one line with its name."""
        poll = select.poll()
        poll.register(self._errors, select.POLLIN)
        data = os.read(self._errors, 1 << 16) if poll.poll(0) else b""
        lines = [line.strip() for line in data.decode(errors="replace").splitlines()]
        told = [line for line in lines if line and not line.startswith(_NOISE)]
        return f"{self.name} ended: {told[-1]}" if told else f"{self.name} was killed"

    def end(self) -> None:
        """Kill it and wait for its end."""
        end_child(self.pidfd)
        for descriptor in (self.pidfd, self.ready, self._errors, self._exit):
            os.close(descriptor)


def end_child(pidfd: int) -> None:
    """Kill a child and wait for its end, if that has not been done."""
    try:
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    except ProcessLookupError:
        pass
    try:
        os.waitid(os.P_PIDFD, pidfd, os.WEXITED)
    except ChildProcessError:
        pass


def _execute(
    argv: Sequence[str], namespaces: Namespaces, places: Mapping[int, int], monitor: int
) -> NoReturn:
    try:
        become_root_of(namespaces, monitor)
        if namespaces.root[0] != 0:
            _keep_capabilities()
        # Above every place, so that none is overwritten before its turn.
        high = {place: _duplicate(descriptor) for place, descriptor in places.items()}
        for place, descriptor in high.items():
            os.dup2(descriptor, place, inheritable=True)
        processes.close_on_exec_from(max(high) + 1)
        # pasta of 2023 ends if SIGPIPE is ignored, which it is in every program of Python.
        for number in (
            signal.SIGPIPE,
            signal.SIGINT,
            signal.SIGHUP,
            signal.SIGQUIT,
            signal.SIGXFSZ,
        ):
            signal.signal(number, signal.SIG_DFL)
        os.execv(argv[0], tuple(argv))
    except BaseException as error:  # noqa: BLE001 - the monitor's program must not go on twice
        os.write(2, f"{error}\n".encode(errors="backslashreplace"))
    finally:
        os._exit(1)


def become_root_of(namespaces: Namespaces, monitor: int) -> None:
    """Enter the user namespace for good, as its root, and end with the monitor, whose pidfd it is."""
    if namespaces.user is not None:
        processes.setns(namespaces.user, processes.CLONE_NEWUSER)
        uid, gid = namespaces.root
        identity.become(uid, gid, drop_groups=namespaces.drop_groups)
    processes.prctl(processes.PR_SET_PDEATHSIG, signal.SIGKILL)
    poll = select.poll()
    poll.register(monitor, select.POLLIN)
    if poll.poll(0):
        os._exit(1)  # it ended before the signal was asked for


def _keep_capabilities() -> None:
    """Over the execve(2) of a user other than root, which the only user of a namespace may be (capabilities(7)). For
    pasta: slirp4netns works as root only.
    """
    from rootless.syscalls import capabilities

    kept = frozenset({"SYS_ADMIN", "NET_ADMIN"})
    mask = capabilities.bits(kept)
    capabilities.capset(mask, mask, mask)
    for name in kept:
        number = capabilities.NAMES.index(name)
        processes.prctl(processes.PR_CAP_AMBIENT, processes.PR_CAP_AMBIENT_RAISE, number)


def _duplicate(descriptor: int) -> int:
    import fcntl

    return fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 64)
