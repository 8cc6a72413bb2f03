"""import: a flat root file system in a tar archive becomes an image of one layer."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from rootless.errors import InvalidDocumentError, NotFoundError, UsageError
from rootless.images.changes import apply_change
from rootless.images.load import LoadedImage, new_image
from rootless.images.source import plain_stream
from rootless.oci import media_types
from rootless.oci.document import Json, encode
from rootless.oci.manifest import Descriptor
from rootless.oci.platform import Platform, host_platform
from rootless.oci.reference import Reference, parse_reference
from rootless.store.decompression import Limits
from rootless.store.ingest import Ingest
from rootless.store.layout import Store
from rootless.store.names import CONFIG_DIGEST


def import_tar(
    store: Store,
    source: Path | int,
    *,
    reference: str | None = None,
    created: str,
    changes: Sequence[str] = (),
    message: str | None = None,
    platform: Platform | None = None,
    limits: Limits | None = None,
) -> LoadedImage:
    """Bring in a tar archive in any compression, by path or by a descriptor to read from.

    `created` is the RFC 3339 time that the image gets; equal input and time make an equal id.
    Raises UsageError for a malformed reference or change, InvalidDocumentError for an archive that
    is not sound.
    """
    # What can be wrong with the arguments is found before an archive of gigabytes is read.
    tags: tuple[Reference, ...] = ()
    if reference is not None:
        tag = parse_reference(reference).with_default_tag()
        if tag.digest is not None:
            raise UsageError(f"cannot import to a digest reference: {reference}")
        tags = (tag,)
    config: Json = {}
    for change in changes:
        config = apply_change(config, change)
    label = str(source) if isinstance(source, Path) else "standard input"
    limits = limits or Limits()
    with Ingest(store, limits) as ingest:
        fd = _open(source)
        try:
            pieces = plain_stream(lambda size: os.read(fd, size), ingest.directory, label, limits)
            written = ingest.add_layer(lambda _: next(pieces, b""), label)
            if written.compression != "none":
                raise InvalidDocumentError(f"{label} is compressed more than once")
        finally:
            if isinstance(source, Path):
                os.close(fd)
        layer = Descriptor(media_types.OCI_LAYER, written.digest, written.blob_size)
        where = platform or host_platform()
        document: Json = {
            "created": created,
            "architecture": where.architecture,
            "os": where.os,
            **({"variant": where.variant} if where.variant else {}),
            "config": config,
            "rootfs": {"type": "layers", "diff_ids": [written.diff_id]},
            "history": [
                {
                    "created": created,
                    "created_by": f"import of {Path(label).name}",
                    "comment": message
                    if message is not None
                    else f"Imported from {Path(label).name}",
                }
            ],
        }
        image = new_image(ingest, encode(document), (layer,), tags)
        ingest.publish([image])
    return LoadedImage(image.manifest.annotations[CONFIG_DIGEST], tags)


def _open(source: Path | int) -> int:
    if isinstance(source, int):
        if os.isatty(source):
            raise UsageError(
                "no archive: standard input is a terminal", hint="name a file or redirect"
            )
        return source
    try:
        return os.open(source, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise NotFoundError(f"no such file: {source}") from None
