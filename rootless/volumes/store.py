"""The volumes of one engine: a directory each, below one directory.

    .lock           held exclusively while a volume is removed, and shared from the making of a
                    container's volumes until the container itself is there
    .new-*, .old-*  volumes that are being made and removed
    NAME/volume.json, NAME/_data, NAME/work

Any number of processes may use the directory. A volume is made under a hidden name and renamed, and renamed
before it is deleted: at every instant it is there as a whole or not at all.
"""

from __future__ import annotations

import os
import time

from rootless.durable import (
    LockFile,
    acquire_lock,
    fsync_directory,
    remove_tree,
    write_atomically,
)
from rootless.errors import InvalidDocumentError, NotFoundError, UsageError
from rootless.private_directory import make_private_directory
from rootless.volumes.names import check_name
from rootless.volumes.options import check_driver_options
from rootless.volumes.record import VolumeRecord, decode, encode
from unionfs.light_types import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

_RECORD = "volume.json"
DATA, WORK, SEED = "_data", "work", "_seed"


class DamagedVolume(NamedTuple):
    """A volume whose record cannot be read; `reason` is one line."""

    name: str
    reason: str


class Volumes:
    """The volumes below one directory. Holds no state."""

    __slots__ = ("root",)

    def __init__(self, root: str) -> None:
        self.root = root

    def directory(self, name: str) -> str:
        """Where a volume's files lie."""
        return f"{self.root}/{name}"

    def mountpoint(self, name: str) -> str:
        """Where the files that containers see lie, but for a volume that stands for a directory."""
        return f"{self.root}/{name}/{DATA}"

    def create(self, record: VolumeRecord) -> VolumeRecord:
        """Make a volume; the one that has the name already is returned as it is.

        Raises:
            UsageError: it is not a valid name, or the options make no sense.
            HostSupportError: options that ask for what is not possible here.
        """
        check_name(record.name)
        if os.path.isdir(self.directory(record.name)):
            return self.find(record.name)
        check_driver_options(record.name, record.options)
        self._make_root()
        hidden = f"{self.root}/.new-{os.urandom(8).hex()}"
        os.mkdir(hidden, 0o700)
        try:
            for name, mode in ((DATA, 0o755), (WORK, 0o700)):
                os.mkdir(f"{hidden}/{name}")
                os.chmod(f"{hidden}/{name}", mode)
            write_atomically(f"{hidden}/{_RECORD}", encode(record), 0o600)
            try:
                os.rename(hidden, self.directory(record.name))
            except OSError:
                # Another process was first: a directory that is not empty is not replaced.
                if not os.path.isdir(self.directory(record.name)):
                    raise
                remove_tree(hidden)
                return self.find(record.name)
        except BaseException:
            remove_tree(hidden)
            raise
        fsync_directory(self.root)
        return record

    def find(self, name: str) -> VolumeRecord:
        """Raises NotFoundError, UsageError for an empty name, and InvalidDocumentError for a damaged record."""
        if not name:
            raise UsageError("invalid volume name or ID: value is empty")
        path = f"{self.directory(name)}/{_RECORD}"
        if name.startswith(".") or "/" in name or "\0" in name:
            raise NotFoundError(f"get {name}: no such volume")
        try:
            with open(path, "rb") as file:
                data = file.read()
        except OSError as error:
            if not os.path.isdir(self.directory(name)):
                raise NotFoundError(f"get {name}: no such volume") from None
            raise InvalidDocumentError(f"{path} cannot be read: {error.strerror}") from error
        record = decode(data, path)
        if record.name != name:
            raise InvalidDocumentError(f"{path} is not the record of volume {name}")
        return record

    def all(self) -> list[VolumeRecord]:
        """Every volume, by name. One whose record is damaged has its name and no other property."""
        found = []
        for name in self._names():
            try:
                found.append(self.find(name))
            except NotFoundError:
                continue
            except InvalidDocumentError:
                found.append(VolumeRecord(name, ""))
        return found

    def damaged(self) -> list[DamagedVolume]:
        """Volumes whose record cannot be read."""
        found = []
        for name in self._names():
            try:
                self.find(name)
            except NotFoundError:
                continue
            except InvalidDocumentError as error:
                found.append(DamagedVolume(name, error.message))
        return found

    def hold(self) -> LockFile:
        """Keep every volume from being removed until the lock is released: for a container that is being
        made, which nothing shows yet to be a user of its volumes.
        """
        self._make_root()
        held = acquire_lock(f"{self.root}/.lock", shared=True)
        assert held is not None  # it is waited for
        return held

    def remove(
        self, names: Collection[str], users: Callable[[], Collection[str]], *, wait: bool = True
    ) -> list[str]:
        """Remove those of the volumes that are there and not in use; returns their names.

        `users` is called with the lock held, and returns the names of volumes in use. Without `wait` nothing is
        removed while a container is being made.
        """
        if not os.path.isdir(self.root):
            return []
        lock = acquire_lock(f"{self.root}/.lock", wait=wait)
        if lock is None:
            return []
        trash: list[str] = []
        removed = []
        try:
            in_use = users()
            for name in names:
                if name in in_use or not os.path.isdir(self.directory(name)):
                    continue
                hidden = f"{self.root}/.old-{os.urandom(8).hex()}"
                os.rename(self.directory(name), hidden)
                trash.append(hidden)
                removed.append(name)
        finally:
            lock.release()
        for each in trash:
            remove_tree(each)
        return removed

    def leftovers(self, *, age: float = 0, remove: bool = False) -> list[str]:
        """The remains of killed creations and removals, by file name; with `remove` it is deleted. Beside other
        commands only those of some `age` in seconds are asked for.
        """
        found: list[str] = []
        limit = time.time() - age
        try:
            entries = sorted(os.scandir(self.root), key=lambda entry: entry.name)
        except FileNotFoundError:
            return found
        for entry in entries:
            if entry.name.startswith((".new-", ".old-")) and _changed(entry) <= limit:
                found.append(entry.name)
                if remove:
                    remove_tree(entry.path)
        return found

    def _make_root(self) -> None:
        for each in (os.path.dirname(self.root), self.root):
            make_private_directory(each, "ROOTLESS_ROOT")

    def _names(self) -> Iterator[str]:
        try:
            with os.scandir(self.root) as entries:
                yield from sorted(
                    entry.name
                    for entry in entries
                    if not entry.name.startswith(".") and entry.is_dir(follow_symlinks=False)
                )
        except FileNotFoundError:
            return


def _changed(entry: os.DirEntry[str]) -> float:
    try:
        return entry.stat(follow_symlinks=False).st_ctime
    except FileNotFoundError:
        return time.time()
