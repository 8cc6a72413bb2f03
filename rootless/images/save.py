"""save: images of the store as an archive or a directory that docker, podman, skopeo and umoci
read.

First a list of files (pure but for small documents), then their writing, into a tar or a directory.
Equal images make equal archives.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from enum import Enum
from pathlib import Path
from typing import NamedTuple

from rootless.errors import UsageError
from rootless.images.formats.directory_format import DirectoryWriter
from rootless.images.formats.oci_layout import BLOBS, CONTAINERD_NAME, LAYOUT
from rootless.images.formats.outgoing import File, file_of, new_directory, new_file, put, write_tar
from rootless.oci import media_types
from rootless.oci.conversion import as_oci
from rootless.oci.digest import hex_of
from rootless.oci.document import Json, encode
from rootless.oci.manifest import Descriptor, empty_index, new_manifest, read_manifest
from rootless.oci.platform import Platform
from rootless.oci.reference import Reference, parse_reference
from rootless.store.counting import Moved
from rootless.store.image import (
    Image,
    all_images,
    manifest_of,
    manifests_of_index,
    resolve,
)
from rootless.store.layers import layer_files, layer_size
from rootless.store.layout import Store
from rootless.store.names import REF_NAME


class Format(Enum):
    """The formats, by their names in podman save --format."""

    DOCKER_ARCHIVE = "docker-archive"
    OCI_ARCHIVE = "oci-archive"
    OCI_DIR = "oci-dir"
    DOCKER_DIR = "docker-dir"


_DIRECTORIES = frozenset({Format.OCI_DIR, Format.DOCKER_DIR})


class SavedImage(NamedTuple):
    """An image and the names under which it is saved; none if it was asked for by id."""

    image: Image
    tags: tuple[Reference, ...]
    is_whole: bool = True
    """Whether an OCI format has all that an index names, and not the image for one platform alone."""


def save(
    store: Store,
    images: Sequence[str],
    output: Path | int,
    format: Format = Format.DOCKER_ARCHIVE,  # noqa: A002 - the option's name
    *,
    platform: Platform | None = None,
    moved: Moved | None = None,
) -> list[SavedImage]:
    """Write images, by name or id, to a file or directory that does not exist as a whole, or to a
    descriptor.

    `moved` is called with the size of each piece that was written to an archive.

    A repository without a tag stands for all its tags, as in Docker. An image for another platform
    than the one that is asked for is a NotFoundError. A file is replaced only once
    the new one is complete; a directory must not exist. Raises NotFoundError, UsageError,
    ExistsError, IntegrityError.
    """
    chosen = choose(store, images, platform)
    if format in _DIRECTORIES:
        if isinstance(output, int):
            raise UsageError(
                f"an {format.value} cannot be written to standard output", hint="use -o DIRECTORY"
            )
        _save_directory(store, chosen, output, format)
        return chosen
    files = _FILES[format](store, chosen)
    if isinstance(output, int):
        if os.isatty(output):
            raise UsageError(
                "cowardly refusing to save to a terminal", hint="use -o FILE or redirect to a file"
            )
        write_tar(files, output, moved)
    else:
        new_file(output, lambda fd: write_tar(files, fd, moved))
    return chosen


def save_image(
    store: Store,
    image: Image,
    tags: tuple[Reference, ...],
    output: Path | int,
    format: Format,  # noqa: A002 - as above
) -> None:
    """Write one image under names that it need not have in the store. Raises OSError."""
    images = [SavedImage(image, tags)]
    if format in _DIRECTORIES:
        assert isinstance(output, Path)  # the caller has looked
        _save_directory(store, images, output, format)
        return
    make = _docker_files if format is Format.DOCKER_ARCHIVE else _oci_files
    files = make(store, images)
    if isinstance(output, int):
        write_tar(files, output)
    else:
        new_file(output, lambda descriptor: write_tar(files, descriptor))


def choose(
    store: Store, names: Sequence[str], platform: Platform | None = None
) -> list[SavedImage]:
    """The images to save, each once, with their names. Raises NotFoundError."""
    chosen: dict[str, SavedImage] = {}
    for name in names:
        for image, tags, _ in _matching(store, name, platform):
            known = chosen.get(image.entry.digest, SavedImage(image, ())).tags
            more = tuple(tag for tag in tags if tag not in known)
            chosen[image.entry.digest] = SavedImage(image, (*known, *more), platform is None)
    return list(chosen.values())


def _matching(store: Store, name: str, platform: Platform | None) -> list[SavedImage]:
    try:
        reference = parse_reference(name)
    except UsageError:
        return [SavedImage(resolve(store, name, platform), ())]
    if reference.tag is None and reference.digest is None:
        found = [
            SavedImage(image if platform is None else resolve(store, image.id, platform), tags)
            for image in all_images(store)
            if (tags := tuple(tag for tag in image.tags if tag.name == reference.name))
        ]
        if found:
            return found
    image = resolve(store, name, platform)
    return [SavedImage(image, tuple(tag for tag in image.tags if tag == reference))]


class _Blobs:
    """The files of a layout, each once, under the names of their digests."""

    def __init__(self) -> None:
        self.files: dict[str, File] = {}

    def add(self, file: File) -> File:
        name = f"{BLOBS}{hex_of(file.digest)}"
        return self.files.setdefault(name, file._replace(name=name))


def _docker_files(store: Store, images: Sequence[SavedImage]) -> list[File]:
    """What docker 25 and later write: an OCI layout of uncompressed layers that is a docker-archive as
    well (moby image/spec/v1.2.md), so that either kind of reader finds all of it: `manifest.json` lists
    configs and layers of each image, `repositories` the top layer of each name."""
    blobs = _Blobs()
    listing: list[Json] = []
    entries: list[Descriptor] = []
    repositories: dict[str, dict[str, str]] = {}
    for image, tags, _ in images:
        config = blobs.add(file_of("", store.read_document(image.id, "image config")))
        layers = [
            blobs.add(File("", layer_size(store, diff_id), Path(layer.tar), diff_id))
            for diff_id, layer in zip(image.diff_ids, layer_files(store, image), strict=True)
        ]
        descriptors = tuple(
            Descriptor(media_types.OCI_LAYER, layer.digest, layer.size) for layer in layers
        )
        of_config = Descriptor(media_types.OCI_CONFIG, config.digest, config.size)
        manifest = blobs.add(file_of("", new_manifest(of_config, descriptors)))
        entry = Descriptor(media_types.OCI_MANIFEST, manifest.digest, manifest.size)
        entries += [_tagged(entry, tag) for tag in tags] or [entry]
        listing.append(
            {
                "Config": config.name,
                "RepoTags": [tag.familiar for tag in tags] or None,
                "Layers": [layer.name for layer in layers],
                "LayerSources": {each.digest: each.to_json() for each in descriptors},
            }
        )
        for tag in tags if layers else ():
            by_tag = repositories.setdefault(tag.familiar_name, {})
            by_tag[tag.tag or ""] = hex_of(layers[-1].digest)
    index = empty_index().with_manifests(tuple(entries)).encode()
    return [
        *blobs.files.values(),
        file_of("index.json", index),
        file_of("manifest.json", encode(listing)),
        file_of("oci-layout", LAYOUT),
        *([file_of("repositories", encode(repositories))] if repositories else []),
    ]


def _tagged(entry: Descriptor, tag: Reference) -> Descriptor:
    """As containerd names an entry: the whole name in its own annotation, the tag alone in OCI's."""
    return entry._replace(annotations={CONTAINERD_NAME: str(tag), REF_NAME: tag.tag or ""})


