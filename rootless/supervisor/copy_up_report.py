"""What copying up has cost a container: written by its file server, read by `rootless cow`.

The server keeps the figures in memory, writes them to cow.json of the container's directory when it
ends, and when it gets SIGUSR1. A signal and a file rather than a socket: the server's loop reads one
descriptor and is to read no other, and what a reader finds after a crash is the same document.
"""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from rootless.containers.process_identity import is_alive
from rootless.containers.record import ContainerRecord
from rootless.containers.status import Status
from rootless.containers.timestamps import now
from rootless.durable import write_atomically
from rootless.errors import HostSupportError, InvalidDocumentError, NotFoundError, RootlessError
from rootless.spec.storage_driver import StorageDriver

if TYPE_CHECKING:
    from unionfs.copy_up_stats import CopyUpStats

FORMAT = 1
NAME = "cow.json"

_PATIENCE = 2.0
_STEP = 0.002


class CopyUp(NamedTuple):
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


class CopyLedger(NamedTuple):
    """`finished`: the container's file system is unmounted, and the figures are final. The sums may
    count files that have no record."""

    written: str
    finished: bool
    files: int
    copied: int
    changed: int
    records: tuple[CopyUp, ...]

    @property
    def wasted(self) -> int:
        return max(0, self.copied - self.changed)


# The server's side.


def write_ledger(directory: str, ledger: CopyUpStats, *, finished: bool) -> None:
    """Replace cow.json. Raises OSError."""
    document = {
        "format": FORMAT,
        "written": now(),
        "finished": finished,
        "files": ledger.files,
        "copied": ledger.copied,
        "changed": ledger.changed,
        "records": [
            each.document() | {"path": "/" + os.fsdecode(each.path).lstrip("/")} for each in ledger
        ],
    }
    write_atomically(f"{directory}/{NAME}", json.dumps(document).encode() + b"\n", 0o600)


# The reader's side.


def read_ledger(record: ContainerRecord, directory: Path) -> CopyLedger:
    """The figures of a container, of this moment if it runs.

    Raises:
        HostSupportError: kernel overlayfs copies up, and does not count.
        NotFoundError: the container ended without having written them.
        RootlessError: its file server gives no answer.
    """
    if record.storage_driver == StorageDriver.OVERLAY.value:
        raise HostSupportError(
            f"container {record.name} runs on kernel overlayfs, which does not count what it copies up",
            hint="run it with --storage-driver unionfs",
        )
    path = directory / NAME
    if record.status is Status.RUNNING:
        _ask(record, path)
    try:
        document = json.loads(path.read_bytes())
        if document["format"] != FORMAT:
            raise InvalidDocumentError(f"{path} has a format that this version does not know")
        records = tuple(
            CopyUp(
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
        return CopyLedger(
            str(document["written"]),
            bool(document["finished"]),
            int(document["files"]),
            int(document["copied"]),
            int(document["changed"]),
            records,
        )
    except FileNotFoundError:
        raise NotFoundError(
            f"there are no figures of container {record.name}: its file server has not written any"
        ) from None
    except (RecursionError, ValueError, KeyError, TypeError) as error:
        raise InvalidDocumentError(f"{path} cannot be read: {error!r}") from error


def _ask(record: ContainerRecord, path: Path) -> None:
    """Have the file server write, and wait until it has."""
    before = _identity(path)
    try:
        server = os.pidfd_open(record.server_pid)
    except OSError:
        return  # it has just ended, and what it wrote at the end is there
    try:
        if not is_alive(record.server_pid, record.server_pid_start):
            return
        signal.pidfd_send_signal(server, signal.SIGUSR1)
        deadline = time.monotonic() + _PATIENCE
        while _identity(path) == before:
            if time.monotonic() > deadline:
                raise RootlessError(
                    f"the file server of container {record.name} gave no answer in {_PATIENCE:g} seconds",
                    hint="it may be copying a large file; ask again",
                )
            if not is_alive(record.server_pid, record.server_pid_start):
                return
            time.sleep(_STEP)
    except ProcessLookupError:
        return
    finally:
        os.close(server)


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_ino, status.st_mtime_ns
