"""Freezes the writable layer of a union that is being served, in the file server."""

from __future__ import annotations

import errno
import os

from rootless.snapshots.layers import layer_path, make_layer
from rootless.snapshots.record import Snapshot, SnapshotRecord
from rootless.snapshots.steps import (
    UPPER,
    WORK,
    lock_record,
    make_upper,
    read_record,
    remove,
    write_record,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from unionfs.union import Union


class Freezer:
    """Carries out `Union.request_freeze` for the container with this directory: what its record says is pending. A request
    is the id of the layer. Processes of the container may make one too, and nothing comes of it.
    """

    def __init__(self, union: Union, directory: str, store: str) -> None:
        self._union = union
        self._directory = directory
        self._store = store

    def __call__(self, request: bytes) -> None:
        """Raises OSError: ENODATA if this is not what the record says."""
        with lock_record(self._directory):
            record = read_record(self._directory)
            pending = record.pending
            if pending is not None and pending.snapshot.layer.encode() == request:
                self._freeze(record, pending.snapshot)
            elif request not in {each.layer.encode() for each in record.snapshots}:
                raise OSError(errno.ENODATA, os.strerror(errno.ENODATA))
            # else it was carried out by a server that was killed before it could reply

    def _freeze(self, record: SnapshotRecord, snapshot: Snapshot) -> None:
        directory = self._directory
        moved = False

        def move() -> tuple[bytes, bytes]:
            nonlocal moved
            os.rename(f"{directory}/{UPPER}", f"{place}/{UPPER}")
            moved = True
            make_upper(directory)
            return os.fsencode(f"{place}/{UPPER}"), os.fsencode(f"{directory}/{UPPER}")

        try:
            remove(layer_path(self._store, snapshot.layer))
            place = make_layer(self._store, snapshot.layer, record.head)
            self._union.freeze(os.fsencode(f"{place}/{WORK}"), move)
            write_record(directory, record.frozen(snapshot, is_fresh=False))
        except BaseException:
            if moved:
                # What is in memory may be half of either: another server goes on with what is on the disk.
                os.abort()
            raise
