"""Decides whether and when a container that has ended is restarted: by its restart policy, for a client, or because
it is unhealthy.
"""

from __future__ import annotations

import time

from rootless.spec.options import RestartName
from rootless.supervisor.protocol import Kind

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.spec.options import RestartPolicy
    from rootless.supervisor.clients import Client


class Restarts:
    """The restarts of one container, in its monitor."""

    def __init__(self, policy: RestartPolicy) -> None:
        self.policy = policy
        self.count = 0
        """How often the policy has started the container since a user or its health did."""
        self.is_final = False
        """The run that goes on is the last one, whatever the policy says."""
        self.stopped_by_user = False
        """A user has sent a signal to the container since its command was executed."""
        self.replaces_unhealthy = False
        """The container is unhealthy, and its options ask for another run."""
        self.clients: list[Client] = []
        """Clients that have asked for a restart and wait for it."""
        self._started_at = 0.0
        """By the monotonic clock: when the command was last executed."""
        self._delay = 0.0

    @property
    def has_started(self) -> bool:
        """Whether the command of the container has been executed, in this run or in one before it."""
        return self._started_at > 0

    def started(self) -> None:
        """The command has been executed."""
        self.stopped_by_user = False
        self._started_at = time.monotonic()

    def follows(self, status: int) -> bool:
        """Whether another run follows the one that has ended with this status."""
        if self.clients:
            return True
        if self.is_final or not self.has_started:
            return False
        if self.replaces_unhealthy:
            return True
        if self.policy.name is RestartName.NO:
            return False
        from rootless.containers.restart_policy import restarts

        return restarts(
            self.policy,
            exit_code=status,
            count=self.count,
            stopped_by_user=self.stopped_by_user,
        )

    def delay(self) -> float:
        """Seconds until the next run, which `follows`."""
        if self.clients or self.replaces_unhealthy:
            self._delay, self.count, self.is_final = 0.0, 0, False
            self.replaces_unhealthy = False
            return 0.0
        from rootless.containers.restart_policy import next_delay

        self._delay = next_delay(self._delay, time.monotonic() - self._started_at)
        self.count += 1
        return self._delay

    def answer(self) -> None:
        """The container runs again: tell the clients that wait for it."""
        for client in self.clients:
            client.send(Kind.DONE)
        self.clients.clear()
