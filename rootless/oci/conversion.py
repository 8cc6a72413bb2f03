"""Converts Docker's manifests and lists to OCI's: the fields are the same, the media types are not. Pure.

Readers of OCI layouts (containers/image, umoci) find OCI's types only. Configs and layers keep their
bytes, and so does an image its id; the manifest has another digest.
"""

from __future__ import annotations

from collections.abc import Mapping

from rootless.oci import media_types
from rootless.oci.document import encode
from rootless.oci.manifest import Descriptor, read_index, read_manifest

REFERENCE_DIGEST = "vnd.docker.reference.digest"
"""The annotation by which an attestation manifest names the manifest in the same index that it is about."""

_AS_OCI = {
    media_types.DOCKER_INDEX: media_types.OCI_INDEX,
    media_types.DOCKER_MANIFEST: media_types.OCI_MANIFEST,
    media_types.DOCKER_CONFIG: media_types.OCI_CONFIG,
    media_types.DOCKER_LAYER_PLAIN: media_types.OCI_LAYER,
    media_types.DOCKER_LAYER: media_types.OCI_LAYER_GZIP,
    media_types.DOCKER_LAYER_PLAIN + ".zstd": media_types.OCI_LAYER_ZSTD,
    media_types.DOCKER_FOREIGN_LAYER: media_types.OCI_FOREIGN_LAYER + "+gzip",
}


def as_oci(
    data: bytes, media_type: str, what: str, converted: Mapping[str, Descriptor]
) -> tuple[bytes, str]:
    """A manifest or index as OCI's, and its media type; one that is OCI's already is as it was, unless
    it names a manifest that is among `converted`, by the digest that it had. Raises
    InvalidDocumentError."""
    if media_type in media_types.INDEXES:
        index = read_index(data, what, media_type)
        manifests = tuple(_renamed(each, converted) for each in index.manifests)
        if media_type == media_types.OCI_INDEX and manifests == index.manifests:
            return data, media_type
        document = {**index.document, "mediaType": media_types.OCI_INDEX}
        return index._replace(document=document).with_manifests(manifests).encode(), (
            media_types.OCI_INDEX
        )
    if media_type != media_types.DOCKER_MANIFEST:
        return data, media_type
    manifest = read_manifest(data, what, media_type)
    return encode(
        {
            **manifest.document,
            "mediaType": media_types.OCI_MANIFEST,
            "config": _typed(manifest.config).to_json(),
            "layers": [_typed(layer).to_json() for layer in manifest.layers],
        }
    ), media_types.OCI_MANIFEST


def _typed(descriptor: Descriptor) -> Descriptor:
    return descriptor._replace(media_type=_AS_OCI.get(descriptor.media_type, descriptor.media_type))


def renamed_index(
    data: bytes, media_type: str, what: str, converted: Mapping[str, Descriptor]
) -> bytes:
    """An index whose manifests have become others, by the digests that they had; as it was if none has. Raises
    InvalidDocumentError."""
    index = read_index(data, what, media_type)
    manifests = tuple(_renamed(each, converted) for each in index.manifests)
    return data if manifests == index.manifests else index.with_manifests(manifests).encode()


def _renamed(descriptor: Descriptor, converted: Mapping[str, Descriptor]) -> Descriptor:
    subject = converted.get(descriptor.annotations.get(REFERENCE_DIGEST, ""))
    if subject is not None:
        noted = {**descriptor.annotations, REFERENCE_DIGEST: subject.digest}
        descriptor = descriptor._replace(annotations=noted)
    new = converted.get(descriptor.digest)
    if new is None:
        return descriptor
    return descriptor._replace(media_type=new.media_type, digest=new.digest, size=new.size)
