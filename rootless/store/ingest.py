"""Adds objects to the store: makes them in a directory under tmp/ and moves them into place at the end.

Crash consistency. (1) tmp/<random>/ is made, with a lock file that is held. (2) Blobs and layers
are written there and fsynced; layers and documents that this program makes are fsynced together, right
before (3). (3) Under the store's lock each is renamed to its place, the
directories are fsynced, and (4) index.json is replaced. Killed in 1 or 2: a directory whose lock is
free, which the next ingest sweeps. Killed in 3: whole objects that nothing names; they are used by
the next load of the same image and found by `system check`. Killed in 4: as 3, or done.

What is in the store already and wanted again is pinned by hard links in that directory, so that a
removal at the same time cannot take it: it is put back at 3 if it has gone.
"""

from __future__ import annotations

import errno
import itertools
import os
import stat
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType

from rootless.durable import (
    LockFile,
    StrPath,
    acquire_lock,
    fsync_directory,
    fsync_file,
    link_or_copy,
    locked,
    remove_tree,
    write_atomically,
)
from rootless.errors import IntegrityError, RootlessError
from rootless.machine_locks import is_of_this_machine_only, machine
from rootless.oci.digest import hex_of, sha256_digest
from rootless.oci.manifest import Descriptor
from rootless.oci.reference import Reference
from rootless.store import names
from rootless.store.counting import Moved, counted
from rootless.store.decompression import Limits, Read
from rootless.store.layer_writing import (
    LAYER_INDEX,
    LAYER_TAR,
    WrittenLayer,
    write_layer,
    write_made_layer,
)
from rootless.store.layout import LayerFiles, Store
from unionfs.light_types import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Self

    from unionfs.tar.writer import ArchiveMember

_AT_FDCWD = -100

_WORK_OF_OTHERS = 7 * 86400.0
"""Seconds for which an addition of a machine whose locks are not seen may go on."""


class NewImage(NamedTuple):
    """A manifest that is to be in index.json, and its tags."""

    manifest: Descriptor
    tags: tuple[Reference, ...]


