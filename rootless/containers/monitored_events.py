"""The events of a log, with those of containers whose monitor is killed, which cannot write them itself."""

from __future__ import annotations

import os
import select
from typing import TYPE_CHECKING

from rootless.containers.process_identity import open_process
from rootless.containers.reconcile import reconcile
from rootless.events.stream import EventStream

if TYPE_CHECKING:
    from rootless.containers.directory import Containers
    from rootless.events.event import Event
    from rootless.events.filters import EventFilters
    from rootless.events.log import EventLog

_BEGINNING = frozenset({"start", "restart"})
"""Actions after which a record may have another monitor."""


class MonitoredEvents(EventStream):
    """As EventStream. While it is read, the end of a monitor is noticed at once, and the record of its container
    corrected.
    """

    def __init__(
        self,
        containers: Containers,
        log: EventLog,
        filters: EventFilters,
        since: int | None,
        until: int | None,
    ) -> None:
        self._containers = containers
        self._monitors: dict[tuple[int, int], int] = {}
        """Descriptors (pidfd) by number and start time."""
        self._ready = select.epoll()
        reconcile(containers)
        super().__init__(log, filters, since, until)
        self._ready.register(self._watch.fileno(), select.EPOLLIN)
        self._look()

    def fileno(self) -> int:
        return self._ready.fileno()

    def close(self) -> None:
        super().close()
        self._ready.close()
        for descriptor in self._monitors.values():
            os.close(descriptor)
        self._monitors.clear()

    def _read_all(self) -> list[Event]:
        ended = {descriptor for descriptor, _ in self._ready.poll(0)} - {self._watch.fileno()}
        for key, descriptor in [*self._monitors.items()]:
            if descriptor in ended:
                del self._monitors[key]
                os.close(descriptor)
        if ended:
            reconcile(self._containers)
        found = super()._read_all()
        if any(event.action in _BEGINNING for event in found):
            self._look()
        return found

    def _look(self) -> None:
        """Watch the monitors of the records that are not watched yet."""
        for record in self._containers.all():
            key = record.monitor_pid, record.monitor_pid_start
            if key in self._monitors:
                continue
            descriptor = open_process(*key)
            if descriptor is not None:
                self._monitors[key] = descriptor
                self._ready.register(descriptor, select.EPOLLIN)
