"""skopeo's `dir:`, which podman calls docker-dir: one image, or one index with its images, as plain
files (containers/image, directory/directory_transport.go).

`version`, `manifest.json`, each blob under the hexadecimal part of its digest, and, of an index, the
manifest of each image as `DIGITS.manifest.json`. No name goes with it. Anything that manifest.json
calls itself is found: a manifest of either kind or an index.
"""

from __future__ import annotations

from pathlib import Path

from rootless.durable import write_atomically
from rootless.errors import NotFoundError
from rootless.images.formats.members import Members, read_small
from rootless.images.formats.oci_layout import BLOBS
from rootless.images.formats.outgoing import File, file_of, put, require_only
from rootless.oci.digest import hex_of, is_hex, sha256_digest
from rootless.oci.manifest import Descriptor, empty_index, media_type_of
from rootless.store.decompression import Read

MANIFEST = "manifest.json"
_INSTANCE = ".manifest.json"
_VERSION = b"Directory Transport Version: 1.1\n"


def is_directory_format(members: Members) -> bool:
    """Whether manifest.json is a manifest: that of a docker-archive is a list."""
    return members.has(MANIFEST) and read_small(members, MANIFEST).lstrip().startswith(b"{")


class DirectoryAsLayout:
    """The files of a `dir:` under the names that they have in an OCI layout, so that one reader does
    for both. Raises NotFoundError, InvalidDocumentError."""

    def __init__(self, members: Members) -> None:
        self.label = members.label
        self._members = members
        try:
            data = read_small(members, MANIFEST)
        except NotFoundError:
            raise NotFoundError(
                f"{members.label} is not a directory of an image: no manifest.json"
            ) from None
        what = f"{MANIFEST} in {members.label}"
        top = Descriptor(media_type_of(data, what), sha256_digest(data), len(data))
        self._top = hex_of(top.digest)
        self._index = empty_index().with_manifests((top,)).encode()

    def _name(self, name: str) -> str:
        digits = name.removeprefix(BLOBS)
        if digits == self._top:
            return MANIFEST
        instance = f"{digits}{_INSTANCE}"
        return instance if self._members.has(instance) else digits

    def has(self, name: str) -> bool:
        return name == "index.json" or self._members.has(self._name(name))

    def size(self, name: str) -> int:
        return len(self._index) if name == "index.json" else self._members.size(self._name(name))

    def reader(self, name: str) -> Read:
        if name == "index.json":
            whole = iter([self._index])
            return lambda _: next(whole, b"")
        return self._members.reader(self._name(name))


class DirectoryWriter:
    """Writes a `dir:`, blobs first; one that holds another image is replaced. If the writer is killed
    the directory holds the image that it held, and the next writer goes on. Raises ExistsError for any
    other directory."""

    def __init__(self, path: Path) -> None:
        if path.exists() and not (path / "version").exists():
            require_only(
                path,
                lambda name: is_hex(name.removesuffix(_INSTANCE)),
                "a directory of an image",
            )
        path.mkdir(parents=True, exist_ok=True)
        write_atomically(path / "version", _VERSION)
        self._path = path
        self._files = {"version", MANIFEST}

    def has_blob(self, digest: str) -> bool:
        """Whether it is there already; then it stays."""
        name = hex_of(digest)
        self._files.add(name)
        return (self._path / name).exists()

    def put_blob(self, file: File) -> None:
        """Raises IntegrityError."""
        self._put(file._replace(name=hex_of(file.digest)))

    def put_instance(self, data: bytes) -> None:
        """The manifest of one image of the index that comes at the end, or of an index in it."""
        self._put(file_of(f"{hex_of(sha256_digest(data))}{_INSTANCE}", data))

    def _put(self, file: File) -> None:
        put(file, self._path)
        self._files.add(file.name)

    def finish(self, manifest: bytes) -> None:
        """Make it the image's, and remove what was an earlier image's."""
        write_atomically(self._path / MANIFEST, manifest)
        for old in self._path.iterdir():
            if old.name not in self._files and is_hex(old.name.removesuffix(_INSTANCE)):
                old.unlink()
