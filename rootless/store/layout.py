"""The layout of the store's directory, and the index of names.

    oci-layout, index.json        an OCI image layout (image-spec image-layout.md), which other tools read
    blobs/sha256/<hex>            manifests, configs and layers as they came
    layers/<hex of diffID>/       layer.tar, the uncompressed layer, read in place; index.sqlite, where in
                                  it each entry is
    chains/<hex of ChainID>/      index.sqlite, all layers of an image merged
    containers/                   rootless.containers.directory
    partial/<hex>                 rootless.store.partial
    manifests/<hex>.json          rootless.store.manifest_lists
    damaged/<hex>                 an empty file for each blob or layer that `system check --repair` kept
    tmp/<random>/                 one for each ingest, with a lock that it holds; swept once it is dead
    store.json                    the version of all this
    .lock                         held while index.json changes and while objects appear or vanish

An object under blobs/, layers/ or chains/ is renamed into place whole and never changes. After a crash
nothing outside tmp/ needs repair. Locks are held for renames and unlinks only, never while a source is
read.
"""

from __future__ import annotations

import os

from rootless.durable import locked, remove_tree, write_atomically, write_with_reserve
from rootless.errors import (
    HostSupportError,
    IntegrityError,
    InvalidDocumentError,
    NotFoundError,
)
from rootless.light_stdlib import read_file
from rootless.oci.digest import hex_of, sha256_digest
from rootless.oci.document import MAX_DOCUMENT_SIZE, encode, parse_object
from rootless.oci.manifest import Index, empty_index, read_index
from rootless.private_directory import make_private_directory

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import BinaryIO

    from rootless.oci.manifest import Descriptor

FORMAT = 1
MAX_INDEX_SIZE = 64 << 20
_LAYOUT = encode({"imageLayoutVersion": "1.0.0"})
_AGAIN = "remove the image and load or pull it again"


class LayerFiles:
    """The files of one layer that the union opens."""

    __slots__ = ("index", "tar")

    def __init__(self, tar: str, index: str) -> None:
        self.tar = tar
        self.index = index


