"""Reads the log of a container: across rotated files, from the end, between two times, and on while it
is written."""

from __future__ import annotations

import os
import select
from binascii import a2b_base64
from collections import deque
from contextlib import ExitStack
from gzip import GzipFile
from io import BufferedReader
from typing import TYPE_CHECKING, NamedTuple

from rootless.light_json import loads
from rootless.spec.options import LogDriver

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import TypeAlias

    _File: TypeAlias = BufferedReader | GzipFile

_BLOCK = 1 << 20
_INTERVAL = 100
"""Milliseconds between two looks at a log that is followed."""
_JSON_HEAD, _JSON_STREAM, _JSON_TIME = b'{"log":"', b'","stream":"', b'"time":"'


class LogRequest(NamedTuple):
    """Which entries, and how. Times are in nanoseconds since 1970; `tail` counts entries from the end,
    None for all.
    """

    follow: bool = False
    since: int | None = None
    until: int | None = None
    tail: int | None = None
    timestamps: bool = False
    details: bool = False


class _Entry(NamedTuple):
    """`number` is that of the stream, 1 or 2; `time` in the form of RFC 3339, in UTC."""

    number: int
    text: bytes
    time: bytes


def read_log(
    path: str, driver: LogDriver, request: LogRequest, monitor: int | None
) -> Iterator[tuple[int, bytes]]:
    """Pieces of output with the number of their stream, 1 or 2.

    Args:
        path: The current file of the log; there may be none yet.
        monitor: A pidfd of the container's monitor while it runs: followed is until that ends.
    """
    parse = _parse_k8s if driver is LogDriver.K8S_FILE else _parse_json
    plain = request == LogRequest(follow=request.follow, tail=request.tail)
    since, until = _key_of(request.since), _key_of(request.until)
    for lines in _blocks(path, request, monitor):
        number, pieces = 1, list[bytes]()
        for line in lines:
            entry = parse(line)
            if entry is None:
                continue
            text = entry.text
            if not plain:
                key = _key(entry.time)
                if since is not None and key < since:
                    continue
                if until is not None and key > until:
                    yield number, b"".join(pieces)
                    return
                text = _prefix(entry, line, request, driver) + text
            if entry.number != number:
                yield number, b"".join(pieces)
                number, pieces = entry.number, []
            pieces.append(text)
        yield number, b"".join(pieces)


def _prefix(entry: _Entry, line: bytes, request: LogRequest, driver: LogDriver) -> bytes:
    prefix = b"%bZ " % _key(entry.time) if request.timestamps else b""
    if request.details:
        attributes = loads(line).get("attrs", {}) if driver is LogDriver.JSON_FILE else {}
        pairs = ",".join(f"{_quoted(key)}={_quoted(attributes[key])}" for key in sorted(attributes))
        prefix += pairs.encode() + b" "
    return prefix


def _quoted(text: str) -> str:
    from urllib.parse import quote_plus

    return quote_plus(text)


def _parse_json(line: bytes) -> _Entry | None:
    """An entry of json-file; None for a line that is none."""
    end = line.rfind(_JSON_STREAM)
    if not line.startswith(_JSON_HEAD) or end < 0:
        return None
    text = line[len(_JSON_HEAD) : end]
    rest = line[end + len(_JSON_STREAM) :]
    begin = rest.rfind(_JSON_TIME) + len(_JSON_TIME)
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
    return _Entry(2 if rest.startswith(b"stderr") else 1, text, time)


def _parse_k8s(line: bytes) -> _Entry | None:
    """A line of k8s-file; None for another."""
    time, _, rest = line.partition(b" ")
    stream, _, rest = rest.partition(b" ")
    tag, _, text = rest.partition(b" ")
    if tag not in {b"F", b"P"}:
        return None
    return _Entry(
        2 if stream == b"stderr" else 1,
        text + b"\n" if tag == b"F" else text,
        time.removesuffix(b"+00:00") + b"Z",
    )


