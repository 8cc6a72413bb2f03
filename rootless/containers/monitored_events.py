"""The events of a log, with those of containers whose monitor is killed, which cannot write them itself."""

from __future__ import annotations

import os
import select
from typing import TYPE_CHECKING

from rootless.containers.process_identity import open_process
from rootless.containers.reconcile import reconcile
from rootless.containers.status import MONITORED
from rootless.errors import InvalidDocumentError, NotFoundError, RootlessError
from rootless.events.stream import EventStream

if TYPE_CHECKING:
    from rootless.containers.directory import Containers
    from rootless.containers.record import ContainerRecord
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
        self._monitors: dict[int, ContainerRecord] = {}
        """The records of running containers by the descriptors (pidfd) of their monitors."""
        self._ready = select.epoll()
        self._correct()
        super().__init__(log, filters, since, until)
        self._ready.register(self._watch.fileno(), select.EPOLLIN)
        self._look()

    def fileno(self) -> int:
        return self._ready.fileno()

    def close(self) -> None:
        super().close()
        self._ready.close()
        for descriptor in self._monitors:
            os.close(descriptor)
        self._monitors.clear()

    def _read_all(self) -> list[Event]:
        lost = False
        for descriptor, _ in self._ready.poll(0):
            record = self._monitors.pop(descriptor, None)
            if record is not None:
                os.close(descriptor)
                lost = self._is_unfinished(record) or lost
        if lost:
            self._correct()
        found = super()._read_all()
        if any(event.action in _BEGINNING for event in found):
            self._look()
        return found

    def _look(self) -> None:
        """Watch the monitors of the records that are not watched yet. Of one that has ended meanwhile the record is corrected."""
        watched = {_monitor_of(record) for record in self._monitors.values()}
        lost = False
        for record in self._containers.all():
            if _monitor_of(record) in watched:
                continue
            try:
                descriptor = open_process(*_monitor_of(record))
            except OSError:
                break  # EMFILE: the ends of the others are noticed by later commands
            if descriptor is not None:
                self._monitors[descriptor] = record
                self._ready.register(descriptor, select.EPOLLIN)
            else:
                lost = lost or record.status in MONITORED
        if lost:
            self._correct()

    def _is_unfinished(self, record: ContainerRecord) -> bool:
        """Whether the monitor of a container, which has ended, has not recorded that. Most have."""
        try:
            return self._containers.read(record.id).status in MONITORED
        except NotFoundError:
            return False
        except InvalidDocumentError:
            return True

    def _correct(self) -> None:
        """The events that this writes wake the reader of the log."""
        try:
            reconcile(self._containers)
        except (OSError, RootlessError):
            pass  # a read-only store, a container that cannot be removed: the next command about it says so


def _monitor_of(record: ContainerRecord) -> tuple[int, int]:
    return record.monitor_pid, record.monitor_pid_start
