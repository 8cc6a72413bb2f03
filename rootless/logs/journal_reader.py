"""Reads the output of a container from the host's journal, by journalctl(1)."""

from __future__ import annotations

import os
import select
import shutil
import struct
import subprocess
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from rootless.errors import HostSupportError, RootlessError
from rootless.logs.entries import with_prefix
from rootless.logs.journal import PRIORITIES
from rootless.logs.reader import details, moment_key, time_key

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rootless.logs.reader import LogRequest

_BLOCK = 1 << 16
_OWN = (b"CONTAINER_", b"SYSLOG_", b"CODE_", b"_")
_OWN_NAMES = {b"MESSAGE", b"MESSAGE_ID", b"PRIORITY", b"ERRNO", b"IMAGE_NAME"}
"""Fields that the driver or the journal made; the others are labels and variables of the container."""


class JournalEntry(NamedTuple):
    """One entry: the number of its stream, 1 or 2; its text, with a newline unless it is partial; its time in
    the form of RFC 3339; `attributes` by the names that the journal has for them; `cursor` is its place.
    """

    number: int
    text: bytes
    time: bytes
    attributes: dict[str, str]
    cursor: bytes


def read_journal(
    container_id: str, request: LogRequest, monitor: int | None
) -> Iterator[tuple[int, bytes]]:
    """Pieces of output with the number of their stream, 1 or 2.

    Args:
        container_id: All of it.
        monitor: A pidfd of the container's monitor while it runs: followed is until that ends.

    Raises HostSupportError without journalctl, and RootlessError with its message if it fails.
    """
    program = shutil.which("journalctl")
    if program is None:
        raise HostSupportError(
            "journalctl is not on PATH", hint="it reads what the log driver journald has written"
        )
    base = [program, "--quiet", "--all", "--output=export", f"CONTAINER_ID_FULL={container_id}"]
    # The journal's own time of an entry is later than the container's: --since gives some entries too many.
    if request.since is not None:
        base.append(f"--since=@{request.since // 10**9}")
    if request.until is not None:
        yield from _until(base, request)
        return
    tail = "all" if request.tail is None else str(request.tail)
    words = [*base, f"--lines={tail}"]
    since = moment_key(request.since) or b""
    if request.follow and monitor is not None:
        last = b""
        for entry in _entries([*words, "--follow"], monitor):
            last = entry.cursor
            if time_key(entry.time) >= since:
                yield entry.number, _shown(entry, request)
        # What the container wrote just before its end.
        words = [*base, f"--after-cursor={last.decode()}"] if last else words
    for entry in _entries(words, None):
        if time_key(entry.time) >= since:
            yield entry.number, _shown(entry, request)


def _until(words: list[str], request: LogRequest) -> Iterator[tuple[int, bytes]]:
    """The entries between two times, of which only the last are wanted if there is a `tail`."""
    since, until = moment_key(request.since) or b"", moment_key(request.until) or b""
    entries = (entry for entry in _entries(words, None) if since <= time_key(entry.time) <= until)
    for entry in entries if request.tail is None else deque(entries, request.tail):
        yield entry.number, _shown(entry, request)


def _entries(words: list[str], monitor: int | None) -> Iterator[JournalEntry]:
    """What journalctl prints, until it or the monitor ends."""
    process = subprocess.Popen(
        words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stderr is not None
    output = process.stdout.fileno()
    poll = select.poll()
    poll.register(output, select.POLLIN)
    if monitor is not None:
        poll.register(monitor, select.POLLIN)
    rest = b""
    try:
        while True:
            ready = dict(poll.poll())
            if output not in ready:
                return
            block = os.read(output, _BLOCK)
            if not block:
                break
            entries, rest = parse_export(rest + block)
            yield from entries
        message = process.stderr.read().decode(errors="replace").strip()
        if process.wait() and message:
            raise RootlessError(f"journalctl: {message.splitlines()[0]}")
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
        process.stderr.close()


def parse_export(data: bytes) -> tuple[list[JournalEntry], bytes]:
    """The whole entries of data in the journal's export format, and the bytes of one that is not whole
    (systemd: "Journal Export Formats").
    """
    entries: list[JournalEntry] = []
    begin = 0
    while (found := _fields(data, begin)) is not None:
        fields, begin = found
        if b"MESSAGE" in fields:
            entries.append(_entry(fields))
    return entries, data[begin:]


def _fields(data: bytes, position: int) -> tuple[dict[bytes, bytes], int] | None:
    """The fields of the entry at `position`, and where the next one begins; None if it is not whole."""
    fields: dict[bytes, bytes] = {}
    while True:
        end = data.find(b"\n", position)
        if end < 0:
            return None
        if end == position:
            return fields, end + 1
        name, is_text, value = data[position:end].partition(b"=")
        position = end + 1
        if not is_text:
            if len(data) < position + 8:
                return None
            size = struct.unpack_from("<Q", data, position)[0]
            position += 8
            value = data[position : position + size]
            position += size + 1
            if len(data) < position:
                return None
        fields[name] = value


def _entry(fields: dict[bytes, bytes]) -> JournalEntry:
    partial = fields.get(b"CONTAINER_PARTIAL_MESSAGE") == b"true"
    attributes = {
        name.decode(): value.decode(errors="replace")
        for name, value in fields.items()
        if name not in _OWN_NAMES and not name.startswith(_OWN)
    }
    return JournalEntry(
        2 if fields.get(b"PRIORITY") == PRIORITIES[2] else 1,
        fields[b"MESSAGE"] + (b"" if partial else b"\n"),
        fields.get(b"SYSLOG_TIMESTAMP", b""),
        attributes,
        fields.get(b"__CURSOR", b""),
    )


def _shown(entry: JournalEntry, request: LogRequest) -> bytes:
    prefix = entry.time + b" " if request.timestamps else b""
    if request.details:
        prefix += details(entry.attributes)
    return with_prefix(entry.text, prefix)
