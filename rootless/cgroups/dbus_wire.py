"""The part of the D-Bus wire format that asking systemd for a scope needs. Pure.

D-Bus specification, "Type System" and "Message Protocol". Values are given with a signature:
the types of integers, str and bytes are not guessed. Arrays are lists, structs tuples, dictionaries
lists of pairs, a variant is the pair (signature, value).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

Value = Any
"""What a signature describes; too deep a recursion for a static type."""

_FIXED = {"y": "B", "n": "h", "q": "H", "i": "i", "u": "I", "x": "q", "t": "Q", "d": "d"}
_ALIGNMENT = {"y": 1, "g": 1, "v": 1, "n": 2, "q": 2, "x": 8, "t": 8, "d": 8, "(": 8, "{": 8}
_MAXIMUM_MESSAGE = 1 << 27

METHOD_CALL, METHOD_RETURN, ERROR, SIGNAL = 1, 2, 3, 4
_PATH, _INTERFACE, _MEMBER, _ERROR_NAME, _REPLY_SERIAL, _DESTINATION, _SIGNATURE = (
    1,
    2,
    3,
    4,
    5,
    6,
    8,
)
# REPLY_SERIAL and UNIX_FDS; every other header field is text.
_NUMBERED = (5, 9)


class WireError(ValueError):
    """Bytes are not a D-Bus message, or a value does not fit its signature."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DbusMessage:
    """A message without its serial. `body` has a value for each complete type of `signature`."""

    kind: int
    path: str | None = None
    interface: str | None = None
    member: str | None = None
    destination: str | None = None
    error_name: str | None = None
    reply_serial: int | None = None
    signature: str = ""
    body: tuple[Any, ...] = ()


def complete_types(signature: str) -> list[str]:
    """`ssa(sv)` is `s`, `s`, `a(sv)`."""
    types = []
    position = 0
    while position < len(signature):
        end = _end_of_type(signature, position)
        types.append(signature[position:end])
        position = end
    return types


def _end_of_type(signature: str, start: int) -> int:
    if start >= len(signature):
        raise WireError(f"signature {signature!r} ends too early")
    code = signature[start]
    if code == "a":
        return _end_of_type(signature, start + 1)
    if code in "({":
        position, close = start + 1, ")" if code == "(" else "}"
        while position < len(signature) and signature[position] != close:
            position = _end_of_type(signature, position)
        if position == len(signature) or position == start + 1:
            raise WireError(f"signature {signature!r}: unclosed or empty brackets")
        return position + 1
    if code not in "ybnqiuxtdsogv":
        raise WireError(f"signature {signature!r} has an unknown type {code!r}")
    return start + 1


class _Writer:
    def __init__(self) -> None:
        self.out = bytearray()

    def pad(self, alignment: int) -> None:
        self.out += bytes(-len(self.out) % alignment)

    def put(self, kind: str, value: Value) -> None:
        code = kind[0]
        if code in _FIXED:
            size = struct.calcsize(_FIXED[code])
            self.pad(size)
            self.out += struct.pack(f"<{_FIXED[code]}", value)
        elif code == "b":
            self.put("u", 1 if value else 0)
        elif code in "so":
            encoded = value.encode()
            self.put("u", len(encoded))
            self.out += encoded + b"\0"
        elif code == "g":
            self.out += bytes((len(value),)) + value.encode() + b"\0"
        elif code == "v":
            signature, content = value
            self.put("g", signature)
            self.put(signature, content)
        elif code == "a":
            self.put_array(kind[1:], value)
        else:
            self.pad(8)
            for part, content in zip(complete_types(kind[1:-1]), value, strict=True):
                self.put(part, content)

    def put_array(self, kind: str, items: Value) -> None:
        self.pad(4)
        at = len(self.out)
        self.out += bytes(4)
        # The padding before the first item is not part of the length.
        self.pad(_ALIGNMENT.get(kind[0], 4))
        start = len(self.out)
        for item in items:
            self.put(kind, item)
        struct.pack_into("<I", self.out, at, len(self.out) - start)


