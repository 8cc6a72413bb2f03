"""The log driver journald: writes the output of a container to the host's journal. Loaded at the first output.

The fields of an entry are those of Docker (daemon/logger/journald), in addition to those that the journal
itself adds (systemd.journal-fields(7)). A line of more than 16 KiB becomes several entries, as in the other
drivers.
"""

from __future__ import annotations

import errno
import os
import time

from rootless.containers.timestamps import timestamp
from rootless.logs.journal import PRIORITIES, SOCKET, JournalConnection, field, field_name
from rootless.logs.json_file import LONGEST
from rootless.supervisor.engine_log import log
from rootless.supervisor.streams.container_log import STREAMS, rendered_tag

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from rootless.containers.launch_description import OutputLog
    from rootless.containers.record import ContainerRecord


class JournalLog:
    """Writes both outputs. The first of errors in a row is written to the engine's log, and the entries are
    lost: the container goes on.
    """

    def __init__(self, settings: OutputLog, record: ContainerRecord, path: str = SOCKET) -> None:
        self._path = path
        self._fields = _fields_of(settings, record)
        self._begun = dict.fromkeys(STREAMS, b"")
        self._parts: dict[int, _Parts] = {}
        self._connection: JournalConnection | None = None
        self._failed = False

    def add(self, number: int, data: bytes) -> None:
        """Log what stream `number` has given; the beginning of a line is kept for the next call."""
        *lines, rest = (self._begun[number] + data).split(b"\n")
        for line in lines:
            self._add_line(number, line, ended=True)
        while len(rest) >= LONGEST:
            self._add_part(number, rest[:LONGEST], last=False)
            rest = rest[LONGEST:]
        self._begun[number] = rest

    def close(self) -> None:
        """Log lines that have no end, wait for the journal and close the connection; the next `add` opens it
        again."""
        for number, rest in self._begun.items():
            self._begun[number] = b""
            if rest or number in self._parts:
                self._add_line(number, rest, ended=True)
        if self._connection is not None:
            self._connection.wait_until_read()
            self._disconnect()

    def _add_line(self, number: int, line: bytes, *, ended: bool) -> None:
        while len(line) > LONGEST:
            self._add_part(number, line[:LONGEST], last=False)
            line = line[LONGEST:]
        if number in self._parts:
            self._add_part(number, line, last=ended)
        else:
            self._send(number, line, ())

    def _add_part(self, number: int, text: bytes, *, last: bool) -> None:
        """One part of a line that is divided. Docker marks all but the last as partial."""
        parts = self._parts.setdefault(number, _Parts())
        self._send(number, text, parts.fields(last=last))
        if last:
            del self._parts[number]

    def _send(self, number: int, text: bytes, more: Iterable[bytes]) -> None:
        moment = timestamp(time.time_ns()).encode()
        fields = (
            field(b"MESSAGE", text),
            field(b"PRIORITY", PRIORITIES[number]),
            field(b"SYSLOG_TIMESTAMP", moment),
            *more,
            self._fields,
        )
        try:
            if self._connection is None:
                self._connection = JournalConnection(self._path)
            # A journal that has let an entry wait for too long is not waited for again before it reads.
            self._connection.send(b"".join(fields), wait=not self._failed)
        except OSError as error:
            self._fail(error)
        else:
            self._failed = False

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _fail(self, error: OSError) -> None:
        if error.errno != errno.EAGAIN:
            self._disconnect()  # a journal that was started again has another socket
        if not self._failed:
            self._failed = True
            log(f"writing to the journal: {error.strerror}")


class _Parts:
    """The parts of one line, as Docker numbers them."""

    def __init__(self) -> None:
        self._id = os.urandom(32).hex().encode()
        self._count = 0

    def fields(self, *, last: bool) -> list[bytes]:
        """Those of the next part."""
        self._count += 1
        fields = [
            field(b"CONTAINER_PARTIAL_ID", self._id),
            field(b"CONTAINER_PARTIAL_ORDINAL", b"%d" % self._count),
            field(b"CONTAINER_PARTIAL_LAST", b"true" if last else b"false"),
        ]
        return fields if last else [*fields, field(b"CONTAINER_PARTIAL_MESSAGE", b"true")]


def _fields_of(settings: OutputLog, record: ContainerRecord) -> bytes:
    """What all entries of the container have."""
    tag = rendered_tag(settings.tag, record) if settings.tag else record.id[:12]
    values = {
        "CONTAINER_ID": record.id[:12],
        "CONTAINER_ID_FULL": record.id,
        "CONTAINER_NAME": record.name,
        "CONTAINER_TAG": tag,
        "IMAGE_NAME": record.image,
        "SYSLOG_IDENTIFIER": tag,
    }
    for name, value in settings.attributes:
        values.setdefault(field_name(name), value)
    return b"".join(
        field(name.encode(), value.encode(errors="surrogateescape"))
        for name, value in values.items()
        if name
    )
