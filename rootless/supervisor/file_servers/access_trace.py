"""trace.json: the trace of a container. Its file server writes it, `rootless trace` reads it.

The server keeps the records in memory, and writes them to trace.json of the container's directory when it ends and
when it gets SIGUSR1.
"""

from __future__ import annotations

from rootless.containers.launch_description import LaunchDescription
from rootless.containers.record import ContainerRecord
from rootless.containers.status import ALIVE
from rootless.durable import write_atomically
from rootless.errors import InvalidDocumentError, NotFoundError, UsageError
from rootless.spec.options import ContainerOptions
from rootless.supervisor.engine_log import log
from rootless.supervisor.file_servers.thread_identities import ThreadIdentities
from rootless.tracing.document import FORMAT, encode_trace, load_document
from unionfs.session.tracer import Tracer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

    from unionfs.union import Union

NAME = "trace.json"

_TIMEOUT = 20.0
"""Seconds: a trace may have a million records."""


class AccessTrace:
    """The server's side: the trace of one run. `init` is the PID on the host of the container's first process,
    `complete`: this is the run's first server."""

    def __init__(
        self, description: LaunchDescription, union: Union, init: int, *, complete: bool
    ) -> None:
        assert description.access_trace is not None
        self._file = description.access_trace.file
        self._directory = description.directory
        self._container = description.record.id
        self._is_removed = description.record.auto_remove
        self._is_complete = complete
        self._is_finished = False
        self.tracer = Tracer(union.path, union.place, ThreadIdentities(init))

    def write(self, *, finished: bool) -> None:
        """Replace trace.json, and at the end the file that was asked for. What cannot be written is logged. A signal may
        ask for it once more after the end.
        """
        self._is_finished |= finished
        data = encode_trace(
            self._container,
            self.tracer.records(),
            complete=self._is_complete,
            finished=self._is_finished,
        )
        places = [] if finished and self._is_removed else [f"{self._directory}/{NAME}"]
        if finished and self._file:
            places.append(self._file)
        for place in places:
            try:
                write_atomically(place, data, 0o600, durable=False)
            except OSError as error:
                log(f"{place}: {error.strerror}")


# The reader's side.


def read_document(
    record: ContainerRecord, options: ContainerOptions, directory: Path
) -> dict[str, Any]:
    """The document of a container's trace, up to date if it runs.

    Raises:
        UsageError: the container is not traced.
        NotFoundError: it has not been started, or its file server ended without writing a trace.
        RootlessError: its file server does not answer, or the document cannot be read.
    """
    from rootless.supervisor.file_servers.report_request import request_report

    if options.trace is None:
        raise UsageError(
            f"container {record.name} is not traced", hint="run it with --trace, or try --trace"
        )
    path = directory / NAME
    if record.status in ALIVE and record.server_pid:
        request_report(record, path, _TIMEOUT)
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise NotFoundError(
            f"there is no trace of container {record.name}: it has not been started, or its file server "
            "ended without writing one"
        ) from None
    except OSError as error:
        raise InvalidDocumentError(f"{path}: {error.strerror}") from error
    return {"format": FORMAT, **load_document(data, str(path))}
