"""A stand-in for `json` that costs less to import, for the documents that a start reads and writes.

The library's `json` imports `re` and compiles expressions for what its C module does not read (docs/decisions/1300
has the figure). This one calls the C module directly. It differs from `json` where that accepts what RFC 8259
does not: NaN, infinite numbers, and encodings other than UTF-8 are refused.
"""

from __future__ import annotations

from _json import encode_basestring, encode_basestring_ascii, make_encoder, make_scanner

from rootless.errors import InvalidDocumentError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def _finite(text: str) -> float:
    value = float(text)
    if value in {float("inf"), -float("inf")}:
        raise ValueError(f"the number {text[:40]} is out of range")
    return value


def _no_constant(name: str) -> float:
    """Refuse NaN and Infinity, which `json` reads: RFC 8259, section 6, has no such numbers."""
    raise ValueError(f"{name} is not a number")


class _Context:
    """The attributes of a json.JSONDecoder that the scanner reads."""

    strict = True
    object_hook = None
    object_pairs_hook = None
    parse_float = staticmethod(_finite)
    parse_int = int
    parse_constant = staticmethod(_no_constant)


_BLANKS = " \t\n\r"
_scan = make_scanner(_Context)  # type: ignore[arg-type]


def loads(data: bytes) -> Any:  # noqa: ANN401 - as of json.loads
    """The value of a document in UTF-8. Raises ValueError, and RecursionError for too deep a document."""
    try:
        text = data.decode().strip(_BLANKS)
        value, end = _scan(text, 0)
        if end == len(text):
            return value
    except (StopIteration, SystemError, UnicodeDecodeError):
        pass  # the scanner imports json.decoder to describe an error (_json.c): json itself reports it below
    import json

    # As str: of bytes, json.loads accepts UTF-16 and UTF-32 too.
    return json.loads(data.decode(), parse_float=_finite, parse_constant=_no_constant)


def dumps(value: object, *, ascii_only: bool = True, sort_keys: bool = False) -> bytes:
    """The document of a value, in one line without blanks.

    Raises TypeError for a value of another type than JSON has, ValueError for one that contains itself or
    a number that is not finite.
    """

    def refuse(other: object) -> object:
        raise TypeError(f"{type(other).__name__} is not a type of JSON")

    text = encode_basestring_ascii if ascii_only else encode_basestring
    encode = make_encoder({}, refuse, text, None, ":", ",", sort_keys, False, False)
    return "".join(encode(value, 0)).encode()


def read_versioned(data: bytes, what: str, version: int) -> dict[str, Any]:
    """The fields of a document other than `format`, which must be `version`.

    `what` names the file in errors. Raises InvalidDocumentError.
    """
    try:
        document = loads(data)
    except (ValueError, RecursionError) as error:
        raise InvalidDocumentError(f"{what} is not JSON: {error}") from error
    if not isinstance(document, dict):
        raise InvalidDocumentError(f"{what} is not a JSON object")
    if document.pop("format", None) != version:
        raise InvalidDocumentError(
            f"{what} has a format that this version does not know",
            hint="use the newer version that wrote it",
        )
    return document