class Store:
    """A store at a directory. Holds no file open; several objects and processes may use one store at once.

    `shared`: the directories of other stores, in which images and layers that this one lacks are looked
    for. Nothing is ever written there.
    """

    __slots__ = ("root", "shared")

    def __init__(self, root: str | os.PathLike[str], shared: Sequence[str] = ()) -> None:
        self.root = os.fspath(root)
        self.shared = shared

    @classmethod
    def open(cls, root: str | os.PathLike[str], shared: Sequence[str] = ()) -> Store:
        """The store at `root`, made if there is none.

        Raises:
            InvalidDocumentError: a newer version wrote it.
            HostSupportError: the directory is not this user's alone.
        """
        store = cls(root, shared)
        make_private_directory(store.root, "ROOTLESS_ROOT")
        path = f"{store.root}/store.json"
        try:
            document = parse_object(read_file(path), path)
        except FileNotFoundError:
            store._create()
            return store
        except OSError as error:
            raise _unreadable(path, error) from None
        if document.get("format") != FORMAT:
            raise InvalidDocumentError(
                f"the store {root} has a format that this version does not know",
                hint="use the newer version that wrote it, or another ROOTLESS_ROOT",
            )
        return store

    def _create(self) -> None:
        """Killed anywhere in here, the next `open` does it again: store.json, which says that all
        is there, comes last."""
        for name in ("blobs", "blobs/sha256", "layers", "chains", "tmp"):
            make_private_directory(f"{self.root}/{name}", "ROOTLESS_ROOT")
        with self.lock():
            if not os.path.exists(f"{self.root}/index.json"):
                write_with_reserve(f"{self.root}/index.json", empty_index().encode())
            self.write_layout_file()
            write_atomically(f"{self.root}/store.json", encode({"format": FORMAT}))

    def write_layout_file(self) -> None:
        """Make oci-layout, in the place of whatever is there."""
        path = f"{self.root}/oci-layout"
        if os.path.isdir(path):
            remove_tree(path)
        write_atomically(path, _LAYOUT)

    def has_layout_file(self) -> bool:
        """Whether oci-layout is as it was made."""
        try:
            return read_file(f"{self.root}/oci-layout") == _LAYOUT
        except OSError:
            return False

    def lock(self) -> locked:
        """Held while names change and objects come and go. Short: renames and unlinks only."""
        return locked(f"{self.root}/.lock")

    # Where things lie in this store.

    def blob_path(self, digest: str) -> str:
        return f"{self.root}/blobs/sha256/{hex_of(digest)}"

    def layer_directory(self, diff_id: str) -> str:
        return f"{self.root}/layers/{hex_of(diff_id)}"

    def chain_directory(self, chain_id: str) -> str:
        return f"{self.root}/chains/{hex_of(chain_id)}"

    # To be read: here, or in a shared store.

    def layer_files(self, diff_id: str) -> LayerFiles:
        directory = self._found(self.layer_directory(diff_id))
        return LayerFiles(f"{directory}/layer.tar", f"{directory}/index.sqlite")

    def blob_to_read(self, digest: str) -> str:
        return self._found(self.blob_path(digest))

    def chain_to_read(self, chain_id: str) -> str:
        return self._found(self.chain_directory(chain_id))

    def has_blob(self, digest: str) -> bool:
        return os.path.exists(self.blob_to_read(digest))

    def has_layer(self, diff_id: str) -> bool:
        return os.path.exists(self._found(self.layer_directory(diff_id)))

    def is_shared(self, path: str) -> bool:
        """Whether a path of this store is missing here and there in a shared one."""
        return bool(self.shared) and self._found(path) != path

    def _found(self, path: str) -> str:
        if self.shared and not os.path.exists(path):
            place = path.removeprefix(self.root)
            for root in self.shared:
                if os.path.exists(root + place):
                    return root + place
        return path

    # What a check found damaged and could not make again: it stays, because it may still be of use, and
    # the next load or pull replaces it.

    def mark_damaged(self, digest: str) -> None:
        """Mark a blob or layer as damaged: the next command that needs it pulls or loads it again."""
        os.makedirs(f"{self.root}/damaged", exist_ok=True)
        write_atomically(f"{self.root}/damaged/{hex_of(digest)}", b"")

    def is_marked_damaged(self, digest: str) -> bool:
        return os.path.exists(f"{self.root}/damaged/{hex_of(digest)}")

    def unmark_damaged(self, digests: Iterable[str]) -> None:
        """Remove the mark from what was added or removed. Called with the lock held."""
        for digest in digests:
            try:
                os.unlink(f"{self.root}/damaged/{hex_of(digest)}")
            except (FileNotFoundError, NotADirectoryError):
                continue

    # Documents.

    def read_document(self, digest: str, what: str) -> bytes:
        """A small blob, verified. Raises NotFoundError, IntegrityError, InvalidDocumentError if it
        is too large."""
        with self.open_blob(digest, what) as stream:
            try:
                data = stream.read(MAX_DOCUMENT_SIZE + 1)
            except OSError as error:
                raise self._damaged(digest, what, error) from None
        if len(data) > MAX_DOCUMENT_SIZE:
            raise InvalidDocumentError(f"{what} {digest} is too large")
        if sha256_digest(data) != digest:
            raise IntegrityError(
                f"{what} {digest} in the store {self.root} is damaged", hint=_AGAIN
            )
        return data

    def open_blob(self, digest: str, what: str) -> BinaryIO:
        """A blob for reading, not verified. Raises NotFoundError, and IntegrityError if it is not a
        file that this user may read."""
        try:
            return open(self.blob_to_read(digest), "rb")
        except FileNotFoundError:
            raise NotFoundError(
                f"{what} {digest} is missing from the store {self.root}", hint=_AGAIN
            ) from None
        except OSError as error:
            raise self._damaged(digest, what, error) from None

    def _damaged(self, digest: str, what: str, error: OSError) -> IntegrityError:
        return IntegrityError(
            f"cannot read {what} {digest} in the store {self.root}: {error.strerror}", hint=_AGAIN
        )

    def all_entries(self) -> tuple[Descriptor, ...]:
        """The entries of this store's index, then those of the shared ones: a name is that of the first
        which has it. Raises InvalidDocumentError for a shared store that cannot be read."""
        entries = self.read_index().manifests
        for root in self.shared:
            try:
                entries += Store(root).read_index().manifests
            except InvalidDocumentError as error:
                error.hint = "ROOTLESS_IMAGE_STORES, rootless.toml or storage.conf names this store"
                raise
        return entries

    def read_index(self) -> Index:
        """The index of names. No lock is needed: index.json is replaced whole."""
        path = f"{self.root}/index.json"
        try:
            data = read_file(path)
        except OSError as error:
            raise _unreadable(path, error) from None
        return read_index(data, path, limit=MAX_INDEX_SIZE)

    def require_writable(self) -> None:
        """Raises HostSupportError for a store in the place of one that can only be read."""
        from rootless.paths import READ_ONLY

        try:
            below = os.readlink(f"{self.root}/{READ_ONLY}")
        except OSError:
            return
        raise HostSupportError(
            f"the store {below} can only be read: nothing can be added to it or removed",
            hint=f"use a store of your own (--root), and its images there: ROOTLESS_IMAGE_STORES={below}",
        )

    def write_index(self, index: Index) -> None:
        """Called with the lock held, on what was read with the lock held. Raises HostSupportError."""
        self.require_writable()
        write_with_reserve(f"{self.root}/index.json", index.encode())


def _unreadable(path: str, error: OSError) -> InvalidDocumentError:
    return InvalidDocumentError(f"cannot read {path}: {error.strerror}")
