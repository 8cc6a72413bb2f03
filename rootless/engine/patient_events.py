"""`events` of the command line: its process stands by while nothing happens."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rootless.supervisor.standby.patient import Patient

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import NoReturn, TypeAlias

    from rootless.events.event import Event
    from rootless.events.stream import EventStream

    ResumedEvents: TypeAlias = Callable[[Iterable[Event]], NoReturn]
    """What a process does that has stood by. It can be pickled."""


class PatientEvents(Patient):
    """A stream of events without an end."""

    def __init__(self, stream: EventStream, resumed: ResumedEvents) -> None:
        super().__init__()
        self._stream = stream
        self._resumed = resumed

    def __iter__(self) -> Iterator[Event]:
        self._take_signals()
        while True:
            yield from self._stream.read()
            if not self._stream.wait(self._quiet):
                self._stand_by(self._stream.fileno())

    def resume(self) -> NoReturn:
        self._resumed(self)