class Ingest:
    """One addition to the store. Use as a context manager; what was not published is removed at its end. `moved` is
    called with the size of each piece of a layer that was read."""

    def __init__(
        self, store: Store, limits: Limits | None = None, moved: Moved | None = None
    ) -> None:
        self._moved = moved
        self._store = store
        self._limits = limits or Limits()
        self._count = itertools.count(1)
        self._lock: LockFile | None = None
        self._unsynced_files: list[Path] = []
        self._unsynced_directories: list[Path] = []
        """To sync before anything in the store names them."""
        self.directory = Path(store.root, "tmp", f"{machine()}-{os.urandom(8).hex()}")

    def __enter__(self) -> Self:
        tmp = Path(self._store.root, "tmp")
        # Made and locked as one step for sweepers, who look under the same lock.
        with locked(tmp / ".lock"):
            for directory in ended(tmp):
                remove_tree(directory)
            self.directory.mkdir()
            self._lock = acquire_lock(self.directory / ".lock", wait=False)
        (self.directory / "blobs").mkdir()
        (self.directory / "layers").mkdir()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # Sweepers must not come upon it half removed. A file that is open cannot be removed on NFS, so the lock goes
        # first.
        with locked(f"{self._store.root}/tmp/.lock"):
            if self._lock is not None:
                self._lock.release()
            remove_tree(self.directory)

    # What is there already.

    def keep_blob(self, digest: str, size: int | None = None) -> bool:
        """Whether the store has this blob; it will be there at the end, whatever others remove
        meanwhile. A blob of another `size` than a descriptor says does not count: either it is damaged,
        or the descriptor is wrong, which reading the source finds."""
        mine, store = self._blob(digest), self._store
        if not mine.exists() and store.is_shared(store.blob_path(digest)):
            return size is None or os.stat(store.blob_to_read(digest)).st_size == size
        if not mine.exists() and store.is_marked_damaged(digest):
            return False
        if not mine.exists() and not _pin(Path(store.blob_path(digest)), mine):
            return False
        if size is None or mine.stat().st_size == size:
            return True
        mine.unlink()
        return False

    def keep_layer(self, diff_id: str) -> bool:
        """As `keep_blob`, for a layer."""
        mine = self._layer(diff_id)
        if mine.exists():
            return True
        if self._store.is_shared(self._store.layer_directory(diff_id)):
            return True
        if self._store.is_marked_damaged(diff_id):
            return False
        theirs = Path(self._store.layer_directory(diff_id))
        attempt = self._scratch("pin")
        attempt.mkdir()
        if all(_pin(theirs / name, attempt / name) for name in ("layer.tar", "index.sqlite")):
            os.rename(attempt, mine)
            return True
        remove_tree(attempt)
        return False

    def keep_layer_as_blob(self, diff_id: str) -> tuple[str, int] | None:
        """Digest and size of the blob that is a kept layer's uncompressed tar; None if there is no
        such layer."""
        if not self.keep_layer(diff_id):
            return None
        tar = self._layer(diff_id) / LAYER_TAR
        if not tar.exists():
            tar = Path(self._store.layer_files(diff_id).tar)
        if not self.keep_blob(diff_id):
            link_or_copy(tar, self._blob(diff_id))
        return diff_id, tar.stat().st_size

    # What is new.

    def add_document(self, data: bytes) -> str:
        """A manifest or config; returns its digest."""
        digest = sha256_digest(data)
        if not (self._has_document(digest, data) and self.keep_blob(digest, len(data))):
            write_atomically(self._blob(digest), data, durable=False)
            self._unsynced_files.append(self._blob(digest))
        return digest

    def add_blob(self, file: Path, digest: str) -> None:
        """Take over a file of the same file system, which the caller has hashed, as a blob."""
        os.rename(file, self._blob(digest))

    def _has_document(self, digest: str, data: bytes) -> bool:
        """Whether the store has it, intact."""
        try:
            with open(self._store.blob_path(digest), "rb") as file:
                return file.read(len(data) + 1) == data
        except OSError:
            return False

    def add_layer(
        self,
        read: Read,
        what: str,
        *,
        diff_id: str | None = None,
        blob: Descriptor | None = None,
        held: Path | None = None,
    ) -> WrittenLayer:
        """Read a layer to its end. What is known of it beforehand is checked: digest and size of
        the blob, diffID. `held` is the file that `read` reads, if it is one on the same file system.

        Several threads may each add a layer at once.

        Raises IntegrityError where they differ, InvalidDocumentError for a layer that is not sound.
        """
        directory, blob_file = self._scratch("layer"), self._scratch("blob")
        read = counted(read, self._moved)
        try:
            written = write_layer(read, directory, blob_file, what, self._limits, held=held)
        except OSError as error:
            raise self._not_stored(what, error) from error
        if blob is not None and (written.digest, written.blob_size) != (blob.digest, blob.size):
            raise IntegrityError(
                f"{what} does not match its descriptor: {written.digest} of "
                f"{written.blob_size} bytes instead of {blob.digest} of {blob.size}"
            )
        if diff_id is not None and written.diff_id != diff_id:
            raise IntegrityError(f"{what} has the diffID {written.diff_id} instead of {diff_id}")
        return self._added(written)

    def add_made_layer(self, members: Iterable[ArchiveMember], what: str) -> WrittenLayer:
        """Add a layer whose archive is made of these members. It is synced when it is shared or published.

        Raises RootlessError if it cannot be stored, ValueError if the length of a member's data differs from the entry's
        size.
        """
        directory, blob_file = self._scratch("layer"), self._scratch("blob")
        try:
            written = write_made_layer(members, directory, blob_file, what, self._limits)
        except OSError as error:
            raise self._not_stored(what, error) from error
        added = self._added(written)
        self._unsynced_files += [added.directory / name for name in (LAYER_TAR, LAYER_INDEX)]
        self._unsynced_directories.append(added.directory)
        return added

    def _not_stored(self, what: str, error: OSError) -> RootlessError:
        return RootlessError(
            f"cannot store {what} in {self._store.root}: {error.strerror or error}"
        )

    def _added(self, written: WrittenLayer) -> WrittenLayer:
        """A layer with its files under the names of this addition."""
        layer, blob_path = self._layer(written.diff_id), self._blob(written.digest)
        try:
            os.rename(written.directory, layer)
        except OSError:
            # The same layer, compressed in another way.
            if not layer.exists():
                raise
            remove_tree(written.directory)
        os.rename(written.blob, blob_path)
        return written._replace(directory=layer, blob=blob_path)

    def replace_layer(self, diff_id: str, *, with_blob: bool) -> None:
        """Replace the store's layer by one that was added, which is damaged, and, for
        `with_blob`, its uncompressed blob. Atomic where the file system can exchange two directories."""
        store, mine = self._store, self._layer(diff_id)
        theirs = store.layer_directory(diff_id)
        with store.lock():
            if os.path.lexists(theirs):
                _exchange(mine, theirs, self._scratch("damaged"))
            else:
                os.rename(mine, theirs)
            if with_blob:
                self._install_blob(self._blob(diff_id), store.blob_path(diff_id))
            store.unmark_damaged((diff_id,))
            fsync_directory(f"{store.root}/layers")
            fsync_directory(f"{store.root}/blobs/sha256")

    def _install_blob(self, source: Path, target: StrPath) -> bool:
        """False if this very file is there already."""
        if _is_same_file(source, target):
            return False
        try:
            os.rename(source, target)
        except IsADirectoryError:
            # No blob is a directory: something else has put it there.
            os.rename(target, self._scratch("damaged"))
            os.rename(source, target)
        return True

    def _install_layer(self, source: Path, target: StrPath) -> bool:
        """False if a layer of the same files is there already."""
        digest = f"sha256:{os.path.basename(target)}"
        if not os.path.lexists(target):
            os.rename(source, target)
        elif self._store.is_marked_damaged(digest) or not _same_files(source, target):
            _exchange(source, target, self._scratch("damaged"))
        else:
            return False
        return True

    def import_blob(self, other: Store, digest: str) -> None:
        """A blob of another store. Raises FileNotFoundError."""
        link_or_copy(other.blob_to_read(digest), self._blob(digest))

    def import_layer(self, other: Store, diff_id: str) -> None:
        """A layer of another store."""
        attempt = self._scratch("import")
        attempt.mkdir()
        for name in (LAYER_TAR, LAYER_INDEX):
            link_or_copy(
                f"{os.path.dirname(other.layer_files(diff_id).tar)}/{name}", attempt / name
            )
        os.rename(attempt, self._layer(diff_id))

    def layer_files(self, diff_id: str) -> LayerFiles:
        """Tar and index of a layer that was added or kept, or else of the store's."""
        mine = self._layer(diff_id)
        if mine.exists():
            return LayerFiles(str(mine / LAYER_TAR), str(mine / LAYER_INDEX))
        return self._store.layer_files(diff_id)

    def share(self, layers: Iterable[tuple[str, str]]) -> None:
        """Layers that were added, by diffID and the digest of the blob, appear in the store now, named by nothing yet, so
        that other processes need not wait for the rest. Those of this ingest stay pinned."""
        self._sync()
        store, attempts = self._store, []
        for diff_id, digest in layers:
            attempt, blob = self._scratch("share"), self._scratch("share")
            attempt.mkdir()
            for name in (LAYER_TAR, LAYER_INDEX):
                link_or_copy(self._layer(diff_id) / name, attempt / name)
            link_or_copy(self._blob(digest), blob)
            attempts.append((diff_id, attempt, digest, blob))
        with store.lock():
            for diff_id, attempt, digest, blob in attempts:
                self._install_blob(blob, store.blob_path(digest))
                self._install_layer(attempt, store.layer_directory(diff_id))
                store.unmark_damaged((diff_id, digest))
            fsync_directory(f"{store.root}/blobs/sha256")
            fsync_directory(f"{store.root}/layers")
        for _, attempt, _, _ in attempts:
            remove_tree(attempt)

    def publish(self, images: Iterable[NewImage]) -> None:
        """Everything brought in or kept appears in the store, and the names with it."""
        self._sync()
        store = self._store
        with store.lock():
            # Objects are named by their content: one that is there already is the same, unless it is
            # damaged, in which case it is replaced here.
            root = Path(store.root)
            blobs, layers = (
                os.listdir(self.directory / "blobs"),
                os.listdir(self.directory / "layers"),
            )
            installed = [
                self._install_blob(
                    self.directory / "blobs" / name, root / "blobs" / "sha256" / name
                )
                for name in blobs
            ] + [
                self._install_layer(self.directory / "layers" / name, root / "layers" / name)
                for name in layers
            ]
            store.unmark_damaged(f"sha256:{name}" for name in (*blobs, *layers))
            if any(installed):
                for parent in ("blobs/sha256", "layers"):
                    fsync_directory(root / parent)
            index = store.read_index()
            table = index.manifests
            for image in images:
                table = names.tagged(table, image.manifest, image.tags)
            if not names.is_alike(table, index.manifests):
                store.write_index(index.with_manifests(table))

    def _sync(self) -> None:
        """Make durable what was not synced when it was written. The kernel begins to write all of it before the first is
        waited for: one commit of its journal takes them all."""
        if not self._unsynced_files:
            return
        from unionfs.syscalls.files import SYNC_FILE_RANGE_WRITE, sync_file_range

        for path in self._unsynced_files:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                sync_file_range(descriptor, SYNC_FILE_RANGE_WRITE)
            except OSError:
                pass  # not for this file system: fsync(2) begins it
            finally:
                os.close(descriptor)
        for path in self._unsynced_files:
            fsync_file(path)
        for path in self._unsynced_directories:
            fsync_directory(path)
        self._unsynced_files.clear()
        self._unsynced_directories.clear()

    def _blob(self, digest: str) -> Path:
        return self.directory / "blobs" / hex_of(digest)

    def _layer(self, diff_id: str) -> Path:
        return self.directory / "layers" / hex_of(diff_id)

    def _scratch(self, kind: str) -> Path:
        return self.directory / f"{kind}-{next(self._count)}"


