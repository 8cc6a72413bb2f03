"""`events`: what happens to containers, images and volumes."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING

from rootless.cli.context import Settings, engine_of
from rootless.cli.flags.times import parse_time
from rootless.cli.grammar import Command, OnFlag, Parsed, Text, Texts
from rootless.cli.output import in_a_line
from rootless.cli.process import exit_after
from rootless.cli.shared_options import filter_pairs
from rootless.errors import UsageError
from rootless.events.event import Event, EventType, document

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import NoReturn


_FILTER = Texts(
    ("filter", "f"),
    "Filter output based on conditions provided: container, event, image, label, network, scope, type, volume",
    "FILTER",
)
_FORMAT = Text(
    ("format",), "Format output as json or using a Go template", "FORMAT", choices=("json",)
)
_SINCE = Text(("since",), "Show all events created since timestamp", "TIME")
_UNTIL = Text(("until",), "Stream events until this timestamp", "TIME")
_STREAM = OnFlag(("stream",), "Wait for further events; --stream=false prints those of the past")


class EventTemplateError(UsageError):
    """A template that does not parse or does not fit, for which docker's client exits with 64."""

    exit_status = 64
    code = "template"


class TimeOrderError(UsageError):
    """A range of time that ends before it begins."""

    exit_status = 1
    code = "time"


def events(parsed: Parsed, settings: Settings) -> int:
    """Print the events of the past that were asked for, and then each as it happens."""
    from rootless.cli.flags.filters import label_filter
    from rootless.events.filters import event_filters

    pairs = filter_pairs(parsed, _FILTER)
    labels = tuple(label_filter(value) for name, value in pairs if name == "label")
    now = time.time_ns()
    since, until = parse_time(parsed[_SINCE] or "", now), parse_time(parsed[_UNTIL] or "", now)
    if since is not None and until is not None and since > until:
        raise TimeOrderError(
            f"`since` time ({_seconds(since)}) cannot be after `until` time ({_seconds(until)})"
        )
    if until is None and not parsed[_STREAM]:
        until = now
    form = parsed[_FORMAT] or ""
    show = _shown(form)
    with engine_of(settings).events(
        event_filters(pairs, labels), since=since, until=until
    ) as found:
        if until is not None:
            return _print(found, show)
        from rootless.engine.patient_events import PatientEvents

        return _print(PatientEvents(found, partial(_go_on, form, debug=settings.debug)), show)


def _print(events: Iterable[Event], show: Callable[[Event], str]) -> int:
    for event in events:
        print(show(event), flush=True)
    return 0


def _go_on(form: str, events: Iterable[Event], *, debug: bool) -> NoReturn:
    """Print further events in a process that stood by."""
    exit_after(lambda: _print(events, _shown(form)), debug=debug)


def _seconds(moment: int) -> str:
    whole, rest = divmod(moment, 10**9)
    return f"{whole}.{rest:09d}" if rest else str(whole)


def _shown(form: str) -> Callable[[Event], str]:
    """How an event is printed. Raises EventTemplateError."""
    if not form:
        return _text
    from rootless.gotemplate import StringMap, Struct, TemplateError, parse
    from rootless.gotemplate.formatting import to_json

    if form in {"json", "{{json .}}"}:
        return lambda event: to_json(document(event))

    def struct(event: Event) -> Struct:
        """Docker's struct, whose fields have other names than those of its JSON."""
        shown = document(event)
        actor = {"ID": event.actor, "Attributes": StringMap(sorted(event.attributes.items()))}
        fields = {
            "Status": shown.get("status", ""),
            "ID": shown.get("id", ""),
            "From": shown.get("from", ""),
            "Type": event.type.value,
            "Action": event.action,
            "Actor": Struct("events.Actor", actor),
            "Scope": "local",
            "Time": shown["time"],
            "TimeNano": event.time,
        }
        return Struct("*events.Message", fields)

    try:
        template = parse(form)
    except TemplateError as error:
        raise EventTemplateError(f"Error parsing format: {error}") from error

    def show(event: Event) -> str:
        try:
            return template.render(struct(event))
        except TemplateError as error:
            raise EventTemplateError(f"Error parsing format: {error}") from error

    show(Event(0, EventType.CONTAINER, "", ""))  # a field that no event has is an error at once
    return show


def _text(event: Event) -> str:
    """As docker prints an event: the time in the local zone, and the attributes by name."""
    from datetime import datetime

    seconds, nanoseconds = divmod(event.time, 10**9)
    local = datetime.fromtimestamp(seconds).astimezone()
    zone = local.strftime("%z")
    zone = "Z" if zone == "+0000" else f"{zone[:3]}:{zone[3:]}"
    moment = f"{local:%Y-%m-%dT%H:%M:%S}.{nanoseconds:09d}{zone}"
    line = f"{moment} {event.type.value} {event.action} {event.actor}"
    if event.attributes:
        pairs = ", ".join(f"{key}={value}" for key, value in sorted(event.attributes.items()))
        line += f" ({pairs})"
    return in_a_line(line)


EVENTS = Command(
    "events",
    "Get real time events",
    "",
    (_FILTER, _FORMAT, _SINCE, _STREAM, _UNTIL),
    events,
    most=0,
    description="""Print what happens to containers, images and volumes of this user on this machine,
until it is interrupted or --until has come. A TIME is an age such as 10m, a date and time such as
2026-01-31T12:00:00, or seconds since the epoch. With --since, or with --until alone, the events of the
past come first: the log keeps the last few thousand.""",
)
