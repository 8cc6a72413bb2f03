"""copy: an image from one location to another, verified on the way.

The image is brought into a store of its own under tmp/, which is swept whatever happens, with all the
checks that a pull or load has; from there it goes to where it is to be. Neither end's names touch the
caller's store unless it is one of the ends. Manifests keep their bytes, and so their digests, except
into a docker-archive, which has none, where a registry gets layers that were not compressed, and where
one of Docker's goes into an OCI layout.
"""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import NamedTuple

from rootless.errors import ExistsError, UsageError
from rootless.images.formats.directory_format import DirectoryWriter
from rootless.images.formats.oci_layout import LayoutWriter, files_of_layout
from rootless.images.formats.outgoing import File, new_file, write_tar
from rootless.images.load import load
from rootless.images.save import Format, save
from rootless.images.tag import tag
from rootless.images.transfer.copy_index import copy_index
from rootless.images.transfer.locations import Kind, Location, parse_location
from rootless.images.transfer.progress import Progress
from rootless.images.transfer.pull import pull
from rootless.images.transfer.push import push
from rootless.oci.platform import Platform
from rootless.oci.reference import parse_reference
from rootless.registry.configuration import ClientEnv
from rootless.registry.remote import RemoteOptions
from rootless.store.image import Image, manifest_of, resolve
from rootless.store.ingest import Ingest, NewImage
from rootless.store.layers import layer_files
from rootless.store.layout import Store
from rootless.store.names import CONFIG_DIGEST


class MultiArch(Enum):
    """The images of an index to copy: the values of skopeo's --multi-arch."""

    SYSTEM = "system"
    ALL = "all"
    INDEX_ONLY = "index-only"


class CopyOptions(NamedTuple):
    """Registry options of the source and the destination; `progress` shows uploads and downloads."""

    source: RemoteOptions = RemoteOptions()
    destination: RemoteOptions = RemoteOptions()
    platform: Platform | None = None
    progress: Progress | None = None
    multi_arch: MultiArch = MultiArch.SYSTEM


def copy(
    store: Store,
    source: str,
    destination: str,
    env: ClientEnv,
    options: CopyOptions,
) -> str:
    """Copy an image; returns the digest of its manifest at the destination. Raises UsageError,
    NotFoundError, ExistsError, IntegrityError and what registries raise."""
    start, end = parse_location(source), parse_location(destination)
    with Ingest(store) as ingest:
        if options.multi_arch is not MultiArch.SYSTEM:
            digest = copy_index(
                store,
                ingest.directory,
                start,
                end,
                env=env,
                source_options=options.source,
                target_options=options.destination,
                images=options.multi_arch is MultiArch.ALL,
                progress=options.progress,
            )
            if digest is not None:
                return digest
        between = Store.open(ingest.directory / "copy")
        image = _bring(store, between, start, env, options)
        if end.kind is Kind.LOCAL:
            return import_image(between, store, image, end.name).manifest.digest
        return _deliver(between, image, end, env, options)


def _bring(
    store: Store,
    between: Store,
    start: Location,
    env: ClientEnv,
    options: CopyOptions,
) -> Image:
    if start.kind is Kind.REGISTRY:
        [pulled] = pull(
            between,
            start.name,
            env,
            options=options.source,
            platform=options.platform,
            progress=options.progress,
        )
        return resolve(between, pulled.id)
    if start.kind is Kind.LOCAL:
        return import_image(store, between, resolve(store, start.name, options.platform), "")
    loaded = load(between, start.path, platform=options.platform, name=start.name)
    if len(loaded) > 1:
        raise UsageError(
            f"{start.path} holds several images", hint="append :NAME to the path to choose one"
        )
    return resolve(between, loaded[0].id)


def _deliver(
    between: Store,
    image: Image,
    end: Location,
    env: ClientEnv,
    options: CopyOptions,
) -> str:
    """Returns the digest of the manifest as it is there."""
    if end.kind is Kind.REGISTRY:
        target = parse_reference(end.name)
        [pushed] = push(
            between,
            image.id,
            env,
            options=options.destination,
            target=target,
            progress=options.progress,
        )
        return pushed.digest
    if end.kind is Kind.DIRECTORY:
        directory = DirectoryWriter(end.path)
        for blob in _blobs(between, image):
            directory.put_blob(blob)
        directory.finish(between.read_document(image.manifest.digest, "image manifest"))
    elif end.kind is Kind.OCI:
        return _add_to_layout(between, image, end.path, end.name)
    elif end.kind is Kind.OCI_ARCHIVE:
        if end.path.exists():
            raise ExistsError(f"{end.path} exists already")
        layout = Path(between.root) / "archive"
        digest = _add_to_layout(between, image, layout, end.name)
        new_file(end.path, lambda fd: write_tar(files_of_layout(layout), fd), 0o644)
        return digest
    else:
        named = image.id
        if end.name:
            tag(between, image.id, end.name)
            named = end.name
        if end.path.exists():
            raise ExistsError(f"{end.path} exists already")
        save(between, [named], end.path, Format.DOCKER_ARCHIVE)
    return image.manifest.digest


def _blobs(store: Store, image: Image) -> list[File]:
    manifest = manifest_of(store, image)
    return [
        File("", blob.size, Path(store.blob_to_read(blob.digest)), blob.digest)
        for blob in (manifest.config, *manifest.layers)
    ]


def _add_to_layout(store: Store, image: Image, path: Path, name: str) -> str:
    layout = LayoutWriter(path)
    for blob in _blobs(store, image):
        layout.put_blob(blob)
    data = store.read_document(image.manifest.digest, "image manifest")
    written = layout.put_document(data, manifest_of(store, image).media_type)
    layout.finish(written, name)
    return written.digest


def import_image(source: Store, target: Store, image: Image, name: str) -> Image:
    """An image of one store in another, by hard links where they are on one file system."""
    tags = (parse_reference(name).with_default_tag(),) if name else ()
    with Ingest(target) as ingest:
        layer_files(source, image)
        manifest = manifest_of(source, image)
        for diff_id in image.diff_ids:
            if not ingest.keep_layer(diff_id):
                ingest.import_layer(source, diff_id)
        for blob in (image.manifest, manifest.config, *manifest.layers):
            if not ingest.keep_blob(blob.digest):
                ingest.import_blob(source, blob.digest)
        descriptor = image.manifest._replace(
            annotations={CONFIG_DIGEST: image.id}, platform=image.platform, document={}
        )
        ingest.publish([NewImage(descriptor, tags)])
    return resolve(target, image.id)
