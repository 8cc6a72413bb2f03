"""The private network of one run of a container: the helper program that connects it, which is started again if it is
killed.
"""

from __future__ import annotations

import os
import time

from rootless.errors import RootlessError
from rootless.network.drivers import driver_of
from rootless.network.namespaces import Namespaces
from rootless.supervisor.engine_log import log

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from rootless.network.driver import Connection, Driver, Target
    from rootless.network.endpoint import Assigned
    from rootless.network.forwarder import Forwarder
    from rootless.network.listening import PublishedSocket
    from rootless.network.setup import NetworkSetup
    from rootless.runtime.idmap import IdMaps

_MAX_STARTS = 10
_PERIOD = 60.0
"""Seconds in which the program may be started so often: else something keeps it from working."""


class ContainerNetwork:
    """`connect` when the container's namespaces are there, `wait_until_ready` before its command is executed, `check`
    while it runs, `release` at its end.
    """

    def __init__(
        self,
        setup: NetworkSetup,
        id_maps: IdMaps,
        sockets: Sequence[PublishedSocket] = (),
        driver: Driver | None = None,
    ) -> None:
        """`sockets` are those of the published ports, and stay the caller's. `driver` is that of the setup, unless
        another one is given.
        """
        self._setup = setup
        self._sockets = sockets
        self._forwarder: Forwarder | None = None
        self._target: Target | None = None
        self._direct: tuple[tuple[str, int], ...] = ()
        self._id_maps = id_maps
        self._driver = driver or driver_of(setup.driver)
        self._connection: Connection | None = None
        self._namespaces: Namespaces | None = None
        self._starts: list[float] = []
        """When the program was started, by the monotonic clock."""

    def describe(self) -> str:
        """The step of the start, for `run --debug`."""
        if self._setup.attachments:
            names = ", ".join(each.network for each in self._setup.attachments)
            return f"connect the container to the networks {names}"
        return f"connect the network with {self._setup.program}"

    def connect(self, pid: int) -> None:
        """Connect the network namespace of a process. Raises OSError, RootlessError."""
        # Opened before the process changes its ids, after which its /proc/PID/ns is its own user namespace's only.
        flags = os.O_RDONLY | os.O_CLOEXEC
        self._namespaces = Namespaces(
            os.open(f"/proc/{pid}/ns/user", flags),
            os.open(f"/proc/{pid}/ns/net", flags),
            self._id_maps.root,
            self._id_maps.helper,
        )
        self._start(self._namespaces)

    def join(self, other: ContainerNetwork) -> None:
        """Connect the network namespace that another one has connected already. Raises OSError, RootlessError."""
        namespaces = other._namespaces
        if namespaces is None or namespaces.user is None:
            return
        self._namespaces = namespaces._replace(
            user=os.dup(namespaces.user), network=os.dup(namespaces.network)
        )
        self._start(self._namespaces)

    @property
    def connection(self) -> Connection | None:
        """None before `connect`, and if the program ended too often."""
        return self._connection

    def retarget(self, direct: tuple[tuple[str, int], ...] = ()) -> None:
        """The places of the container have changed: have published ports lead to where they do now. `direct` are
        addresses in other networks than this one's.
        """
        self._direct = direct
        if self._forwarder is not None and self._publish() != self._target:
            self._forwarder.end()
            self._forwarder = None
            self._forward()

    def _start(self, namespaces: Namespaces) -> None:
        self._starts.append(time.monotonic())
        self._connection = self._driver.attach(self._setup, namespaces)

    @property
    def places(self) -> tuple[Assigned, ...]:
        """What the container has in networks that a user has defined."""
        return () if self._connection is None else self._connection.places

    def wait_until_ready(self) -> None:
        """Return when the interface is configured and connections to published ports are passed on. Raises
        LaunchError, OSError.
        """
        if self._connection is not None:
            self._connection.wait_until_ready()
        self._forward()

    def _forward(self) -> None:
        self._target = self._publish()
        if not self._sockets or self._namespaces is None or self._target is None:
            return
        from rootless.network.forwarder import Forwarder

        self._forwarder = Forwarder(self._sockets, self._target, self._namespaces)

    def _publish(self) -> Target | None:
        if self._connection is None:
            return None
        target = self._driver.publish(self._setup, self._connection)
        return target._replace(direct=(*target.direct, *self._direct))

    def watched(self) -> tuple[int, ...]:
        """Descriptors that become readable when one of its processes ends."""
        processes = (self._connection, self._forwarder)
        return tuple(each.pidfd for each in processes if each is not None)

    def check(self, ready: set[int]) -> str:
        """Start a process again that has ended. The text is why the program is not, if it ends too often."""
        if self._forwarder is not None and self._forwarder.pidfd in ready:
            log("network: the process that passes connections to published ports on was killed")
            self._forwarder.end()
            self._forward()
        connection, namespaces = self._connection, self._namespaces
        if connection is None or namespaces is None or connection.pidfd not in ready:
            return ""
        log(f"network: {connection.reason()}")
        self._detach()
        now = time.monotonic()
        self._starts = [at for at in self._starts if now - at < _PERIOD]
        if len(self._starts) < _MAX_STARTS:
            try:
                self._start(namespaces)
            except (OSError, RootlessError) as error:
                log(f"network: {connection.name} cannot be started: {error}")
            else:
                return ""
        return f"the container has no network any more: {connection.name} ends again and again"

    def _detach(self) -> None:
        if self._connection is not None:
            self._driver.detach(self._connection)
            self._connection = None

    def release(self) -> None:
        """Idempotent."""
        if self._forwarder is not None:
            self._forwarder.drain()
            self._forwarder.end()
            self._forwarder = None
        self._detach()
        if self._namespaces is not None:
            if self._namespaces.user is not None:
                os.close(self._namespaces.user)
            os.close(self._namespaces.network)
            self._namespaces = None