class _Reader:
    def __init__(self, data: bytes, order: str) -> None:
        self.data = data
        self.order = order
        self.position = 0

    def pad(self, alignment: int) -> None:
        self.position += -self.position % alignment

    def take(self, count: int) -> bytes:
        end = self.position + count
        if end > len(self.data):
            raise WireError("message ends too early")
        taken = self.data[self.position : end]
        self.position = end
        return taken

    def number(self, code: str) -> Value:
        layout = f"{self.order}{_FIXED[code]}"
        size = struct.calcsize(layout)
        self.pad(size)
        return struct.unpack(layout, self.take(size))[0]

    def text(self, length: int) -> str:
        try:
            return self.take(length + 1)[:-1].decode()
        except UnicodeDecodeError:
            raise WireError("text is not UTF-8") from None

    def get(self, kind: str, depth: int = 0) -> Value:
        code = kind[0]
        if depth > 64:
            raise WireError("nested too deeply")
        if code in _FIXED:
            return self.number(code)
        if code == "b":
            return bool(self.number("u"))
        if code in "so":
            return self.text(self.number("u"))
        if code == "g":
            return self.text(self.take(1)[0])
        if code == "v":
            signature = self.text(self.take(1)[0])
            if len(complete_types(signature)) != 1:
                raise WireError(f"variant of {signature!r}")
            return signature, self.get(signature, depth + 1)
        if code == "a":
            return self.array(kind[1:], depth)
        self.pad(8)
        return tuple(self.get(part, depth + 1) for part in complete_types(kind[1:-1]))

    def array(self, kind: str, depth: int) -> list[Any]:
        length = self.number("u")
        self.pad(_ALIGNMENT.get(kind[0], 4))
        end = self.position + length
        if end > len(self.data):
            raise WireError("array is longer than its message")
        items = []
        while self.position < end:
            items.append(self.get(kind, depth + 1))
        if self.position != end:
            raise WireError("array length does not match its elements")
        return items


def encode_values(signature: str, values: tuple[Any, ...]) -> bytes:
    """Marshalled as a message body. Raises WireError when values do not fit."""
    writer = _Writer()
    try:
        for kind, value in zip(complete_types(signature), values, strict=True):
            writer.put(kind, value)
    except (struct.error, TypeError, ValueError, AttributeError) as error:
        raise WireError(f"value does not fit {signature!r}: {error}") from None
    return bytes(writer.out)


def decode_values(signature: str, data: bytes, order: str = "<") -> tuple[Any, ...]:
    """The inverse of `encode_values`. Raises WireError."""
    reader = _Reader(data, order)
    values = tuple(reader.get(kind) for kind in complete_types(signature))
    if reader.position != len(data):
        raise WireError("bytes after the last value of the message")
    return values


def encode(message: DbusMessage, serial: int) -> bytes:
    """A whole message, little-endian."""
    fields = [
        (code, (kind, value))
        for code, kind, value in (
            (_PATH, "o", message.path),
            (_INTERFACE, "s", message.interface),
            (_MEMBER, "s", message.member),
            (_ERROR_NAME, "s", message.error_name),
            (_REPLY_SERIAL, "u", message.reply_serial),
            (_DESTINATION, "s", message.destination),
            (_SIGNATURE, "g", message.signature or None),
        )
        if value is not None
    ]
    body = encode_values(message.signature, message.body)
    header = encode_values("yyyyuua(yv)", (ord("l"), message.kind, 0, 1, len(body), serial, fields))
    return header + bytes(-len(header) % 8) + body


def decode(buffer: bytes | bytearray) -> tuple[DbusMessage, int] | None:
    """The first message of `buffer` and how many bytes it takes; None if it is incomplete.

    Raises WireError.
    """
    if len(buffer) < 16:
        return None
    order = {ord("l"): "<", ord("B"): ">"}.get(buffer[0])
    if order is None or buffer[3] != 1:
        raise WireError("not a D-Bus message")
    body_length, _serial, fields_length = struct.unpack_from(f"{order}III", buffer, 4)
    header_length = 16 + fields_length + (-fields_length % 8)
    if header_length + body_length > _MAXIMUM_MESSAGE:
        raise WireError("message is too long")
    if len(buffer) < header_length + body_length:
        return None
    (kind, fields) = _Reader(bytes(buffer[: 16 + fields_length]), order).get("(yyyyuua(yv))")[1::5]
    known = {code: value for code, (_, value) in fields}
    for code, value in known.items():
        if not isinstance(value, int if code in _NUMBERED else str):
            raise WireError(f"header field {code} is of the wrong type")
    signature = known.get(_SIGNATURE, "")
    body = decode_values(
        signature, bytes(buffer[header_length : header_length + body_length]), order
    )
    message = DbusMessage(
        kind=kind,
        path=known.get(_PATH),
        interface=known.get(_INTERFACE),
        member=known.get(_MEMBER),
        destination=known.get(_DESTINATION),
        error_name=known.get(_ERROR_NAME),
        reply_serial=known.get(_REPLY_SERIAL),
        signature=signature,
        body=body,
    )
    return message, header_length + body_length
