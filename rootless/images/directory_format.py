"""skopeo's `dir:` and layouts with several images: plain directories of blobs.

`dir:` holds `version`, `manifest.json` and each blob under the hexadecimal part of its digest. An OCI
layout (image-spec image-layout.md) may hold many images; one is added without touching the others:
blobs first, then index.json is replaced.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from rootless.durable import TEMPORARY_PREFIX, fsync_file, link_or_copy, write_atomically
from rootless.errors import ExistsError, InvalidDocumentError, NotFoundError
from rootless.oci.digest import hex_of, sha256_digest
from rootless.oci.document import MAX_DOCUMENT_SIZE, encode
from rootless.oci.manifest import Descriptor, empty_index, read_index, read_manifest
from rootless.store.image import Image, manifest_of
from rootless.store.layout import Store
from rootless.store.names import REF_NAME

_VERSION = b"Directory Transport Version: 1.1\n"


def write_directory(store: Store, image: Image, path: Path) -> None:
    """Raises ExistsError if there is something that is no such directory."""
    if path.exists() and not (path / "version").exists() and any(path.iterdir()):
        raise ExistsError(f"{path} exists already and is not a directory of an image")
    path.mkdir(parents=True, exist_ok=True)
    manifest = manifest_of(store, image)
    for blob in (manifest.config, *manifest.layers):
        _put(Path(store.blob_path(blob.digest)), path / hex_of(blob.digest))
    write_atomically(path / "version", _VERSION)
    data = store.read_document(image.manifest.digest, "image manifest")
    write_atomically(path / "manifest.json", data)


def layout_of_directory(path: Path, target: Path) -> None:
    """Make an OCI layout at `target` of a `dir:` directory. Raises NotFoundError,
    InvalidDocumentError; nothing is verified here."""
    try:
        with (path / "manifest.json").open("rb") as stream:
            data = stream.read(MAX_DOCUMENT_SIZE + 1)
    except FileNotFoundError:
        raise NotFoundError(f"{path} is not a directory of an image: no manifest.json") from None
    if b'"manifests"' in data:
        raise InvalidDocumentError(f"{path} holds an index for several platforms")
    manifest = read_manifest(data, f"manifest.json in {path}")
    blobs = target / "blobs/sha256"
    blobs.mkdir(parents=True)
    for blob in (manifest.config, *manifest.layers):
        source = path / hex_of(blob.digest)
        if source.is_symlink() or not source.is_file():
            raise NotFoundError(f"{source} is missing")
        if not (blobs / hex_of(blob.digest)).exists():
            link_or_copy(source, blobs / hex_of(blob.digest))
    digest = sha256_digest(data)
    (blobs / hex_of(digest)).write_bytes(data)
    _write_index(target, Descriptor(manifest.media_type, digest, len(data)), "")


def add_to_layout(store: Store, image: Image, path: Path, name: str) -> None:
    """Add an image to a layout, which is made if there is none, under a name that it takes from
    whoever had it."""
    if path.exists() and not (path / "oci-layout").exists() and any(path.iterdir()):
        raise ExistsError(f"{path} exists already and is not an OCI layout")
    blobs = path / "blobs/sha256"
    blobs.mkdir(parents=True, exist_ok=True)
    manifest = manifest_of(store, image)
    for blob in (image.manifest, manifest.config, *manifest.layers):
        _put(Path(store.blob_path(blob.digest)), blobs / hex_of(blob.digest))
    # What the store notes about an image is nobody else's concern.
    _write_index(path, image.manifest._replace(annotations={}), name)


def _write_index(path: Path, entry: Descriptor, name: str) -> None:
    what = str(path / "index.json")
    try:
        index = read_index((path / "index.json").read_bytes(), what)
    except FileNotFoundError:
        index = empty_index()
    if name:
        entry = entry._replace(annotations={REF_NAME: name})
    others = tuple(
        each
        for each in index.manifests
        if each.annotations.get(REF_NAME, "") != name or (not name and each.digest != entry.digest)
    )
    write_atomically(path / "oci-layout", encode({"imageLayoutVersion": "1.0.0"}))
    write_atomically(path / "index.json", index.with_manifests((*others, entry)).encode())


def _put(source: Path, target: Path) -> None:
    """A copy, never a link: whoever writes to what is theirs must not write to the store."""
    if target.exists():
        return
    temporary = target.with_name(f"{TEMPORARY_PREFIX}{target.name}")
    shutil.copyfile(source, temporary)
    fsync_file(temporary)
    temporary.rename(target)
