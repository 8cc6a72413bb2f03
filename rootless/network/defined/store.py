"""The networks that a user has defined: a document each, below one directory.

.lock           held exclusively while a network is made or removed, and shared while a container is made that
                is to be in one
ID.json
"""

from __future__ import annotations

import os

from rootless.durable import LockFile, acquire_lock, fsync_directory, locked, write_atomically
from rootless.errors import NotFoundError, UsageError
from rootless.network.defined.record import NetworkRecord, decode, encode
from rootless.private_directory import make_private_directory

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

_SUFFIX = ".json"
_ID_LENGTH = 64


class Networks:
    """Those below one directory. Holds no state."""

    __slots__ = ("root",)

    def __init__(self, root: str) -> None:
        self.root = root

    def create(self, make: Callable[[Sequence[NetworkRecord]], NetworkRecord]) -> NetworkRecord:
        """Make the network that `make` returns, which is called with those that there are and with the lock held.
        Raises what it raises.
        """
        for each in (os.path.dirname(self.root), self.root):
            make_private_directory(each, "ROOTLESS_ROOT")
        with locked(self._lock):
            record = make(self.all())
            write_atomically(self._path(record.id), encode(record), 0o600)
        return record

    def all(self) -> list[NetworkRecord]:
        """By name. Raises InvalidDocumentError for a document that is damaged."""
        try:
            names = os.listdir(self.root)
        except FileNotFoundError:
            return []
        found = []
        for name in names:
            if name.endswith(_SUFFIX) and not name.startswith("."):
                try:
                    found.append(self._read(f"{self.root}/{name}"))
                except FileNotFoundError:
                    continue  # removed meanwhile
        return sorted(found, key=lambda record: record.name)

    def find(self, name: str) -> NetworkRecord:
        """By name, id, or the beginning of an id that only one has. Raises NotFoundError, UsageError."""
        if not name:
            raise UsageError("invalid network name or ID: value is empty")
        if len(name) == _ID_LENGTH and name.isalnum():
            try:
                return self._read(self._path(name))
            except FileNotFoundError:
                pass
        records = self.all()
        matching = [record for record in records if record.name == name]
        matching = matching or [record for record in records if record.id.startswith(name)]
        if len(matching) > 1:
            raise UsageError(
                f"network {name} is ambiguous ({len(matching)} matches found based on ID prefix)"
            )
        if not matching:
            raise NotFoundError(f"network {name} not found")
        return matching[0]

    def hold(self) -> LockFile | None:
        """Keep every network from being removed until the lock is released: for a container that is being made. None if
        there is no network.
        """
        return acquire_lock(self._lock, shared=True) if os.path.isdir(self.root) else None

    def remove(self, record: NetworkRecord, check: Callable[[], None]) -> None:
        """Remove a network, unless `check`, which is called with the lock held, raises. Raises NotFoundError."""
        with locked(self._lock):
            check()
            try:
                os.unlink(self._path(record.id))
            except FileNotFoundError:
                raise NotFoundError(f"network {record.name} not found") from None
        fsync_directory(self.root)

    def prune(
        self, candidates: Collection[NetworkRecord], users: Callable[[], Collection[str]]
    ) -> list[NetworkRecord]:
        """Remove those of the networks whose id is not among `users`, which is called with the lock held."""
        removed = []
        if not candidates:
            return []
        with locked(self._lock):
            in_use = users()
            for record in candidates:
                if record.id not in in_use:
                    try:
                        os.unlink(self._path(record.id))
                    except FileNotFoundError:
                        continue
                    removed.append(record)
        fsync_directory(self.root)
        return removed

    @property
    def _lock(self) -> str:
        return f"{self.root}/.lock"

    def _path(self, network_id: str) -> str:
        return f"{self.root}/{network_id}{_SUFFIX}"

    def _read(self, path: str) -> NetworkRecord:
        with open(path, "rb") as file:
            return decode(file.read(), path)
