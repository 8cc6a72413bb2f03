"""The documents of an exported cache, in BuildKit's form. Pure.

A cache is an image manifest, or an index, over layers and a config of the type application/vnd.buildkit.cacheconfig.v0:

    {"layers": [{"blob": DIGEST, "parent": N}, ...],
     "records": [{"digest": KEY, "layers": [{"layer": N, "createdAt": TIME}]}, ...]}

The key of a record is that of a step, as sha256:HEX. BuildKit's keys are digests of other things, so neither builder
finds the steps of the other, and each passes over them. In the config of an image, a base64 text under
moby.buildkit.cache.v0 is the list of records, whose layers are those of the image.
"""

from __future__ import annotations

import base64

from rootless.errors import InvalidDocumentError
from rootless.oci import media_types
from rootless.oci.digest import hex_of, is_digest
from rootless.oci.document import Json, encode, optional, parse_list, parse_object, required
from rootless.oci.manifest import Descriptor, read_index, read_manifest
from unionfs.light_types import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

CONFIG_TYPE = "application/vnd.buildkit.cacheconfig.v0"
INLINE = "moby.buildkit.cache.v0"
"""The field of an image's config."""
_CREATED, _DIFF_ID = "buildkit/createdat", "containerd.io/uncompressed"


class CachedLayer(NamedTuple):
    """A layer of a cache: its blob there, and its diffID."""

    blob: Descriptor
    diff_id: str


class CacheRecord(NamedTuple):
    """A step of a cache: the position of its layer, and when it was made, as RFC 3339."""

    layer: int
    created: str


class CacheDocument(NamedTuple):
    """A cache as it was read: its layers, and its steps by their keys."""

    layers: tuple[CachedLayer, ...]
    records: Mapping[str, CacheRecord]


# Writing


def annotated(blob: Descriptor, diff_id: str, created: str) -> Descriptor:
    """The descriptor of a layer in the manifest of a cache."""
    return blob._replace(annotations={_CREATED: created, _DIFF_ID: diff_id}, document={})


def encode_config(layers: Sequence[Descriptor], records: Mapping[str, CacheRecord]) -> bytes:
    """The config of a cache."""
    document: Json = {
        "layers": [{"blob": each.digest, "parent": -1} for each in layers],
        "records": _records(records),
    }
    return encode(document)


def encode_manifest(
    config: Descriptor, layers: Sequence[Descriptor], *, is_index: bool, has_docker_types: bool
) -> tuple[str, bytes]:
    """The media type and the bytes of the document that names a cache."""
    if is_index or has_docker_types:
        kind = media_types.DOCKER_INDEX if has_docker_types else media_types.OCI_INDEX
        named: Json = {"manifests": [each.to_json() for each in (*layers, config)]}
    else:
        kind = media_types.OCI_MANIFEST
        named = {"config": config.to_json(), "layers": [each.to_json() for each in layers]}
    return kind, encode({"schemaVersion": 2, "mediaType": kind, **named})


def inline_records(records: Mapping[str, CacheRecord]) -> str:
    """The value of INLINE."""
    return base64.b64encode(encode(_records(records))).decode()


def _records(records: Mapping[str, CacheRecord]) -> list[Json]:
    return [
        {"layers": [{"layer": each.layer, "createdAt": each.created}], "digest": f"sha256:{key}"}
        for key, each in sorted(records.items())
    ]


# Reading


def config_of(
    data: bytes, media_type: str, what: str
) -> tuple[Descriptor, tuple[Descriptor, ...]] | None:
    """The config of a cache and its layers, out of the manifest or index in `data`; None if it is no cache but an
    image or an index of images. Raises InvalidDocumentError."""
    if media_type in media_types.INDEXES:
        named = read_index(data, what, media_type).manifests
        configs = [each for each in named if each.media_type == CONFIG_TYPE]
        if not configs:
            return None
        return configs[0], tuple(each for each in named if each.media_type != CONFIG_TYPE)
    manifest = read_manifest(data, what, media_type)
    if manifest.config.media_type != CONFIG_TYPE:
        return None
    return manifest.config, manifest.layers


def read_config(data: bytes, layers: Sequence[Descriptor], what: str) -> CacheDocument:
    """A cache, from its config and the layers that its manifest names. Raises InvalidDocumentError."""
    document = parse_object(data, what)
    by_digest = {each.digest: each for each in layers}
    found = []
    for each in optional(document, "layers", list, what) or []:
        blob = by_digest.get(str(each.get("blob")) if isinstance(each, dict) else "")
        if blob is None:
            raise InvalidDocumentError(f"{what} names a layer that its manifest has not")
        diff_id = blob.annotations.get(_DIFF_ID, "")
        if not is_digest(diff_id):
            raise InvalidDocumentError(f"{what}: layer {blob.digest} has no diffID")
        found.append(CachedLayer(blob._replace(annotations={}, document={}), diff_id))
    records = _read_records(optional(document, "records", list, what) or [], len(found), what)
    return CacheDocument(tuple(found), records)


def read_inline(
    config: Json, layers: Sequence[Descriptor], diff_ids: Sequence[str], what: str
) -> CacheDocument:
    """The cache in the config of an image, which is empty if it has none. Raises InvalidDocumentError."""
    text = optional(config, INLINE, str, what)
    if text is None:
        return CacheDocument((), {})
    try:
        data = base64.b64decode(text, validate=True)
    except ValueError:
        raise InvalidDocumentError(f"the cache in {what} is not base64") from None
    records = parse_list(data, f"the cache in {what}")
    if len(layers) != len(diff_ids):
        raise InvalidDocumentError(f"{what} has not as many layers as diffIDs")
    found = tuple(
        CachedLayer(each._replace(annotations={}, document={}), diff_id)
        for each, diff_id in zip(layers, diff_ids, strict=True)
    )
    return CacheDocument(found, _read_records(records, len(found), what))


def _read_records(values: Sequence[object], count: int, what: str) -> dict[str, CacheRecord]:
    """Those of one layer each; records without results, which BuildKit has, are passed over."""
    found = {}
    for value in values:
        if not isinstance(value, dict):
            raise InvalidDocumentError(f"{what}: records is not a list of objects")
        for result in (optional(value, "layers", list, what) or [])[:1]:
            if not isinstance(result, dict):
                raise InvalidDocumentError(f"{what}: layers is not a list of objects")
            position = optional(result, "layer", int, what) or 0
            if not 0 <= position < count:
                raise InvalidDocumentError(f"{what}: layer {position} is missing")
            key = hex_of(required(value, "digest", str, what))
            created = optional(result, "createdAt", str, what) or ""
            found[key] = CacheRecord(position, created)
    return found
