"""load: images out of a docker-archive, an oci-archive, an OCI layout directory or a `dir:`.

All images of an archive appear at once at the end, or, if anything is wrong with any of them, none
does.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from rootless.errors import InvalidDocumentError, NotFoundError
from rootless.images.formats import docker_archive
from rootless.images.formats.directory_format import DirectoryAsLayout, is_directory_format
from rootless.images.formats.members import Members
from rootless.images.formats.oci_layout import (
    BLOBS,
    blob_document,
    entries_named,
    reference_named,
    repo_digest_of_entry,
    tags_of_entry,
)
from rootless.images.formats.source import open_source
from rootless.images.new_image import LoadedImage, new_image
from rootless.oci import media_types
from rootless.oci.digest import hex_of
from rootless.oci.document import encode
from rootless.oci.image_config import read_image_config
from rootless.oci.manifest import Descriptor, read_index, read_manifest
from rootless.oci.platform import Platform, choose_platform, host_platform, offer_hint
from rootless.oci.reference import Reference
from rootless.store.chains import chain_index
from rootless.store.counting import Moved
from rootless.store.decompression import Limits
from rootless.store.image import resolve
from rootless.store.ingest import Ingest, NewImage
from rootless.store.layout import Store
from rootless.store.names import CONFIG_DIGEST, REPO_DIGEST

_MAX_INDEX_DEPTH = 4


def load(
    store: Store,
    source: Path | int,
    *,
    platform: Platform | None = None,
    limits: Limits | None = None,
    name: str = "",
    moved: Moved | None = None,
) -> list[LoadedImage]:
    """Load every image of an archive, given as a path (of a file or of a layout directory) or as a
    descriptor to read from; or the one that `name` means there, a name of whatever kind, or, in a
    docker-archive, `@` and its number (containers-transports(5)).

    `moved` is called with the size of each piece of a layer that was read.

    Of an index for several platforms the image for `platform` (this machine's by default) is taken.
    Raises InvalidDocumentError, IntegrityError, NotFoundError; then the store is as it was.
    """
    limits = limits or Limits()
    store.require_writable()
    with (
        Ingest(store, limits, moved) as ingest,
        open_source(source, ingest.directory, limits) as members,
    ):
        images = _load_members(ingest, members, platform or host_platform(), name)
        if not images:
            raise NotFoundError(f"{members.label} holds no image named {name}")
        ingest.publish(images)
    loaded = _merged(images)
    # Not needed to use an image, but the first start should not be the one to pay for it.
    for image in loaded:
        try:
            chain_index(store, resolve(store, image.id))
        except NotFoundError:
            continue
    return loaded


def _load_members(
    ingest: Ingest, members: Members, platform: Platform, name: str
) -> list[NewImage]:
    """The images of an archive in the format that it has. Raises InvalidDocumentError if it has none."""
    # `@NUMBER` counts the images of a docker-archive, which may be an OCI layout as well.
    numbered = name.startswith("@") and members.has(docker_archive.MANIFEST)
    if members.has("index.json") and not numbered:
        return _load_layout(ingest, members, platform, name)
    if is_directory_format(members):
        return _load_layout(ingest, DirectoryAsLayout(members), platform, "")
    if members.has(docker_archive.MANIFEST):
        return [
            _load_archived(ingest, members, each)
            for number, each in enumerate(docker_archive.read_archived_images(members))
            if not name or name == f"@{number}" or reference_named(name) in each.tags
        ]
    if members.has(docker_archive.REPOSITORIES):
        return [
            _load_legacy(ingest, members, each)
            for each in docker_archive.read_legacy_images(members)
            if not name or reference_named(name) in each.tags
        ]
    raise InvalidDocumentError(
        f"{members.label} is not an image: it has neither manifest.json nor index.json",
        hint="a root file system in a tar archive is imported by `rootless import`",
    )


def _merged(images: Sequence[NewImage]) -> list[LoadedImage]:
    """One entry per image, its tags together, in the order of the archive."""
    tags: dict[str, tuple[Reference, ...]] = {}
    for image in images:
        image_id = image.manifest.annotations[CONFIG_DIGEST]
        tags[image_id] = (*tags.get(image_id, ()), *image.tags)
    return [LoadedImage(image_id, names) for image_id, names in tags.items()]


# docker-archive


def _add_member_layer(
    ingest: Ingest, members: Members, name: str, diff_id: str | None
) -> tuple[Descriptor, str]:
    """A layer of an archive as a blob; its descriptor and diffID. One that the store has is not
    read."""
    if diff_id is not None and (kept := ingest.keep_layer_as_blob(diff_id)) is not None:
        return Descriptor(media_types.OCI_LAYER, kept[0], kept[1]), diff_id
    what = f"layer {name} in {members.label}"
    written = ingest.add_layer(members.reader(name), what, diff_id=diff_id)
    media_type = media_types.OCI_LAYER_FOR_COMPRESSION.get(written.compression)
    if media_type is None:
        raise InvalidDocumentError(
            f"{what} is compressed with {written.compression}, which is not allowed in an image"
        )
    return Descriptor(media_type, written.digest, written.blob_size), written.diff_id


def _load_archived(
    ingest: Ingest, members: Members, image: docker_archive.ArchivedImage
) -> NewImage:
    layers = tuple(
        _add_member_layer(ingest, members, name, diff_id)[0]
        for name, diff_id in zip(image.layers, image.config.diff_ids, strict=True)
    )
    return new_image(ingest, image.config_bytes, layers, image.tags)


def _load_legacy(ingest: Ingest, members: Members, image: docker_archive.LegacyImage) -> NewImage:
    added = [_add_member_layer(ingest, members, name, None) for name in image.layers]
    config = docker_archive.config_of_legacy(
        image.documents, tuple(diff_id for _, diff_id in added)
    )
    layers = tuple(descriptor for descriptor, _ in added)
    return new_image(ingest, encode(config), layers, image.tags)


# OCI layout, as a directory or in an archive


def _load_layout(ingest: Ingest, members: Members, platform: Platform, name: str) -> list[NewImage]:
    entries = entries_named(members, name)
    if len(entries) > docker_archive.MAX_IMAGES:
        raise InvalidDocumentError(
            f"index.json in {members.label} lists {len(entries)} images, more than "
            f"{docker_archive.MAX_IMAGES}",
            hint="copy them by name: rootless copy oci:PATH:NAME local:NAME",
        )
    images: list[NewImage] = []
    # The same image under many names is read once.
    known: dict[str, NewImage | None] = {}
    for entry in entries:
        if entry.digest not in known:
            manifest = _choose(members, entry, platform)
            known[entry.digest] = manifest and _load_manifest(ingest, members, manifest)
        image = known[entry.digest]
        if image is not None:
            images.append(_named(image, entry))
    if not images:
        raise NotFoundError(
            f"{members.label} holds no image for {platform}",
            hint=offer_hint(_platforms(members, entries)),
        )
    return images


def _named(image: NewImage, entry: Descriptor) -> NewImage:
    """An image under the name that its entry in a layout gives it."""
    repo_digest = repo_digest_of_entry(entry)
    if repo_digest is None:
        return image._replace(tags=tags_of_entry(entry))
    annotations = {**image.manifest.annotations, REPO_DIGEST: repo_digest}
    manifest = image.manifest._replace(annotations=annotations)
    return NewImage(manifest, tags_of_entry(entry))


def _choose(
    members: Members, entry: Descriptor, platform: Platform, depth: int = 0
) -> Descriptor | None:
    """The image manifest that an entry of an index leads to; None if it is for other machines or no
    image at all."""
    if entry.media_type in media_types.MANIFESTS or not entry.media_type:
        return entry
    if entry.media_type not in media_types.INDEXES:
        return None
    if depth == _MAX_INDEX_DEPTH:
        raise InvalidDocumentError(f"index {entry.digest} in {members.label} is nested too deeply")
    what = f"index {entry.digest} in {members.label}"
    inner = read_index(blob_document(members, entry), what, entry.media_type).manifests
    position = choose_platform(platform, [each.platform for each in inner])
    return None if position is None else _choose(members, inner[position], platform, depth + 1)


def _platforms(
    members: Members, entries: Iterable[Descriptor], depth: int = 0
) -> Iterator[Platform | None]:
    """Those that the entries of an index, and of the indexes in it, are for."""
    for entry in entries:
        if entry.media_type in media_types.INDEXES and depth < _MAX_INDEX_DEPTH:
            what = f"index {entry.digest} in {members.label}"
            inner = read_index(blob_document(members, entry), what, entry.media_type)
            yield from _platforms(members, inner.manifests, depth + 1)
        else:
            yield entry.platform


def _load_manifest(ingest: Ingest, members: Members, entry: Descriptor) -> NewImage:
    what = f"manifest {entry.digest} in {members.label}"
    data = blob_document(members, entry)
    manifest = read_manifest(data, what, entry.media_type)
    if manifest.config.media_type not in media_types.CONFIGS:
        raise InvalidDocumentError(
            f"{what} is not a container image: its config is {manifest.config.media_type}"
        )
    config_data = blob_document(members, manifest.config)
    config = read_image_config(config_data, f"config {manifest.config.digest} in {members.label}")
    if len(manifest.layers) != len(config.diff_ids):
        raise InvalidDocumentError(
            f"{what} has {len(manifest.layers)} layers but its config has {len(config.diff_ids)}"
        )
    for layer, diff_id in zip(manifest.layers, config.diff_ids, strict=True):
        _add_blob_layer(ingest, members, layer, diff_id)
    ingest.add_document(config_data)
    ingest.add_document(data)
    annotations = {CONFIG_DIGEST: manifest.config.digest}
    descriptor = entry._replace(
        media_type=manifest.media_type,
        annotations=annotations,
        platform=config.platform,
        document={},
    )
    return NewImage(descriptor, ())


def _add_blob_layer(ingest: Ingest, members: Members, layer: Descriptor, diff_id: str) -> None:
    what = f"layer {layer.digest} in {members.label}"
    promised = media_types.LAYER_COMPRESSION.get(layer.media_type)
    if promised is None:
        raise InvalidDocumentError(
            f"{what} has media type {layer.media_type}, which is not a layer"
        )
    if ingest.keep_blob(layer.digest, layer.size) and ingest.keep_layer(diff_id):
        return
    written = ingest.add_layer(
        members.reader(f"{BLOBS}{hex_of(layer.digest)}"), what, diff_id=diff_id, blob=layer
    )
    # Layers that are labelled gzip and are plain, or zstd, exist; every reader goes by the content.
    if written.compression not in media_types.OCI_LAYER_FOR_COMPRESSION:
        raise InvalidDocumentError(
            f"{what} is {written.compression}, not {promised} as its media type says"
        )
