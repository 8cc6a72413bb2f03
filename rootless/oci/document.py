"""Reading JSON documents of images strictly: types are checked, sizes and depths are bounded. Pure.

The bytes of a document are what its digest is of, so readers keep them; nothing is ever re-encoded
of which a digest may be stored elsewhere. Unknown fields are ignored by a reader and therefore kept.
"""

from __future__ import annotations

from rootless.errors import InvalidDocumentError
from rootless.light_json import dumps, loads

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeVar

    T = TypeVar("T", str, int, bool, dict[str, object], list[object])

# Registries refuse manifests above 4 MiB (distribution-spec, Pushing Manifests); configs of real
# images stay far below.
MAX_DOCUMENT_SIZE = 4 << 20

# Documents of images have less than ten levels. Who writes or shows one again recurses.
MAX_DEPTH = 100

Json = dict[str, object]


def parse_object(data: bytes, what: str, limit: int = MAX_DOCUMENT_SIZE) -> Json:
    """The JSON object in `data`; `what` names it in errors. Raises InvalidDocumentError."""
    if len(data) > limit:
        raise InvalidDocumentError(f"{what} is too large: {len(data)} bytes")
    return as_object(_parse(data, what), what)


def parse_list(data: bytes, what: str, limit: int = MAX_DOCUMENT_SIZE) -> list[object]:
    """The JSON array in `data`. Raises InvalidDocumentError."""
    if len(data) > limit:
        raise InvalidDocumentError(f"{what} is too large: {len(data)} bytes")
    value = _parse(data, what)
    if not isinstance(value, list):
        raise InvalidDocumentError(f"{what} is not a JSON array")
    return value


def _parse(data: bytes, what: str) -> object:
    try:
        value: object = loads(data)
    except RecursionError as error:
        raise InvalidDocumentError(f"{what} is nested too deeply") from error
    except ValueError as error:
        raise InvalidDocumentError(f"{what} is not valid JSON: {error}") from error
    if data.count(b"[") + data.count(b"{") > MAX_DEPTH and _is_deep(value):
        raise InvalidDocumentError(f"{what} is nested too deeply")
    # One half of a pair alone cannot be written again, nor printed; Go reads it as U+FFFD too.
    if b"\\ud" in data or b"\\uD" in data:
        return _without_half_pairs(value)
    return value


def _is_deep(value: object) -> bool:
    level = [value]
    for _ in range(MAX_DEPTH):
        inner: list[object] = []
        for each in level:
            if isinstance(each, dict):
                inner += each.values()
            elif isinstance(each, list):
                inner += each
        if not inner:
            return False
        level = inner
    return True


def _without_half_pairs(value: object) -> object:
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, list):
        return [_without_half_pairs(each) for each in value]
    if isinstance(value, dict):
        return {_without_half_pairs(key): _without_half_pairs(each) for key, each in value.items()}
    return value


def as_object(value: object, what: str) -> Json:
    """`value` if it is an object. Raises InvalidDocumentError."""
    if not isinstance(value, dict):
        raise InvalidDocumentError(f"{what} is not a JSON object")
    return value


def optional(document: Json, name: str, kind: type[T], what: str) -> T | None:
    """A field that may be missing or null (Go writes null for an empty slice or map)."""
    value = document.get(name)
    if value is None:
        return None
    if type(value) is not kind:
        raise InvalidDocumentError(f"{what}: {name} is not of type {_JSON_NAMES[kind]}")
    return value


def required(document: Json, name: str, kind: type[T], what: str) -> T:
    """A field that has to be there."""
    value = optional(document, name, kind, what)
    if value is None:
        raise InvalidDocumentError(f"{what}: {name} is missing")
    return value


def strings(document: Json, name: str, what: str) -> tuple[str, ...]:
    """A list of strings, empty if missing or null."""
    values = optional(document, name, list, what) or []
    if not all(isinstance(value, str) for value in values):
        raise InvalidDocumentError(f"{what}: {name} is not a list of strings")
    return tuple(values)  # type: ignore[arg-type]


def string_map(document: Json, name: str, what: str) -> dict[str, str]:
    """An object of strings, empty if missing or null."""
    values = optional(document, name, dict, what) or {}
    if not all(isinstance(value, str) for value in values.values()):
        raise InvalidDocumentError(f"{what}: {name} is not an object of strings")
    return values  # type: ignore[return-value]


_JSON_NAMES: dict[type, str] = {
    str: "string",
    int: "integer",
    bool: "boolean",
    dict: "object",
    list: "array",
}


def encode(document: object) -> bytes:
    """The JSON of a new document: compact, keys in the order given, so that equal input has
    equal digests.

    Raises InvalidDocumentError for text that is not Unicode, which JSON cannot hold (RFC 8259, section 8.1).
    """
    try:
        return dumps(document, ascii_only=False)
    except UnicodeEncodeError as error:
        start = error.object.rindex('"', 0, error.start) + 1
        text = error.object[start : error.object.index('"', error.end)]
        raise InvalidDocumentError(f"text that is not UTF-8 cannot be stored: {text!r}") from None
