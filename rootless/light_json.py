"""JSON as the engine writes and reads it at every start.

The standard library's `json` compiles regular expressions for the cases that its half in C does not
take, and imports `re` for them: 5 ms. Documents of ours are UTF-8 and take the half in C.
"""

from __future__ import annotations

from _json import encode_basestring, encode_basestring_ascii, make_encoder, make_scanner

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def _finite(text: str) -> float:
    value = float(text)
    if value in {float("inf"), -float("inf")}:
        raise ValueError(f"the number {text[:40]} is out of range")
    return value


def _no_constant(name: str) -> float:
    """NaN and Infinity, which Python's reader takes, are not of JSON (RFC 8259, section 6)."""
    raise ValueError(f"{name} is not a number")


class _Context:
    """What the scanner reads of a decoder, as attributes."""

    strict = True
    object_hook = None
    object_pairs_hook = None
    parse_float = staticmethod(_finite)
    parse_int = int
    parse_constant = staticmethod(_no_constant)


_BLANKS = " \t\n\r"
_scan = make_scanner(_Context)  # type: ignore[arg-type]


def loads(data: bytes) -> Any:  # noqa: ANN401 - as of json.loads
    """The value of a document. Raises ValueError, RecursionError."""
    try:
        text = data.decode().strip(_BLANKS)
        value, end = _scan(text, 0)
        if end == len(text):
            return value
    except (StopIteration, SystemError, UnicodeDecodeError):
        pass  # the scanner cannot name an error before the library's module is there (_json.c)
    import json

    # As text: of bytes it would take UTF-16 and UTF-32 too, which nobody else reads.
    return json.loads(data.decode(), parse_float=_finite, parse_constant=_no_constant)


def dumps(value: object, *, ascii_only: bool = True, sort_keys: bool = False) -> bytes:
    """The document of a value, in one line without blanks. Raises TypeError for what JSON has not."""

    def refuse(other: object) -> object:
        raise TypeError(f"{type(other).__name__} is not of JSON")

    text = encode_basestring_ascii if ascii_only else encode_basestring
    encode = make_encoder({}, refuse, text, None, ":", ",", sort_keys, False, False)
    return "".join(encode(value, 0)).encode()
