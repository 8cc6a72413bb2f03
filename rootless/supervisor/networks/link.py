"""A connection of a container's network namespace: to the default network, or to all user-defined ones. It is made
again if the process that keeps it is killed.
"""

from __future__ import annotations

import time

from rootless.errors import RootlessError
from rootless.supervisor.engine_log import log

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.network.driver import Connection, Driver, Target
    from rootless.network.endpoint import Assigned
    from rootless.network.namespaces import Namespaces
    from rootless.network.setup import NetworkSetup

_MAX_STARTS = 10
_PERIOD = 60.0
"""Seconds in which the driver may connect the namespace so often: else something keeps it from working."""


class NetworkLink:
    """`start` when the namespaces are there, `check` while the container runs, `end` at its end."""

    def __init__(self, setup: NetworkSetup, driver: Driver) -> None:
        self.setup = setup
        self._driver = driver
        self.connection: Connection | None = None
        """None before `start`, after `end`, and if the process ended too often."""
        self._starts: list[float] = []
        """When it was started, by the monotonic clock."""

    def start(self, namespaces: Namespaces) -> None:
        """Raises OSError, RootlessError."""
        self._starts.append(time.monotonic())
        self.connection = self._driver.attach(self.setup, namespaces)

    def wait_until_ready(self) -> None:
        """Return when packets pass. Raises LaunchError."""
        if self.connection is not None:
            self.connection.wait_until_ready()

    @property
    def places(self) -> tuple[Assigned, ...]:
        """What the container has in networks that a user has defined."""
        return () if self.connection is None else self.connection.places

    def publish(self) -> Target | None:
        """Where published ports lead to; None without a connection."""
        if self.connection is None:
            return None
        return self._driver.publish(self.setup, self.connection)

    def check(self, ready: set[int], namespaces: Namespaces) -> str:
        """Connect the namespace again if the process has ended. The text is why not, if it ends too often."""
        connection = self.connection
        if connection is None or connection.pidfd not in ready:
            return ""
        log(f"network: {connection.reason()}")
        self.end()
        now = time.monotonic()
        self._starts = [at for at in self._starts if now - at < _PERIOD]
        if len(self._starts) < _MAX_STARTS:
            try:
                self.start(namespaces)
            except (OSError, RootlessError) as error:
                log(f"network: {connection.name} cannot be started: {error}")
            else:
                return ""
        return f"the container has no network any more: {connection.name} ends again and again"

    def end(self) -> None:
        """Idempotent."""
        if self.connection is not None:
            self._driver.detach(self.connection)
            self.connection = None
