"""Reads the log of a container: across rotated files, from the end, between two times, and on while it
is written."""

from __future__ import annotations

import os
import select
from contextlib import ExitStack
from gzip import GzipFile
from io import BufferedReader
from typing import TYPE_CHECKING, NamedTuple

from rootless.light_json import loads
from rootless.logs.entries import Entry, JsonFormat, K8sFormat, runs, with_prefix
from rootless.spec.options import LogDriver

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from typing import Protocol, TypeAlias

    class Idle(Protocol):
        """Called when nothing has been written to a log for `seconds`. Its file is read up to `offset`; there may be none yet."""

        @property
        def seconds(self) -> float: ...

        def __call__(self, file: int | None, offset: int) -> None: ...

    _File: TypeAlias = BufferedReader | GzipFile

_BLOCK = 1 << 17
_INTERVAL = 100
"""Milliseconds between two looks at a log that is followed."""


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


def read_log(
    path: str,
    driver: LogDriver,
    request: LogRequest,
    monitor: int | None,
    idle: Idle | None = None,
) -> Iterator[tuple[int, bytes]]:
    """Pieces of output with the number of their stream, 1 or 2.

    Args:
        path: The current file of the log; there may be none yet.
        monitor: A pidfd of the container's monitor while it runs: followed is until that ends.
    """
    return _pieces(_blocks(path, request, monitor, idle), driver, request)


def follow_log(
    path: str,
    driver: LogDriver,
    request: LogRequest,
    monitor: int,
    *,
    idle: Idle,
    file: int | None,
) -> Iterator[tuple[int, bytes]]:
    """As `read_log`, from the position of a file of the log on, an open descriptor, or from the beginning of the next
    file."""
    with ExitStack() as opened:
        current = None if file is None else opened.enter_context(open(file, "rb"))
        blocks = _follow(path, current, monitor, opened, idle)
        yield from _pieces(blocks, driver, request)


def _pieces(
    blocks: Iterator[bytes], driver: LogDriver, request: LogRequest
) -> Iterator[tuple[int, bytes]]:
    entries = K8sFormat if driver is LogDriver.K8S_FILE else JsonFormat
    plain = request == LogRequest(follow=request.follow, tail=request.tail)
    since, until = moment_key(request.since), moment_key(request.until)
    for block in blocks:
        number, texts = 1, list[bytes]()
        for entry in runs(block, entries):
            text = entry.text
            if not plain:
                key = time_key(entry.time)
                if since is not None and key < since:
                    continue
                if until is not None and key > until:
                    yield number, b"".join(texts)
                    return
                text = with_prefix(text, _prefix(entry, request, driver))
            if entry.number != number:
                yield number, b"".join(texts)
                number, texts = entry.number, []
            texts.append(text)
        yield number, b"".join(texts)


def _prefix(entry: Entry, request: LogRequest, driver: LogDriver) -> bytes:
    prefix = b"%bZ " % time_key(entry.time) if request.timestamps else b""
    if request.details:
        attributes = loads(entry.line).get("attrs", {}) if driver is LogDriver.JSON_FILE else {}
        prefix += details(attributes)
    return prefix


def details(attributes: Mapping[str, str]) -> bytes:
    """What `--details` shows before an entry."""
    pairs = ",".join(f"{_quoted(key)}={_quoted(attributes[key])}" for key in sorted(attributes))
    return pairs.encode() + b" "


def _quoted(text: str) -> str:
    from urllib.parse import quote_plus

    return quote_plus(text)


def time_key(time: bytes) -> bytes:
    """A time of an entry with all nine digits of its fraction and without its zone: in order as bytes
    are."""
    fraction = time[20:].rstrip(b"Z")
    return b"%b.%b" % (time[:19], fraction.ljust(9, b"0"))


def moment_key(moment: int | None) -> bytes | None:
    """The same of nanoseconds since 1970."""
    if moment is None:
        return None
    from rootless.containers.timestamps import timestamp

    return time_key(timestamp(moment).encode())


def _blocks(
    path: str, request: LogRequest, monitor: int | None, idle: Idle | None
) -> Iterator[bytes]:
    """Whole lines, about 128 KiB at once, oldest first."""
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
            yield from _follow(path, current, monitor, opened, idle)


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


def _lines(file: _File) -> Iterator[bytes]:
    """From the position of the file on; an unfinished line is left to be read again."""
    rest = b""
    while block := file.read(_BLOCK):
        block = rest + block
        end = block.rfind(b"\n") + 1
        rest = block[end:]
        if end:
            yield block[:end]
    if rest:
        file.seek(-len(rest), os.SEEK_CUR)


def _tail(files: Iterable[_File], count: int) -> Iterator[bytes]:
    """The last `count` lines of all files; the last file is left at its end."""
    chosen: list[_File] = []
    for file in reversed(list(files)):
        chosen.append(file)
        count -= _seek_last(file, count)
        if not count:
            break
    for file in reversed(chosen):
        yield from _lines(file)


def _seek_last(file: _File, count: int) -> int:
    """Go to where the last `count` lines begin; how many there are."""
    if isinstance(file, GzipFile):
        total = sum(block.count(b"\n") for block in _lines(file))
        file.seek(0)
        for _ in range(total - count):
            file.readline()
        return min(count, total)
    position = file.seek(0, os.SEEK_END)
    # The newline before the first of them is the last to be found.
    missing = count + 1
    while position:
        size = min(_BLOCK, position)
        position -= size
        file.seek(position)
        block = file.read(size)
        found = block.count(b"\n")
        if found < missing:
            missing -= found
            continue
        end = size
        for _ in range(missing):
            end = block.rfind(b"\n", 0, end)
        file.seek(position + end + 1)
        return count
    file.seek(0)
    return count + 1 - missing


def _follow(
    path: str, file: _File | None, monitor: int, opened: ExitStack, idle: Idle | None
) -> Iterator[bytes]:
    """What is written until the monitor ends. `file` is the current one, if there is one yet."""
    poll = select.poll()
    poll.register(monitor, select.POLLIN)
    ended = False
    quiet = 0
    while True:
        if file is not None:
            if os.fstat(file.fileno()).st_size < file.tell():
                file.seek(0)  # emptied: a log of one file that had reached its size
            for block in _lines(file):
                quiet = 0
                yield block
        for name in _newer(path, file):
            quiet = 0
            if file is not None:
                file.close()
            file = _open(name, opened)
            yield from _lines(file)
        if ended:
            return
        ended = bool(poll.poll(_INTERVAL))
        quiet += _INTERVAL
        if idle is not None and quiet >= 1000 * idle.seconds and not isinstance(file, GzipFile):
            idle(None if file is None else file.fileno(), 0 if file is None else file.tell())
            quiet = 0


def _newer(path: str, file: _File | None) -> list[str]:
    """The files that have been begun since `file` was the current one, oldest first."""
    names = _names(path)
    if file is None:
        return names
    known = [index for index, name in enumerate(names) if _identity(name) == _identity_of(file)]
    return names[known[0] + 1 if known else -1 :]
