"""copy: an image from one place to another, verified on the way.

The image is brought into a store of its own under tmp/, which is swept whatever happens, with all the
checks that a pull or load has; from there it goes to where it is to be. Neither end's names touch the
caller's store unless it is one of the ends. Manifests keep their bytes, and so their digests, except
into a docker-archive, which has none, and where a registry gets layers that were not compressed.
"""

from __future__ import annotations

import tarfile
from pathlib import Path
from typing import NamedTuple

from rootless.errors import ExistsError, NotFoundError, UsageError
from rootless.images.directory_format import add_to_layout, layout_of_directory, write_directory
from rootless.images.load import load
from rootless.images.locations import Kind, Location, parse_location
from rootless.images.progress import Progress
from rootless.images.pull import pull
from rootless.images.push import push
from rootless.images.save import Format, save
from rootless.images.tag import tag
from rootless.oci.platform import Platform
from rootless.oci.reference import parse_reference
from rootless.registry.configuration import Surroundings
from rootless.registry.remote import RemoteOptions
from rootless.store.image import Image, layer_files, manifest_of, resolve
from rootless.store.ingest import Ingest, NewImage
from rootless.store.layout import Store
from rootless.store.names import CONFIG_DIGEST


class CopyOptions(NamedTuple):
    """How to speak to either end, where it is a registry; `progress` shows what is done there."""

    source: RemoteOptions = RemoteOptions()
    destination: RemoteOptions = RemoteOptions()
    platform: Platform | None = None
    progress: Progress | None = None


def copy(
    store: Store,
    source: str,
    destination: str,
    around: Surroundings,
    options: CopyOptions,
) -> str:
    """Copy an image; returns the digest of the manifest that was copied. Raises UsageError,
    NotFoundError, ExistsError, IntegrityError and what registries raise."""
    start, end = parse_location(source), parse_location(destination)
    with Ingest(store) as ingest:
        between = Store.open(ingest.directory / "copy")
        image = _bring(store, between, start, around, options)
        if end.kind is Kind.LOCAL:
            adopt(between, store, image, end.name)
        else:
            _deliver(between, image, end, around, options)
        return image.manifest.digest


def _bring(
    store: Store,
    between: Store,
    start: Location,
    around: Surroundings,
    options: CopyOptions,
) -> Image:
    if start.kind is Kind.REGISTRY:
        [pulled] = pull(
            between,
            start.name,
            around,
            options=options.source,
            platform=options.platform,
            progress=options.progress,
        )
        return resolve(between, pulled.id)
    if start.kind is Kind.LOCAL:
        return adopt(store, between, resolve(store, start.name, options.platform), "")
    path = start.path
    if start.kind is Kind.DIRECTORY:
        path = Path(between.root) / "layout"
        layout_of_directory(start.path, path)
    loaded = load(between, path, platform=options.platform)
    if start.name:
        wanted = parse_reference(start.name).with_default_tag()
        loaded = [image for image in loaded if wanted in image.tags]
        if not loaded:
            raise NotFoundError(f"{start.path} holds no image named {start.name}")
    if len(loaded) > 1:
        raise UsageError(
            f"{start.path} holds several images", hint="say which: append :NAME to the path"
        )
    return resolve(between, loaded[0].id)


def _deliver(
    between: Store,
    image: Image,
    end: Location,
    around: Surroundings,
    options: CopyOptions,
) -> None:
    if end.kind is Kind.REGISTRY:
        target = parse_reference(end.name)
        push(
            between,
            image.id,
            around,
            options=options.destination,
            target=target,
            progress=options.progress,
        )
    elif end.kind is Kind.DIRECTORY:
        write_directory(between, image, end.path)
    elif end.kind is Kind.OCI:
        add_to_layout(between, image, end.path, end.name)
    elif end.kind is Kind.OCI_ARCHIVE:
        layout = Path(between.root) / "archive"
        add_to_layout(between, image, layout, end.name)
        _write_archive(layout, end.path)
    else:
        named = image.id
        if end.name:
            tag(between, image.id, end.name)
            named = end.name
        if end.path.exists():
            raise ExistsError(f"{end.path} exists already")
        save(between, [named], end.path, Format.DOCKER_ARCHIVE)


def adopt(source: Store, target: Store, image: Image, name: str) -> Image:
    """An image of one store in another, by hard links where they are on one file system."""
    tags = (parse_reference(name).with_default_tag(),) if name else ()
    with Ingest(target) as ingest:
        layer_files(source, image)
        manifest = manifest_of(source, image)
        for diff_id in image.diff_ids:
            if not ingest.keep_layer(diff_id):
                ingest.adopt_layer(source, diff_id)
        for blob in (image.manifest, manifest.config, *manifest.layers):
            if not ingest.keep_blob(blob.digest):
                ingest.adopt_blob(source, blob.digest)
        descriptor = image.manifest._replace(
            annotations={CONFIG_DIGEST: image.id}, platform=image.platform, document={}
        )
        ingest.publish([NewImage(descriptor, tags)])
    return resolve(target, image.id)


def _write_archive(layout: Path, path: Path) -> None:
    if path.exists():
        raise ExistsError(f"{path} exists already")

    def plain(member: tarfile.TarInfo) -> tarfile.TarInfo:
        member.uid = member.gid = 0
        member.uname = member.gname = ""
        member.mtime = 0
        return member

    temporary = path.with_name(f".tmp-{path.name}")
    try:
        with tarfile.open(temporary, "w", format=tarfile.GNU_FORMAT) as archive:
            for entry in sorted(layout.rglob("*")):
                name = entry.relative_to(layout).as_posix()
                archive.add(entry, name, recursive=False, filter=plain)
        temporary.rename(path)
    finally:
        temporary.unlink(missing_ok=True)