def ended(tmp: Path) -> Iterator[Path]:
    """The directories of additions whose process has ended. Called with tmp/.lock held, and each is removed, if it is, before
    the next one is asked for.

    Where locks hold on one machine only, nothing is known of another machine's processes: what they have left counts
    once it is old.
    """
    for entry in sorted(os.scandir(tmp), key=lambda entry: entry.name):
        if not entry.is_dir(follow_symlinks=False):
            continue
        path = Path(entry.path)
        try:
            lock = acquire_lock(path / ".lock", wait=False)
        except FileNotFoundError:
            continue  # another machine has removed it
        if lock is None:
            continue
        try:
            is_known = entry.name.startswith(f"{machine()}-") or not is_of_this_machine_only(lock)
        finally:
            lock.release()  # on NFS a file that is open cannot be removed
        if is_known or path.stat().st_mtime < time.time() - _WORK_OF_OTHERS:
            yield path


def _pin(source: Path, target: Path) -> bool:
    try:
        link_or_copy(source, target)
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError, PermissionError):
        # Missing, or damaged so that it is of no use.
        target.unlink(missing_ok=True)
        return False
    return True


def _is_same_file(source: Path, target: StrPath) -> bool:
    """Whether both are names of one file."""
    try:
        return os.path.samestat(os.lstat(source), os.lstat(target))
    except OSError:
        return False


def _same_files(layer: Path, other: StrPath) -> bool:
    """Whether the two files of a layer are in the other directory too, the tar with its size: the index
    may have been written by another version."""
    try:
        tar, index = os.stat(f"{other}/{LAYER_TAR}"), os.stat(f"{other}/{LAYER_INDEX}")
    except OSError:
        return False
    return (
        stat.S_ISREG(tar.st_mode)
        and stat.S_ISREG(index.st_mode)
        and tar.st_size == (layer / LAYER_TAR).stat().st_size
    )


def _exchange(path: Path, other: StrPath, scratch: Path) -> None:
    """Give each of two directories the name of the other."""
    from unionfs.syscalls.files import RENAME_EXCHANGE, renameat2

    try:
        renameat2(_AT_FDCWD, os.fsencode(path), _AT_FDCWD, os.fsencode(other), RENAME_EXCHANGE)
    except OSError as error:
        # NFS and some FUSE file systems have no such rename.
        if error.errno not in (errno.EINVAL, errno.ENOSYS):
            raise
        os.rename(other, scratch)
        os.rename(path, other)
