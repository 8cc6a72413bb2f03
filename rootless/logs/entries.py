"""Turns the entries of a container's log back into output. Pure.

A busy container's log has long runs of entries that differ in their text alone, because the monitor writes
what it has read at once with one time. Such a run is decoded as one, with functions in C for each line.
"""

from __future__ import annotations

from binascii import a2b_base64
from itertools import islice, takewhile
from operator import methodcaller
from typing import TYPE_CHECKING, NamedTuple, Protocol

from rootless.light_json import loads

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_HEAD, _STREAM, _TIME = b'{"log":"', b'","stream":"', b'"time":"'


class Entry(NamedTuple):
    """One entry, or a run of them. `number` is that of the stream, 1 or 2; `text` ends each but a partial
    one with a newline; `time` is in the form of RFC 3339, in UTC; `line` is the first in the log.
    """

    number: int
    text: bytes
    time: bytes
    line: bytes


class Frame(NamedTuple):
    """What is around the text of each entry of a run, on its line. `belongs` finds out whether a line
    has the part that differs between runs.
    """

    head: bytes
    tail: bytes
    belongs: Callable[[bytes], bool]


class Format(Protocol):
    """How a log driver writes its entries."""

    def parse(self, line: bytes) -> Entry | None:
        """An entry of one line, without its newline; None if it is none."""

    def frame(self, line: bytes) -> Frame | None:
        """The frame of a run that begins with this line; None if it cannot begin one."""

    def decoded(self, lines: bytes) -> bytes | None:
        """Whole lines of output as the log has them; None if there are none, or they are not well-formed."""


class _Json:
    """json-file."""

    def parse(self, line: bytes) -> Entry | None:
        end = line.rfind(_STREAM)
        if not line.startswith(_HEAD) or end < 0:
            return None
        text = line[len(_HEAD) : end]
        rest = line[end + len(_STREAM) :]
        begin = rest.rfind(_TIME) + len(_TIME)
        time = rest[begin : rest.find(b'"', begin)]
        escape = text.find(b"\\")
        if escape >= 0:
            if escape == len(text) - 2 and text.endswith(b"\\n"):
                text = text[:-2] + b"\n"
            else:
                try:
                    document = loads(line)
                    raw = document.get("raw")
                    text = document["log"].encode() if raw is None else a2b_base64(raw)
                except (ValueError, LookupError, AttributeError):
                    return None
        return Entry(2 if rest.startswith(b"stderr") else 1, text, time, line)

    def frame(self, line: bytes) -> Frame | None:
        end = line.rfind(_STREAM) - len(b"\\n")
        # A field `raw` is of one entry alone.
        if end < len(_HEAD) or not line.startswith(b"\\n", end) or b'","raw":"' in line[end:]:
            return None
        tail = line[end:]
        return Frame(_HEAD, tail, methodcaller("endswith", tail))

    def decoded(self, lines: bytes) -> bytes | None:
        if b"\\" not in lines:
            return lines or None
        try:
            text: str = loads(b'"%b"' % lines.replace(b"\n", b"\\n"))
            return text.encode()
        except ValueError:
            return None


class _K8s:
    """k8s-file."""

    def parse(self, line: bytes) -> Entry | None:
        time, _, rest = line.partition(b" ")
        stream, _, rest = rest.partition(b" ")
        tag, _, text = rest.partition(b" ")
        if tag not in {b"F", b"P"}:
            return None
        return Entry(
            2 if stream == b"stderr" else 1,
            text + b"\n" if tag == b"F" else text,
            time.removesuffix(b"+00:00") + b"Z",
            line,
        )

    def frame(self, line: bytes) -> Frame | None:
        fields = line.split(b" ", 3)
        if len(fields) < 4 or fields[2] != b"F":
            return None
        head = b"%b %b F " % (fields[0], fields[1])
        return Frame(head, b"", methodcaller("startswith", head))

    def decoded(self, lines: bytes) -> bytes | None:
        return lines or None


JsonFormat: Format = _Json()
K8sFormat: Format = _K8s()


def runs(block: bytes, entries: Format) -> Iterator[Entry]:
    """The entries of whole lines, those that differ in their text alone as one."""
    lines = block.split(b"\n")
    lines.pop()
    start = 0
    while start < len(lines):
        line = lines[start]
        end = start + 1
        entry, frame = entries.parse(line), entries.frame(line)
        if entry is not None:
            if frame is not None and end < len(lines) and frame.belongs(lines[end]):
                run = list(takewhile(frame.belongs, islice(lines, start, None)))
                text = entries.decoded(_texts(run, frame))
                if text is not None:
                    entry, end = entry._replace(text=text), start + len(run)
            yield entry
        start = end


def _texts(run: list[bytes], frame: Frame) -> bytes:
    """The texts of the lines, as they are in the log. Empty if a line has another head."""
    size, tail = len(frame.head), -len(frame.tail) or None
    if {line[:size] for line in run} != {frame.head}:
        return b""
    texts = [line[size:tail] for line in run]
    texts.append(b"")
    return b"\n".join(texts)


def with_prefix(text: bytes, prefix: bytes) -> bytes:
    """The text of an entry or of a run with the prefix before each entry."""
    if not prefix:
        return text
    return prefix + text[:-1].replace(b"\n", b"\n" + prefix) + text[-1:]
