"""What is done to the directories of a container's writable layer, each in an order that a kill at any instant leaves
consistent: the record names it before it is begun, and the next that opens the record completes it, or gives it up.

Freezing: the upper is renamed to its place among the frozen layers. Before that nothing has happened; after it, a new upper
is made where there is none. Rolling back: the upper and the work directory are removed and made anew; what they held is lost
from the moment that the record names it.
"""

from __future__ import annotations

import os

from rootless.durable import locked, remove_tree, write_atomically
from rootless.light_stdlib import read_file
from rootless.snapshots import SNAPSHOTS
from rootless.snapshots.layers import layer_path
from rootless.snapshots.record import (
    FREEZE,
    LOCK,
    ROLL_BACK,
    Pending,
    Snapshot,
    SnapshotRecord,
    decode,
    encode,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection

UPPER, WORK = "upper", "work"


def lock_record(directory: str) -> locked:
    """The lock of the record of the container with this directory."""
    return locked(f"{directory}/{LOCK}")


def read_record(directory: str) -> SnapshotRecord:
    """The record as it is; an empty one if there is none. Raises OSError, InvalidDocumentError."""
    path = f"{directory}/{SNAPSHOTS}"
    try:
        return decode(read_file(path), path)
    except FileNotFoundError:
        return SnapshotRecord()


def write_record(directory: str, record: SnapshotRecord) -> None:
    """Replace the record. It is not synced: a loss of power takes it back with the names that it speaks of."""
    write_atomically(f"{directory}/{SNAPSHOTS}", encode(record), 0o600, durable=False)


def settle(directory: str, store: str) -> SnapshotRecord:
    """Complete what was begun; returns the record. The caller has the lock. Raises OSError, InvalidDocumentError."""
    record = read_record(directory)
    pending = record.pending
    if pending is None:
        return record
    place = layer_path(store, pending.snapshot.layer)
    if pending.what == ROLL_BACK:
        _roll_back(directory, f"{place}/{WORK}")
        record = record._replace(head=pending.snapshot.layer, is_fresh=True, pending=None)
    elif os.path.isdir(f"{place}/{UPPER}"):
        make_upper(directory)
        record = record.frozen(pending.snapshot, is_fresh=True)
    else:
        return record  # about to be begun, or given up by the command that asked for it
    write_record(directory, record)
    return record


def begin(directory: str, store: str, snapshot: Snapshot) -> None:
    """Write down that the writable layer is to be frozen: a server then does it. Raises OSError, InvalidDocumentError."""
    with lock_record(directory):
        record = settle(directory, store)
        write_record(directory, record._replace(pending=Pending(FREEZE, snapshot)))


def give_up(directory: str, store: str) -> None:
    """Take back what `begin` has written, unless it was done. Raises OSError, InvalidDocumentError."""
    with lock_record(directory):
        record = settle(directory, store)
        if record.pending is not None:
            remove(layer_path(store, record.pending.snapshot.layer))
            write_record(directory, record._replace(pending=None))


def forget(directory: str, store: str, snapshots: Collection[Snapshot]) -> None:
    """Take snapshots out of the record; what nothing else needs of their layers is removed by a sweep. As `settle`."""
    with lock_record(directory):
        record = settle(directory, store)
        kept = tuple(each for each in record.snapshots if each not in snapshots)
        write_record(directory, record._replace(snapshots=kept))


def roll_back(directory: str, store: str, snapshot: Snapshot) -> None:
    """Put an empty writable layer over a frozen one, in place of the present one; no server has it. As `settle`."""
    with lock_record(directory):
        record = settle(directory, store)
        write_record(directory, record._replace(pending=Pending(ROLL_BACK, snapshot)))
        settle(directory, store)


def _roll_back(directory: str, saved: str) -> None:
    for name in (UPPER, WORK):
        remove(f"{directory}/{name}")
    make_upper(directory)
    make_work(directory, saved)


def make_upper(directory: str) -> None:
    """Make an empty upper, if there is none. Raises OSError."""
    path = f"{directory}/{UPPER}"
    try:
        os.mkdir(path, 0o755)
    except FileExistsError:
        return
    os.chmod(path, 0o755)


def make_work(directory: str, saved: str) -> None:
    """Make the work directory of a new upper over a frozen layer with this saved state. Raises OSError."""
    from unionfs.directory.frozen import restore_state

    path = f"{directory}/{WORK}"
    os.mkdir(path, 0o700)
    restore_state(os.fsencode(saved), os.fsencode(path))


def remove(path: str) -> None:
    """Remove a tree, if it is there. Raises OSError."""
    if os.path.lexists(path):
        remove_tree(path)
