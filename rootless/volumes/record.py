"""volume.json: one volume as a value, and its JSON. Pure.

Fields that this version does not know are kept. `format` is raised only when an older engine would
misread the document.
"""

from __future__ import annotations

from rootless.errors import InvalidDocumentError
from rootless.light_json import dumps, read_versioned
from rootless.volumes.options import is_tmpfs
from unionfs.light_types import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

FORMAT = 1
ANONYMOUS_LABEL = "com.docker.volume.anonymous"
"""Docker's label of volumes whose name no user chose."""


class VolumeRecord(NamedTuple):
    """`created` is RFC 3339 in UTC. `options` are the local driver's: type, o and device."""

    name: str
    created: str
    labels: Mapping[str, str] = {}
    options: Mapping[str, str] = {}
    extra: Mapping[str, object] = {}
    """Whatever else the document holds, by key."""

    @property
    def is_anonymous(self) -> bool:
        return ANONYMOUS_LABEL in self.labels

    @property
    def is_tmpfs(self) -> bool:
        """Its files are in memory, until the last container that has it mounted ends."""
        return is_tmpfs(self.options)

    @property
    def device(self) -> str | None:
        """The directory of the host that the volume stands for; None for one with files of its own."""
        return None if self.is_tmpfs else self.options.get("device")


def encode(record: VolumeRecord) -> bytes:
    """The document of a record."""
    document = {
        "format": FORMAT,
        **record.extra,
        "name": record.name,
        "created": record.created,
        "labels": dict(record.labels),
        "options": dict(record.options),
    }
    return dumps(document) + b"\n"


def decode(data: bytes, what: str) -> VolumeRecord:
    """The record of a document; `what` names the file in errors. Raises InvalidDocumentError."""
    document = read_versioned(data, what, FORMAT)
    name, created = document.pop("name", None), document.pop("created", None)
    if not isinstance(name, str) or not isinstance(created, str):
        raise InvalidDocumentError(f"{what}: name or created is not a string")
    labels = _strings(document.pop("labels", {}), f"{what}: labels")
    options = _strings(document.pop("options", {}), f"{what}: options")
    return VolumeRecord(name, created, labels, options, document)


def _strings(value: Any, what: str) -> dict[str, str]:  # noqa: ANN401 - a value of a JSON document
    if not isinstance(value, dict) or not all(isinstance(each, str) for each in value.values()):
        raise InvalidDocumentError(f"{what} is not an object of strings")
    return value
