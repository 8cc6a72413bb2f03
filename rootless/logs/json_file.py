"""The log driver json-file: output as entries in Docker's format. Pure.

An entry is a JSON object on a line of its own (jsonlog, JSONLogs): `log` with the newline, `stream`,
`attrs` where there are any, `time`. A line of 16 KiB or more becomes several entries; those whose `log`
has no newline are partial. Strings are escaped as Docker escapes them: it writes a byte that is no
UTF-8 as U+FFFD, so an entry that has such bytes gets a field `raw`, all its bytes in base64, which
Docker's readers ignore.

Lines are not looked at one by one: a chunk of thousands is escaped and framed by bytes.replace.
"""

from __future__ import annotations

import codecs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

LONGEST = 16384
"""Bytes of a line without its newline from which on it is divided (Docker's copier, defaultBufSize)."""

_HEAD = b'{"log":"'
_SPECIAL = bytes(each for each in range(32) if each != ord("\n")) + b'\\"<>&'
_MARK = bytes(0 if each in _SPECIAL else each for each in range(256))
_SHORT = {b"\\": b"\\\\", b'"': b'\\"', b"\r": b"\\r"}
_ESCAPES = [(b"\\", b"\\\\")] + [
    (byte, _SHORT.get(byte, b"\\u%04x" % byte[0]))
    for byte in (bytes((each,)) for each in _SPECIAL)
    if byte != b"\\"
]
_ON_ERROR = "rootless-json-file"


def _replacement(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeDecodeError)
    return "\\ufffd" * (error.end - error.start), error.end


codecs.register_error(_ON_ERROR, _replacement)


class JsonEntries:
    """Makes entries of one stream. `attributes` is the JSON object `attrs`, or empty."""

    def __init__(self, stream: str, attributes: bytes = b"") -> None:
        attrs = b'"attrs":%b,' % attributes if attributes else b""
        self._middle = b'","stream":"%b",%b"time":"' % (stream.encode(), attrs)
        self._begun = b""

    def add(self, data: bytes, time: bytes) -> bytes:
        """The entries that end in `data`; the beginning of a line is kept for the next call.

        Args:
            time: In the form of RFC 3339.
        """
        data = self._begun + data if self._begun else data
        cuts, last = _cuts(data)
        self._begun = data[last:]
        if len(cuts) == 1:
            return self._frame(data[:last], time)
        return b"".join(self._frame(data[start:end], time) for start, end in cuts)

    def end(self, time: bytes) -> bytes:
        """The entry of a line that has no newline, at the end of the stream."""
        data, self._begun = self._begun, b""
        return self._frame(data, time) if data else b""

    def _frame(self, data: bytes, time: bytes) -> bytes:
        """The entries of whole lines, of which the last may be partial."""
        if not data.isascii():
            try:
                data.decode()
            except UnicodeDecodeError:
                return b"".join(self._frame_bytes(line, time) for line in _lines(data))
        tail = b'%b%b"}\n' % (self._middle, time)
        framed = _escape(data).replace(b"\n", b"\\n%b%b" % (tail, _HEAD))
        if data.endswith(b"\n"):
            return b"".join((_HEAD, memoryview(framed)[: -len(_HEAD)]))
        return b"".join((_HEAD, framed, tail))

    def _frame_bytes(self, line: bytes, time: bytes) -> bytes:
        """The entry of one line that may be no UTF-8."""
        text = _escape(line).replace(b"\n", b"\\n").decode(errors=_ON_ERROR).encode()
        raw = b""
        try:
            line.decode()
        except UnicodeDecodeError:
            from binascii import b2a_base64

            raw = b',"raw":"%b"' % b2a_base64(line, newline=False)
        return b'%b%b%b%b"%b}\n' % (_HEAD, text, self._middle, time, raw)


def _cuts(data: bytes) -> tuple[list[tuple[int, int]], int]:
    """The parts of data to be framed, each of whole lines or one that ends in a partial line; and
    where the line begins that is to be kept.
    """
    cuts: list[tuple[int, int]] = []
    start = position = 0
    while len(data) - position >= LONGEST:
        newline = data.rfind(b"\n", position, position + LONGEST)
        if newline >= 0:
            position = newline + 1
            continue
        position = _character_end(data, position + LONGEST)
        cuts.append((start, position))
        start = position
    last = data.rfind(b"\n", position) + 1 or position
    if last > start:
        cuts.append((start, last))
    return cuts, last


def _character_end(data: bytes, end: int) -> int:
    """`end`, or the start of the UTF-8 character that it would divide."""
    for start in range(end - 1, end - 4, -1):
        if data[start] & 0xC0 != 0x80:
            length = 1 + (data[start] >= 0xC0) + (data[start] >= 0xE0) + (data[start] >= 0xF0)
            return end if start + length <= end else start
    return end


def _lines(data: bytes) -> Iterator[bytes]:
    start = 0
    while start < len(data):
        end = data.find(b"\n", start) + 1 or len(data)
        yield data[start:end]
        start = end


def _escape(data: bytes) -> bytes:
    """Everything but newlines, and bytes that are no UTF-8."""
    if 0 in data.translate(_MARK):
        for byte, escape in _ESCAPES:
            data = data.replace(byte, escape)
    if not data.isascii():
        data = data.replace(b"\xe2\x80\xa8", b"\\u2028").replace(b"\xe2\x80\xa9", b"\\u2029")
    return data
