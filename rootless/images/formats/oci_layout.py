"""OCI image layouts (image-spec image-layout.md): which images one holds, and adding one to a directory.

A layout may hold many images; adding one does not touch the others. Blobs are written first, then
index.json is replaced.
"""

from __future__ import annotations

from pathlib import Path

from rootless.durable import write_atomically
from rootless.errors import IntegrityError, NotFoundError, UsageError
from rootless.images.formats.members import Members, read_small
from rootless.images.formats.outgoing import File, file_of, put, require_only
from rootless.oci.conversion import as_oci
from rootless.oci.digest import hex_of, sha256_digest
from rootless.oci.document import encode
from rootless.oci.manifest import Descriptor, empty_index, read_index
from rootless.oci.reference import Reference, parse_reference, parse_tag
from rootless.store.names import REF_NAME

BLOBS = "blobs/sha256/"
LAYOUT = encode({"imageLayoutVersion": "1.0.0"})
CONTAINERD_NAME = "io.containerd.image.name"


def entries_named(members: Members, name: str) -> tuple[Descriptor, ...]:
    """The entries of a layout's index.json that `name` means; all of them for an empty name. Raises
    NotFoundError, InvalidDocumentError."""
    what = f"index.json in {members.label}"
    entries = read_index(read_small(members, "index.json"), what).manifests
    if not name:
        return entries
    # An image in a layout may have a name that is not a reference.
    exact = tuple(each for each in entries if each.annotations.get(REF_NAME) == name)
    wanted = reference_named(name)
    found = exact or tuple(each for each in entries if wanted in tags_of_entry(each))
    if not found:
        raise NotFoundError(f"{members.label} holds no image named {name}")
    return found


def reference_named(name: str) -> Reference | None:
    """The tag that a name means, or None if it means none. A digest beside a tag is left out."""
    try:
        reference = parse_reference(name).with_default_tag()
        return None if reference.tag is None else parse_tag(str(reference._replace(digest=None)))
    except UsageError:
        return None


def tags_of_entry(entry: Descriptor) -> tuple[Reference, ...]:
    """The tag of an entry of index.json, if it has one. containerd and BuildKit write the whole name
    in an annotation of their own, and only the tag in OCI's."""
    text = entry.annotations.get(CONTAINERD_NAME) or entry.annotations.get(REF_NAME)
    reference = reference_named(text) if text else None
    return () if reference is None else (reference,)


def repo_digest_of_entry(entry: Descriptor) -> str | None:
    """NAME@DIGEST of an entry that is named by the digest it has, as tools write what they pulled by
    digest."""
    try:
        reference = parse_reference(entry.annotations.get(REF_NAME, ""))
    except UsageError:
        return None
    return f"{reference.name}@{entry.digest}" if reference.digest == entry.digest else None


def blob_document(members: Members, descriptor: Descriptor) -> bytes:
    """A small blob of a layout, verified. Raises IntegrityError, NotFoundError."""
    name = f"{BLOBS}{hex_of(descriptor.digest)}"
    data = read_small(members, name)
    if len(data) != descriptor.size or sha256_digest(data) != descriptor.digest:
        raise IntegrityError(f"{name} in {members.label} does not match its descriptor")
    return data


class LayoutWriter:
    """Adds an image to a layout, which is made if there is none, or completed if a writer was killed
    before it had written oci-layout. Raises ExistsError for any other directory."""

    def __init__(self, path: Path) -> None:
        if path.exists() and not (path / "oci-layout").exists():
            require_only(path, lambda name: name == "blobs", "an OCI layout")
        (path / BLOBS).mkdir(parents=True, exist_ok=True)
        write_atomically(path / "oci-layout", LAYOUT)
        self._path = path
        self._converted: dict[str, Descriptor] = {}

    def has_blob(self, digest: str) -> bool:
        return (self._path / BLOBS / hex_of(digest)).exists()

    def put_blob(self, file: File) -> None:
        """Raises IntegrityError."""
        put(file._replace(name=f"{BLOBS}{hex_of(file.digest)}"), self._path)

    def put_document(self, data: bytes, media_type: str) -> Descriptor:
        """A manifest, or an index after what it names, as OCI's; its descriptor as it is there. Raises
        InvalidDocumentError."""
        before = sha256_digest(data)
        data, media_type = as_oci(data, media_type, f"manifest {before}", self._converted)
        descriptor = Descriptor(media_type, sha256_digest(data), len(data))
        self._converted[before] = descriptor
        put(file_of(f"{BLOBS}{hex_of(descriptor.digest)}", data), self._path)
        return descriptor

    def finish(self, entry: Descriptor, name: str) -> None:
        """Put the image into index.json under a name, which another image there loses."""
        path = self._path / "index.json"
        try:
            index = read_index(path.read_bytes(), str(path))
        except FileNotFoundError:
            index = empty_index()
        annotations = {REF_NAME: name} if name else {}
        others = tuple(
            each
            for each in index.manifests
            if each.annotations.get(REF_NAME, "") != name
            or (not name and each.digest != entry.digest)
        )
        added = entry._replace(annotations=annotations)
        write_atomically(path, index.with_manifests((*others, added)).encode())


def files_of_layout(path: Path) -> list[File]:
    """Every file of a layout that this program has written, to be put into an archive."""
    blobs = [
        File(f"{BLOBS}{each.name}", each.stat().st_size, each, f"sha256:{each.name}")
        for each in sorted((path / BLOBS).iterdir())
    ]
    index = (path / "index.json").read_bytes()
    return [file_of("oci-layout", LAYOUT), file_of("index.json", index), *blobs]
