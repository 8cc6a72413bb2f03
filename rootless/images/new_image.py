"""A new image of this store: a manifest over a config and layers that an ingest holds."""

from __future__ import annotations

from collections.abc import Mapping

from rootless.oci import media_types
from rootless.oci.image_config import read_image_config
from rootless.oci.manifest import Descriptor, new_manifest
from rootless.oci.reference import Reference
from rootless.store.ingest import Ingest, NewImage
from rootless.store.names import CONFIG_DIGEST
from unionfs.light_types import NamedTuple


class LoadedImage(NamedTuple):
    """An image that load, import or commit has put into the store. `tags` is empty for an image
    without a name."""

    id: str
    tags: tuple[Reference, ...]


def new_image(
    ingest: Ingest,
    config: bytes,
    layers: tuple[Descriptor, ...],
    tags: tuple[Reference, ...],
    annotations: Mapping[str, str] | None = None,
) -> NewImage:
    """Add an OCI manifest over `config` and `layers`, which the ingest holds; returns what to
    publish. Raises InvalidDocumentError for a config that is not one."""
    config_digest = ingest.add_document(config)
    manifest = new_manifest(
        Descriptor(media_types.OCI_CONFIG, config_digest, len(config)), layers, annotations
    )
    descriptor = Descriptor(
        media_types.OCI_MANIFEST,
        ingest.add_document(manifest),
        len(manifest),
        {CONFIG_DIGEST: config_digest},
        read_image_config(config, "image config").platform,
    )
    return NewImage(descriptor, tags)
