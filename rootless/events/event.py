"""One event as a value, its line in the log, and docker's document of it. Pure."""

from __future__ import annotations

from rootless.light_json import dumps, loads
from unionfs.light_types import Enum, NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping


class EventType(Enum):
    """The kind of an event's object, in docker's words."""

    CONTAINER = "container"
    IMAGE = "image"
    NETWORK = "network"
    VOLUME = "volume"


class Event(NamedTuple):
    """One event.

    `action` is docker's word, such as `die`, or a word and its object, such as `exec_create: sh -c true`.
    `actor` is the id of the container or image, or the name of the volume or network.
    """

    time: int
    """Nanoseconds since the epoch."""
    type: EventType
    action: str
    actor: str
    attributes: Mapping[str, str] = {}


def volume_event(name: str, action: str, time: int, **attributes: str) -> Event:
    """create, mount, unmount or destroy of a volume. `attributes` as docker has them: `driver`, and for
    a mount `container`, `destination`, `propagation` and `read/write`.
    """
    return Event(time, EventType.VOLUME, action, name, attributes)


def encode(event: Event) -> bytes:
    """The line of an event, newline included."""
    return dumps(event._asdict() | {"type": event.type.value}) + b"\n"


def decode(line: bytes) -> Event | None:
    """The event of a line; None for a damaged line, and for an event of a newer version."""
    try:
        fields = loads(line)
        event = Event(
            fields["time"],
            EventType(fields["type"]),
            fields["action"],
            fields["actor"],
            fields["attributes"],
        )
        texts = (event.action, event.actor, *event.attributes, *event.attributes.values())
    except (AttributeError, LookupError, RecursionError, TypeError, ValueError):
        return None
    is_whole = type(event.time) is int and all(isinstance(text, str) for text in texts)
    return event if is_whole else None


def document(event: Event) -> dict[str, object]:
    """The object that docker's API and `events --format json` show (api/types/events, Message)."""
    attributes = dict(sorted(event.attributes.items()))
    older: dict[str, object] = {}
    if event.type in {EventType.CONTAINER, EventType.IMAGE}:
        older = {"status": event.action, "id": event.actor}
    if event.type is EventType.CONTAINER and event.attributes.get("image"):
        older["from"] = event.attributes["image"]
    return {
        **older,
        "Type": event.type.value,
        "Action": event.action,
        "Actor": {"ID": event.actor, "Attributes": attributes},
        "scope": "local",
        "time": event.time // 10**9,
        "timeNano": event.time,
    }