def _oci_files(store: Store, images: Sequence[SavedImage]) -> list[File]:
    """image-spec image-layout.md; every blob as it is in the store, manifests as OCI's."""
    blobs = _Blobs()
    entries = []
    for image, tags, is_whole in images:
        top = image.entry if is_whole else image.manifest
        # What the store notes about an image is not for other tools.
        bare = _add_oci(store, blobs, top._replace(annotations={}))
        entries += [bare._replace(annotations={REF_NAME: str(tag)}) for tag in tags] or [bare]
    index = empty_index().with_manifests(tuple(entries)).encode()
    return [file_of("oci-layout", LAYOUT), file_of("index.json", index), *blobs.files.values()]


def _add_oci(store: Store, blobs: _Blobs, descriptor: Descriptor) -> Descriptor:
    """Add a manifest, or an index, with all that it names and is in the store; its descriptor as it is then."""
    data = store.read_document(descriptor.digest, "image manifest")
    what = f"image manifest {descriptor.digest}"
    converted: dict[str, Descriptor] = {}
    if descriptor.media_type in media_types.INDEXES:
        for each in manifests_of_index(store, descriptor):
            if store.has_blob(each.digest):
                converted[each.digest] = _add_oci(store, blobs, each)
    else:
        manifest = read_manifest(data, what, descriptor.media_type)
        for blob in (manifest.config, *manifest.layers):
            with store.open_blob(blob.digest, f"blob of {what}") as stream:
                size = os.fstat(stream.fileno()).st_size
            blobs.add(File("", size, Path(store.blob_to_read(blob.digest)), blob.digest))
    data, media_type = as_oci(data, descriptor.media_type, what, converted)
    document = blobs.add(file_of("", data))
    return descriptor._replace(media_type=media_type, digest=document.digest, size=document.size)


