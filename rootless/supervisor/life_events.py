"""The events that a monitor writes of its container.

Until the command has been executed they wait in memory, so that no start waits for the log, nor for the
import of what writes it.
"""

from __future__ import annotations

import time

from unionfs.light_types import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rootless.containers.directory import Containers
    from rootless.containers.record import ContainerRecord
    from rootless.events.event import Event
    from rootless.network.endpoint import ConnectedNetwork

_NO_ATTRIBUTES: Mapping[str, str] = {}


class _Waiting(NamedTuple):
    """An event that has not been written, of the container unless `about` is the name of a volume or a network."""

    time: int
    action: str
    attributes: Mapping[str, str]
    about: str | ConnectedNetwork = ""


class LifeEvents:
    """The events of one container, in its monitor."""

    def __init__(self, containers: Containers, record: ContainerRecord) -> None:
        self._containers = containers
        self._record = record
        self._waiting: list[_Waiting] = []
        self._started: float | None = None
        """By the monotonic clock: when this run began."""
        self._is_stopping = False
        self._volumes: Sequence[tuple[str, str, bool]] = ()
        self._networks: tuple[ConnectedNetwork, ...] = ()

    def in_networks(self, networks: tuple[ConnectedNetwork, ...]) -> None:
        """The container is in these networks from now on, and in no others."""
        before, self._networks = self._networks, networks
        now = time.time_ns()
        for action, some, others in (
            ("disconnect", before, networks),
            ("connect", networks, before),
        ):
            self._waiting += [
                _Waiting(now, action, _NO_ATTRIBUTES, each) for each in some if each not in others
            ]
        if self._started is not None:
            self.write()

    def mounted(self, volumes: Sequence[tuple[str, str, bool]]) -> None:
        """The container mounts these volumes, until its end: name, path in the container, read-only."""
        self._volumes = volumes
        for name, target, read_only in volumes:
            attributes = {
                "container": self._record.id,
                "destination": target,
                "driver": "local",
                "propagation": "",
                "read/write": "false" if read_only else "true",
            }
            self._waiting.append(_Waiting(time.time_ns(), "mount", attributes, name))

    def add(self, action: str, attributes: Mapping[str, str] = _NO_ATTRIBUTES) -> None:
        """Something has happened now."""
        self._waiting.append(_Waiting(time.time_ns(), action, attributes))
        if self._started is not None:
            self.write()

    def started(self) -> None:
        """The command has been executed."""
        self._started = time.monotonic()
        self._is_stopping = False
        self.add("start")

    def signalled(self, number: int) -> None:
        """A signal has been sent to the first process."""
        self.add("kill", {"signal": str(number)})

    def stopping(self) -> None:
        """A user has asked for its end: `stop` follows when it is there."""
        self._is_stopping = True

    def ended(self, status: int, *, out_of_memory: bool) -> None:
        """A run has ended, if it had begun."""
        if self._started is None:
            self.in_networks(())
            self.write()
            return
        duration = int(time.monotonic() - self._started)
        self._started = None
        self.in_networks(())
        if out_of_memory:
            self.add("oom")
        if self._is_stopping:
            self.add("stop")
        self.add("die", {"execDuration": str(duration), "exitCode": str(status)})
        for name, _, _ in self._volumes:
            attributes = {"container": self._record.id, "driver": "local"}
            self._waiting.append(_Waiting(time.time_ns(), "unmount", attributes, name))
        self._volumes = ()
        self.write()

    def write(self) -> None:
        """Write what waits."""
        if not self._waiting:
            return
        from rootless.errors import RootlessError
        from rootless.events.log import EventLog

        try:
            # It may have been renamed.
            self._record = self._containers.read(self._record.id)
        except (OSError, RootlessError):
            pass
        waiting, self._waiting = self._waiting, []
        EventLog(self._containers.runtime).append(*map(self._event, waiting))

    def _event(self, waiting: _Waiting) -> Event:
        from rootless.containers.events import container_event, network_event
        from rootless.events.event import volume_event

        moment, action, attributes, about = waiting
        if not about:
            return container_event(self._record, action, attributes, moment)
        if isinstance(about, str):
            return volume_event(about, action, moment, **attributes)
        return network_event(self._record.id, action, about, moment)