def _key(time: bytes) -> bytes:
    """A time of an entry with all nine digits of its fraction and without its zone: in order as bytes
    are."""
    fraction = time[20:].rstrip(b"Z")
    return b"%b.%b" % (time[:19], fraction.ljust(9, b"0"))


def _key_of(moment: int | None) -> bytes | None:
    if moment is None:
        return None
    from rootless.containers.timestamps import timestamp

    return _key(timestamp(moment).encode())


def _blocks(path: str, request: LogRequest, monitor: int | None) -> Iterator[list[bytes]]:
    """Lines without their newlines, in lists, oldest first."""
    with ExitStack() as opened:
        files = [_open(name, opened) for name in _names(path)]
        current = files[-1] if files and _identity(path) == _identity_of(files[-1]) else None
        if request.tail is None:
            for file in files:
                yield from _lines(file)
        elif request.tail > 0:
            yield from _tail(files, request.tail)
        elif current is not None:
            current.seek(0, os.SEEK_END)
        if request.follow and monitor is not None:
            yield from _follow(path, current, monitor, opened)


def _names(path: str) -> list[str]:
    """The files of a log, the oldest first. While one is compressed, its original is used."""
    names = [path] if os.path.exists(path) else []
    number = 1
    while True:
        for name in (f"{path}.{number}", f"{path}.{number}.gz"):
            if os.path.exists(name):
                names.append(name)
                break
        else:
            return names[::-1]
        number += 1


def _open(name: str, opened: ExitStack) -> _File:
    file: _File = GzipFile(name) if name.endswith(".gz") else open(name, "rb")  # noqa: SIM115
    opened.callback(file.close)
    return file


def _identity(name: str) -> tuple[int, int] | None:
    try:
        status = os.stat(name)
    except FileNotFoundError:
        return None
    return status.st_dev, status.st_ino


def _identity_of(file: _File) -> tuple[int, int]:
    status = os.fstat(file.fileno())
    return status.st_dev, status.st_ino


def _lines(file: _File) -> Iterator[list[bytes]]:
    """From the position of the file on; an unfinished line is left to be read again."""
    rest = b""
    while block := file.read(_BLOCK):
        lines = (rest + block).split(b"\n")
        rest = lines.pop()
        yield lines
    if rest:
        file.seek(-len(rest), os.SEEK_CUR)


def _tail(files: Iterable[_File], count: int) -> Iterator[list[bytes]]:
    """The last `count` lines of all files; the last file is left at its end."""
    kept: deque[list[bytes]] = deque()
    for file in reversed(list(files)):
        lines = _last_lines(file, count)
        kept.appendleft(lines)
        count -= len(lines)
        if not count:
            break
    yield from kept


def _last_lines(file: _File, count: int) -> list[bytes]:
    if isinstance(file, GzipFile):
        return [line for lines in _lines(file) for line in lines][-count:]
    end = file.seek(0, os.SEEK_END)
    position, found = end, 0
    while position and found <= count:
        size = min(_BLOCK, position)
        position -= size
        file.seek(position)
        found += file.read(size).count(b"\n")
    file.seek(position)
    return [line for lines in _lines(file) for line in lines][-count:]


def _follow(
    path: str, file: _File | None, monitor: int, opened: ExitStack
) -> Iterator[list[bytes]]:
    """What is written until the monitor ends. `file` is the current one, if there is one yet."""
    poll = select.poll()
    poll.register(monitor, select.POLLIN)
    ended = False
    while True:
        if file is not None:
            if os.fstat(file.fileno()).st_size < file.tell():
                file.seek(0)  # emptied: a log of one file that had reached its size
            yield from _lines(file)
        for name in _newer(path, file):
            if file is not None:
                file.close()
            file = _open(name, opened)
            yield from _lines(file)
        if ended:
            return
        ended = bool(poll.poll(_INTERVAL))


def _newer(path: str, file: _File | None) -> list[str]:
    """The files that have been begun since `file` was the current one, oldest first."""
    names = _names(path)
    if file is None:
        return names
    known = [index for index, name in enumerate(names) if _identity(name) == _identity_of(file)]
    return names[known[0] + 1 if known else -1 :]
