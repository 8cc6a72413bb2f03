"""cow.json: what copy-up has cost a container. Its file server writes it, `rootless cow` reads it.

The server keeps the figures in memory, and writes them to cow.json of the container's directory when
it ends and when it gets SIGUSR1. It is a signal and a file and not a socket because the server's loop
reads one descriptor only, and because the same document is there after a crash.
"""

from __future__ import annotations

import os

from rootless.containers.record import ContainerRecord
from rootless.containers.status import ALIVE
from rootless.containers.timestamps import now
from rootless.durable import write_atomically
from rootless.errors import HostSupportError, InvalidDocumentError, NotFoundError
from rootless.light_json import dumps, loads
from rootless.spec.storage_driver import StorageDriver
from unionfs.light_types import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path

    from unionfs.copy_up_stats import CopyUpStats

FORMAT = 1
NAME = "cow.json"


class CopiedFile(NamedTuple):
    """One file. Sizes are bytes; `copied` is less than `size` where the file system below shares data
    or the copy is lazy. `process` is the name that process `pid` of the container had then; both are
    empty where the kernel does not say who wrote."""

    path: str
    pid: int
    process: str
    size: int
    copied: int
    changed: int
    lazy: bool

    @property
    def wasted(self) -> int:
        """Bytes copied beyond those then changed."""
        return max(0, self.copied - self.changed)


class CopyUpReport(NamedTuple):
    """`finished`: the container's file system is unmounted, and the figures are final. The sums are
    bytes; they may include files that have no record."""

    written: str
    finished: bool
    files: int
    copied: int
    changed: int
    records: tuple[CopiedFile, ...]

    @property
    def wasted(self) -> int:
        return max(0, self.copied - self.changed)


# The server's side.


def write_report(directory: str, stats: CopyUpStats, *, finished: bool) -> None:
    """Replace cow.json. Raises OSError."""
    document = {
        "format": FORMAT,
        "written": now(),
        "finished": finished,
        "files": stats.files,
        "copied": stats.copied,
        "changed": stats.changed,
        "records": [
            each.document() | {"path": "/" + os.fsdecode(each.path).lstrip("/")} for each in stats
        ],
    }
    write_atomically(f"{directory}/{NAME}", dumps(document) + b"\n", 0o600)


# The reader's side.


def read_report(record: ContainerRecord, directory: Path) -> CopyUpReport:
    """The report of a container, up to date if it runs.

    Raises:
        HostSupportError: the container is on kernel overlayfs, which has no statistics.
        NotFoundError: its file server ended without writing a report.
        RootlessError: its file server does not answer.
    """
    if record.storage_driver == StorageDriver.OVERLAY.value:
        raise HostSupportError(
            f"container {record.name} is on kernel overlayfs, which has no statistics of copy-up",
            hint="run it with --storage-driver unionfs",
        )
    path = directory / NAME
    if record.status in ALIVE and record.pid and not record.server_pid:
        raise HostSupportError(
            f"the root of container {record.name} is read-only: nothing is copied up"
        )
    if record.status in ALIVE:
        from rootless.supervisor.file_servers.report_request import request_report

        request_report(record, path)
    try:
        document = loads(path.read_bytes())
        if document["format"] != FORMAT:
            raise InvalidDocumentError(f"{path} has a format that this version does not know")
        records = tuple(
            CopiedFile(
                str(each["path"]),
                int(each["pid"]),
                str(each.get("process", "")),
                int(each["size"]),
                int(each["copied"]),
                int(each["changed"]),
                bool(each["lazy"]),
            )
            for each in document["records"]
        )
        return CopyUpReport(
            str(document["written"]),
            bool(document["finished"]),
            int(document["files"]),
            int(document["copied"]),
            int(document["changed"]),
            records,
        )
    except FileNotFoundError:
        raise NotFoundError(
            f"there is no copy-up report of container {record.name}: its file server ended without "
            "writing one"
        ) from None
    except (RecursionError, ValueError, KeyError, TypeError) as error:
        raise InvalidDocumentError(f"{path} cannot be read: {error!r}") from error
