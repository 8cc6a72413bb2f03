"""snapshots.json: the frozen states of a container's writable layer, and the layer below the one that takes the writes.

The file is there from the first snapshot of a container on. It is replaced in one step, and names in `pending` what is
about to be done to the directories before that is begun: what has been killed in between is completed, or given up, by
the next that opens it (`rootless.snapshots.steps`). Pure.
"""

from __future__ import annotations

from rootless.errors import InvalidDocumentError
from rootless.light_json import dumps, read_versioned
from unionfs.light_types import NamedTuple

LOCK = ".snapshots.lock"
COMMANDS_LOCK = ".snapshots-command.lock"
"""Held by a command from its look at the record until what it asks for is done."""
FORMAT = 1

FREEZE, ROLL_BACK = "freeze", "roll-back"


class Snapshot(NamedTuple):
    """`layer` is the id of the topmost of its frozen layers, `created` a time of RFC 3339 in UTC."""

    tag: str
    layer: str
    created: str


class Span(NamedTuple):
    """What lies between two states of a container, by the ids of their frozen layers. `older` is empty for what it was
    made of, `newer` for what it is now."""

    older: str = ""
    newer: str = ""


WHOLE = Span()


class Pending(NamedTuple):
    """The operation under way: FREEZE to the layer of `snapshot`, or ROLL_BACK to that layer."""

    what: str
    snapshot: Snapshot


class SnapshotRecord(NamedTuple):
    """Of one container. `head` is the frozen layer on which its writable layer lies; empty: none. `is_fresh`: the top
    directory of the writable layer has still to get the attributes of the frozen one's."""

    head: str = ""
    is_fresh: bool = False
    snapshots: tuple[Snapshot, ...] = ()
    pending: Pending | None = None

    def find(self, tag: str) -> Snapshot | None:
        """The snapshot of this tag."""
        return next((each for each in self.snapshots if each.tag == tag), None)

    def frozen(self, snapshot: Snapshot, *, is_fresh: bool) -> SnapshotRecord:
        """After the writable layer has become the layer of `snapshot`."""
        return SnapshotRecord(snapshot.layer, is_fresh, (*self.snapshots, snapshot))

    @property
    def layers(self) -> tuple[str, ...]:
        """Every layer that it names."""
        pending = () if self.pending is None else (self.pending.snapshot.layer,)
        head = (self.head,) if self.head else ()
        return (*head, *(each.layer for each in self.snapshots), *pending)


def encode(record: SnapshotRecord) -> bytes:
    """The document of a record."""
    pending = record.pending
    document: dict[str, object] = {
        "format": FORMAT,
        "head": record.head,
        "fresh": record.is_fresh,
        "snapshots": [each._asdict() for each in record.snapshots],
    }
    if pending is not None:
        document["pending"] = {"what": pending.what, **pending.snapshot._asdict()}
    return dumps(document) + b"\n"


def decode(data: bytes, what: str) -> SnapshotRecord:
    """The record of a document; `what` names the file in errors. Raises InvalidDocumentError."""
    document = read_versioned(data, what, FORMAT)
    try:
        pending = document.get("pending")
        return SnapshotRecord(
            _text(document["head"]),
            document["fresh"] is True,
            tuple(_snapshot(each) for each in document["snapshots"]),
            None if pending is None else Pending(_text(pending["what"]), _snapshot(pending)),
        )
    except (AttributeError, LookupError, TypeError) as error:
        raise InvalidDocumentError(f"{what} is damaged: {error}") from error


def _snapshot(value: dict[str, object]) -> Snapshot:
    return Snapshot(_text(value["tag"]), _text(value["layer"]), _text(value["created"]))


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is not a string")
    return value
