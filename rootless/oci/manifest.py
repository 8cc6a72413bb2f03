"""Descriptors, image manifests and image indexes, OCI's and Docker's. Pure.

Every value keeps the document it was read from: `document` for what a caller needs beyond the typed
fields, and the caller keeps the bytes that it read, because a digest is of bytes. image-spec
descriptor.md, manifest.md, image-index.md.
"""

from __future__ import annotations

from rootless.errors import InvalidDocumentError
from rootless.oci import media_types
from rootless.oci.digest import check_sha256
from rootless.oci.document import (
    MAX_DOCUMENT_SIZE,
    Json,
    as_object,
    encode,
    optional,
    parse_object,
    required,
    string_map,
)
from rootless.oci.platform import Platform, normalised
from unionfs.light_types import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_LAYERS = 1000
"""More than any builder makes (docker's own limit is 127); a bound on what one small document can
make us do."""


class Descriptor(NamedTuple):
    """A blob: what it is, its digest, its exact size in bytes."""

    media_type: str
    digest: str
    size: int
    annotations: Mapping[str, str] = {}
    platform: Platform | None = None
    document: Mapping[str, object] = {}
    """As it was read, so that fields that this version does not know are written back."""

    def to_json(self) -> Json:
        """The descriptor as JSON; fields that this version does not know are as they were read."""
        known: Json = {"mediaType": self.media_type, "digest": self.digest, "size": self.size}
        others = {
            key: value for key, value in self.document.items() if key not in (*known, "annotations")
        }
        document = {**known, **others}
        if self.platform is not None and "platform" not in document:
            document["platform"] = {
                "architecture": self.platform.architecture,
                "os": self.platform.os,
                **({"variant": self.platform.variant} if self.platform.variant else {}),
            }
        if self.annotations:
            document["annotations"] = dict(self.annotations)
        return document


def read_descriptor(value: object, what: str) -> Descriptor:
    """A descriptor out of a document. Raises InvalidDocumentError."""
    document = as_object(value, what)
    size = required(document, "size", int, what)
    if size < 0:
        raise InvalidDocumentError(f"{what}: size is negative")
    platform = None
    if (raw := optional(document, "platform", dict, what)) is not None:
        platform = normalised(
            optional(raw, "os", str, what) or "",
            optional(raw, "architecture", str, what) or "",
            optional(raw, "variant", str, what) or "",
        )
    return Descriptor(
        media_type=optional(document, "mediaType", str, what) or "",
        digest=check_sha256(document.get("digest"), what),
        size=size,
        annotations=string_map(document, "annotations", what),
        platform=platform,
        document=document,
    )


class Manifest(NamedTuple):
    """One image for one platform: its config and its layers, bottom first."""

    media_type: str
    config: Descriptor
    layers: tuple[Descriptor, ...]
    document: Json


class Index(NamedTuple):
    """Several manifests under one name. `document` is what `with_manifests` builds on."""

    media_type: str
    manifests: tuple[Descriptor, ...]
    document: Json

    def with_manifests(self, manifests: tuple[Descriptor, ...]) -> Index:
        """This index over other manifests, all else kept."""
        return Index(self.media_type, manifests, self.document)

    def encode(self) -> bytes:
        """The document as JSON."""
        return encode({**self.document, "manifests": [each.to_json() for each in self.manifests]})


def empty_index() -> Index:
    """The index of a layout that holds nothing."""
    return Index(
        media_types.OCI_INDEX, (), {"schemaVersion": 2, "mediaType": media_types.OCI_INDEX}
    )


def _check_kind(document: Json, allowed: frozenset[str], declared: str, what: str) -> str:
    """The document's media type, which must be one of `allowed` and agree with what its descriptor
    declared."""
    if required(document, "schemaVersion", int, what) != 2:
        raise InvalidDocumentError(
            f"{what}: schemaVersion is not 2", hint="Docker's schema 1 is not supported"
        )
    media_type = optional(document, "mediaType", str, what) or declared
    if declared and media_type != declared:
        raise InvalidDocumentError(
            f"{what} has the mediaType {media_type} but its descriptor has {declared}"
        )
    if media_type and media_type not in allowed:
        raise InvalidDocumentError(f"{what} has the media type {media_type}")
    return media_type


def read_manifest(data: bytes, what: str, declared: str = "") -> Manifest:
    """The manifest in `data`; `declared` is the media type by which it was found. Raises
    InvalidDocumentError."""
    document = parse_object(data, what)
    media_type = _check_kind(document, media_types.MANIFESTS, declared, what)
    # A document that is both would be read as one thing by us and as another by the next tool
    # (CVE-2021-41190).
    if "manifests" in document:
        raise InvalidDocumentError(f"{what} is both a manifest and an index")
    layers = required(document, "layers", list, what)
    if len(layers) > MAX_LAYERS:
        raise InvalidDocumentError(f"{what} has {len(layers)} layers, more than {MAX_LAYERS}")
    return Manifest(
        media_type or media_types.OCI_MANIFEST,
        read_descriptor(document.get("config"), f"{what}: config"),
        tuple(read_descriptor(layer, f"{what}: layer {i}") for i, layer in enumerate(layers)),
        document,
    )


def read_index(data: bytes, what: str, declared: str = "", limit: int = MAX_DOCUMENT_SIZE) -> Index:
    """The index in `data`. Raises InvalidDocumentError."""
    document = parse_object(data, what, limit)
    media_type = _check_kind(document, media_types.INDEXES, declared, what)
    if "layers" in document or "config" in document:
        raise InvalidDocumentError(f"{what} is both a manifest and an index")
    manifests = optional(document, "manifests", list, what) or []
    return Index(
        media_type or media_types.OCI_INDEX,
        tuple(read_descriptor(each, f"{what}: manifest {i}") for i, each in enumerate(manifests)),
        document,
    )


def media_type_of(data: bytes, what: str, declared: str = "") -> str:
    """What a document is that may be a manifest or an index: what it was declared to be if that is
    one of the two (some registries call everything JSON), else what it calls itself, else by what it
    has. Raises InvalidDocumentError."""
    if declared in media_types.INDEXES | media_types.MANIFESTS:
        return declared
    document = parse_object(data, what)
    named = optional(document, "mediaType", str, what)
    return named or (media_types.OCI_INDEX if "manifests" in document else media_types.OCI_MANIFEST)


def new_manifest(
    config: Descriptor,
    layers: tuple[Descriptor, ...],
    annotations: Mapping[str, str] | None = None,
) -> bytes:
    """The bytes of an OCI manifest."""
    return encode(
        {
            "schemaVersion": 2,
            "mediaType": media_types.OCI_MANIFEST,
            "config": config.to_json(),
            "layers": [layer.to_json() for layer in layers],
            **({"annotations": dict(annotations)} if annotations else {}),
        }
    )
