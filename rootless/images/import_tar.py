"""import: a flat root file system in a tar archive, a squashfs or a SIF image becomes an image of one
layer."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import FileIO
from pathlib import Path

from rootless.dockerfile.config import apply_changes
from rootless.errors import InvalidDocumentError, NotFoundError, UsageError
from rootless.images.formats.source import plain_stream
from rootless.images.formats.squashfs import SquashfsImage, find_squashfs, open_squashfs
from rootless.images.formats.url import open_url
from rootless.images.new_image import LoadedImage, new_image
from rootless.oci import media_types
from rootless.oci.document import Json, encode
from rootless.oci.manifest import Descriptor
from rootless.oci.platform import Platform, host_platform, normalised
from rootless.oci.reference import parse_tag
from rootless.store.counting import Moved
from rootless.store.decompression import Limits, Read
from rootless.store.ingest import Ingest
from rootless.store.layout import Store
from rootless.store.names import CONFIG_DIGEST


def import_tar(
    store: Store,
    source: Path | int | str,
    *,
    reference: str | None = None,
    created: str,
    changes: Sequence[str] = (),
    message: str | None = None,
    platform: Platform | None = None,
    limits: Limits | None = None,
    moved: Moved | None = None,
) -> LoadedImage:
    """Bring in a tar archive in any compression: a path, a descriptor to read from, or, as a
    string, an http or https URL; or, by path, a squashfs or SIF image.

    `moved` is called with the size of each piece of the plain archive that was read. `created` is the
    RFC 3339 time that the image gets; equal input and time make an equal id.
    Raises UsageError for a malformed reference or change, InvalidDocumentError for an archive that
    is not sound.
    """
    # What can be wrong with the arguments is found before an archive of gigabytes is read.
    tags = () if reference is None else (parse_tag(reference),)
    config: Json = apply_changes({}, changes)
    store.require_writable()
    label = "standard input" if isinstance(source, int) else str(source)
    limits = limits or Limits()
    squashfs = find_squashfs(str(source)) if isinstance(source, Path) else None
    if squashfs is not None and squashfs.architecture and platform is None:
        platform = normalised("linux", squashfs.architecture)
    with (
        Ingest(store, limits, moved) as ingest,
        _opened(source) if squashfs is None else _archived(squashfs) as read,
    ):
        # An empty piece would be taken for the end.
        stream = plain_stream(read, ingest.directory, label, limits, or_nothing=True)
        pieces = (piece for piece in stream if piece)
        written = ingest.add_layer(lambda _: next(pieces, b""), label)
        if written.compression != "none":
            raise InvalidDocumentError(f"{label} is compressed more than once")
        layer = Descriptor(media_types.OCI_LAYER, written.digest, written.blob_size)
        # A file name may hold bytes that are not UTF-8, JSON may not.
        name = os.fsencode(Path(label).name).decode(errors="backslashreplace")
        history: Json = {
            "created": created,
            "created_by": f"import of {name}",
            "comment": f"Imported from {name}" if message is None else message,
        }
        document = _document(platform or host_platform(), config, written.diff_id, history)
        image = new_image(ingest, encode(document), (layer,), tags)
        ingest.publish([image])
    return LoadedImage(image.manifest.annotations[CONFIG_DIGEST], tags)


def _document(platform: Platform, config: Json, diff_id: str, history: Json) -> Json:
    """The config of an image of one layer, which is as old as the line of its history."""
    return {
        "created": history["created"],
        "architecture": platform.architecture,
        "os": platform.os,
        **({"variant": platform.variant} if platform.variant else {}),
        "config": config,
        "rootfs": {"type": "layers", "diff_ids": [diff_id]},
        "history": [history],
    }


@contextmanager
def _opened(source: Path | int | str) -> Iterator[Read]:
    if isinstance(source, str):
        with open_url(source) as read:
            yield read
    elif isinstance(source, int):
        if os.isatty(source):
            raise UsageError(
                "no archive: standard input is a terminal", hint="name a file or redirect"
            )
        yield lambda size: os.read(source, size)
    else:
        try:
            stream = source.open("rb", buffering=0)
        except OSError as error:
            raise NotFoundError(f"open {source}: {(error.strerror or '').lower()}") from None
        with stream:
            yield _reader(stream, source)


@contextmanager
def _archived(image: SquashfsImage) -> Iterator[Read]:
    """The tree of a squashfs as a tar archive."""
    from unionfs.changes.snapshot import Snapshot

    snapshot = Snapshot([open_squashfs(image)], None)
    try:
        pieces = snapshot.tree_archive()

        def read(_: int) -> bytes:
            try:
                # An empty piece would be taken for the end.
                return next((piece for piece in pieces if piece), b"")
            except OSError as error:
                raise InvalidDocumentError(f"cannot read {image.path}: {error.strerror}") from error

        yield read
    finally:
        snapshot.close()


def _reader(stream: FileIO, source: Path) -> Read:
    def read(size: int) -> bytes:
        try:
            return stream.read(size)
        except OSError as error:
            raise InvalidDocumentError(f"cannot read {source}: {error.strerror}") from error

    return read