_AS_DOCKER = {
    media_types.OCI_LAYER: media_types.DOCKER_LAYER_PLAIN,
    media_types.OCI_LAYER_GZIP: media_types.DOCKER_LAYER,
}


def _save_directory(
    store: Store,
    images: Sequence[SavedImage],
    path: Path,
    format: Format,  # noqa: A002 - as above
) -> None:
    if format is Format.DOCKER_DIR:
        if len(images) != 1:
            raise UsageError("a docker-dir holds one image", hint="save them one by one")
        new_directory(path, lambda inside: _fill_docker_directory(store, images[0].image, inside))
        return
    files = _oci_files(store, images)

    def fill(inside: Path) -> None:
        for file in files:
            put(file, inside)

    new_directory(path, fill)


def _fill_docker_directory(store: Store, image: Image, path: Path) -> None:
    """One Docker manifest (schema 2), as podman has it. Layers compressed with zstd, for which there
    is no type, go out plain."""
    writer = DirectoryWriter(path)
    config = store.read_document(image.id, "image config")
    writer.put_blob(file_of("", config))
    layers = []
    plain = layer_files(store, image)
    blobs = manifest_of(store, image).layers
    for blob, diff_id, layer in zip(blobs, image.diff_ids, plain, strict=True):
        media_type = _AS_DOCKER.get(blob.media_type, blob.media_type)
        source, digest = store.blob_to_read(blob.digest), blob.digest
        if media_type not in _AS_DOCKER.values():
            media_type, source, digest = media_types.DOCKER_LAYER_PLAIN, layer.tar, diff_id
        size = os.stat(source).st_size
        writer.put_blob(File("", size, Path(source), digest))
        layers.append({"mediaType": media_type, "size": size, "digest": digest})
    writer.finish(
        encode(
            {
                "schemaVersion": 2,
                "mediaType": media_types.DOCKER_MANIFEST,
                "config": {
                    "mediaType": media_types.DOCKER_CONFIG,
                    "size": len(config),
                    "digest": image.id,
                },
                "layers": layers,
            }
        )
    )


_FILES = {Format.DOCKER_ARCHIVE: _docker_files, Format.OCI_ARCHIVE: _oci_files}
