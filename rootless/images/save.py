"""save: images of the store as an archive or a directory that docker, podman, skopeo and umoci
read.

First a list of files (pure but for small documents), then their writing, into a tar or a directory.
What is written is hashed on the way, so that a damaged store is noticed by whoever saves from it
and not by whoever loads. Equal images make equal archives.
"""

from __future__ import annotations

import os
import tarfile
from collections.abc import Callable, Iterator, Sequence
from enum import Enum
from pathlib import Path
from typing import NamedTuple

from rootless.durable import (
    TEMPORARY_PREFIX,
    fsync_directory,
    remove_tree,
    replace_file,
    write_all,
)
from rootless.errors import ExistsError, IntegrityError, UsageError
from rootless.oci import media_types
from rootless.oci.digest import hex_of
from rootless.oci.document import encode
from rootless.oci.manifest import empty_index
from rootless.oci.reference import Reference, parse_reference
from rootless.store.image import Image, all_images, layer_files, manifest_of, resolve
from rootless.store.layout import Store
from rootless.store.names import REF_NAME

_PIECE = 1 << 20


class Format(Enum):
    """What podman's --format calls them."""

    DOCKER_ARCHIVE = "docker-archive"
    OCI_ARCHIVE = "oci-archive"
    OCI_DIR = "oci-dir"
    DOCKER_DIR = "docker-dir"


_DIRECTORIES = frozenset({Format.OCI_DIR, Format.DOCKER_DIR})


class SavedImage(NamedTuple):
    """An image and the names under which it is saved; none if it was asked for by id."""

    image: Image
    tags: tuple[Reference, ...]


class _File(NamedTuple):
    """One file of the archive: `content` at hand, or a path whose content has `digest`."""

    name: str
    size: int
    content: bytes = b""
    path: str | None = None
    digest: str = ""


def save(
    store: Store,
    images: Sequence[str],
    output: Path | int,
    format: Format = Format.DOCKER_ARCHIVE,  # noqa: A002 - the option's name
) -> list[SavedImage]:
    """Write images, by name or id, to a file or directory that does not exist as a whole, or to a
    descriptor.

    A repository without a tag stands for all its tags, as in Docker. A file is replaced only once
    the new one is complete; a directory must not exist. Raises NotFoundError, UsageError,
    ExistsError, IntegrityError.
    """
    chosen = choose(store, images)
    files = _FILES[format](store, chosen)
    if format in _DIRECTORIES:
        if isinstance(output, int):
            raise UsageError(
                f"an {format.value} cannot be written to standard output", hint="use -o DIRECTORY"
            )
        _new_directory(output, files)
    elif isinstance(output, int):
        if os.isatty(output):
            raise UsageError(
                "cowardly refusing to save to a terminal", hint="use -o FILE or redirect to a file"
            )
        _write_tar(files, output)
    else:
        new_file(output, lambda fd: _write_tar(files, fd))
    return chosen


def choose(store: Store, names: Sequence[str]) -> list[SavedImage]:
    """Which images, each once, and under which names. Raises NotFoundError."""
    chosen: dict[str, SavedImage] = {}
    for name in names:
        for image, tags in _matching(store, name):
            known = chosen.get(image.entry.digest, SavedImage(image, ())).tags
            more = tuple(tag for tag in tags if tag not in known)
            chosen[image.entry.digest] = SavedImage(image, (*known, *more))
    return list(chosen.values())


def _matching(store: Store, name: str) -> list[SavedImage]:
    try:
        reference = parse_reference(name)
    except UsageError:
        return [SavedImage(resolve(store, name), ())]
    if reference.tag is None and reference.digest is None:
        found = [
            SavedImage(image, tags)
            for image in all_images(store)
            if (tags := tuple(tag for tag in image.tags if tag.name == reference.name))
        ]
        if found:
            return found
    image = resolve(store, name)
    return [SavedImage(image, tuple(tag for tag in image.tags if tag == reference))]


def _docker_files(store: Store, images: Sequence[SavedImage]) -> list[_File]:
    """moby image/spec/v1.2.md: configs, layers (uncompressed), and manifest.json, which says what
    belongs together."""
    files: dict[str, _File] = {}
    listing = []
    for image, tags in images:
        config = store.read_document(image.id, "image config")
        config_name = f"{hex_of(image.id)}.json"
        names = []
        for diff_id, layer in zip(image.diff_ids, layer_files(store, image), strict=True):
            name = f"{hex_of(diff_id)}.tar"
            files[name] = _File(name, os.stat(layer.tar).st_size, path=layer.tar, digest=diff_id)
            names.append(name)
        files[config_name] = _File(config_name, len(config), config)
        listing.append(
            {
                "Config": config_name,
                "RepoTags": [tag.familiar for tag in tags] or None,
                "Layers": names,
            }
        )
    manifest = encode(listing)
    return [*files.values(), _File("manifest.json", len(manifest), manifest)]


def _oci_files(store: Store, images: Sequence[SavedImage]) -> list[_File]:
    """image-spec image-layout.md; every blob as it is in the store."""
    files: dict[str, _File] = {}
    entries = []
    for image, tags in images:
        manifest = manifest_of(store, image)
        for blob in (image.manifest, manifest.config, *manifest.layers):
            path = store.blob_path(blob.digest)
            with store.open_blob(blob.digest, f"blob of image {image.id}") as stream:
                size = os.fstat(stream.fileno()).st_size
            name = f"blobs/sha256/{hex_of(blob.digest)}"
            files[name] = _File(name, size, path=path, digest=blob.digest)
        # What the store notes about an image is nobody else's concern.
        bare = image.manifest._replace(annotations={})
        entries += [bare._replace(annotations={REF_NAME: str(tag)}) for tag in tags] or [bare]
    index = empty_index().with_manifests(tuple(entries)).encode()
    layout = encode({"imageLayoutVersion": "1.0.0"})
    return [
        _File("oci-layout", len(layout), layout),
        _File("index.json", len(index), index),
        *files.values(),
    ]


_AS_DOCKER = {
    media_types.OCI_LAYER: media_types.DOCKER_LAYER_PLAIN,
    media_types.OCI_LAYER_GZIP: media_types.DOCKER_LAYER,
}


def _docker_directory(store: Store, images: Sequence[SavedImage]) -> list[_File]:
    """What skopeo calls `dir:`: blobs by their digits, one Docker manifest (schema 2), a version
    (containers/image, directory/directory_transport.go). Layers compressed with zstd, for which
    there is no type, go out plain. Raises UsageError for several images: there is one manifest."""
    if len(images) != 1:
        raise UsageError("a docker-dir holds one image", hint="save them one by one")
    image = images[0].image
    config = store.read_document(image.id, "image config")
    files = [_File(hex_of(image.id), len(config), config)]
    layers = []
    plain = layer_files(store, image)
    blobs = manifest_of(store, image).layers
    for blob, diff_id, layer in zip(blobs, image.diff_ids, plain, strict=True):
        media_type = _AS_DOCKER.get(blob.media_type, blob.media_type)
        path, digest = store.blob_path(blob.digest), blob.digest
        if media_type not in _AS_DOCKER.values():
            media_type, path, digest = media_types.DOCKER_LAYER_PLAIN, layer.tar, diff_id
        with open(path, "rb") as stream:
            size = os.fstat(stream.fileno()).st_size
        files.append(_File(hex_of(digest), size, path=path, digest=digest))
        layers.append({"mediaType": media_type, "size": size, "digest": digest})
    manifest = encode(
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
    version = b"Directory Transport Version: 1.1\n"
    unique = {file.name: file for file in files}
    return [
        _File("version", len(version), version),
        _File("manifest.json", len(manifest), manifest),
        *unique.values(),
    ]


_FILES = {
    Format.DOCKER_ARCHIVE: _docker_files,
    Format.OCI_ARCHIVE: _oci_files,
    Format.OCI_DIR: _oci_files,
    Format.DOCKER_DIR: _docker_directory,
}


def _pieces(file: _File) -> Iterator[bytes]:
    """The content. Raises IntegrityError if it is not what its digest says; by then it has been
    given out."""
    if file.path is None:
        yield file.content
        return
    import hashlib

    digest, left = hashlib.sha256(), file.size
    with open(file.path, "rb", buffering=0) as stream:
        while left and (piece := stream.read(min(_PIECE, left))):
            digest.update(piece)
            left -= len(piece)
            yield piece
    if left or f"sha256:{digest.hexdigest()}" != file.digest:
        raise IntegrityError(
            f"{file.path} in the store is damaged: it is not {file.digest}",
            hint="remove the image and load or pull it again",
        )


def _write_tar(files: Sequence[_File], fd: int) -> None:
    """A ustar archive; nothing in it depends on when or by whom it was written."""
    made: set[str] = set()
    for file in files:
        for directory in _parents(file.name):
            # containers/image gives directories that it has to invent to root, which fails for
            # others.
            if directory not in made:
                made.add(directory)
                parent = tarfile.TarInfo(directory)
                parent.type, parent.mode = tarfile.DIRTYPE, 0o755
                write_all(fd, parent.tobuf(tarfile.GNU_FORMAT))
        header = tarfile.TarInfo(file.name)
        header.size, header.mode = file.size, 0o644
        write_all(fd, header.tobuf(tarfile.GNU_FORMAT))
        for piece in _pieces(file):
            write_all(fd, piece)
        write_all(fd, bytes(-file.size % tarfile.BLOCKSIZE))
    write_all(fd, bytes(2 * tarfile.BLOCKSIZE))


def _parents(name: str) -> list[str]:
    """`a`, `a/b` for `a/b/c`."""
    parts = name.split("/")[:-1]
    return ["/".join(parts[: i + 1]) for i in range(len(parts))]


def new_file(path: Path, write: Callable[[int], None]) -> None:
    """Replace a regular file as a whole; anything else (a pipe, /dev/stdout) is written to as it
    is."""
    if path.exists() and not path.is_file():
        fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            write(fd)
        finally:
            os.close(fd)
        return
    replace_file(path, write)


def _new_directory(path: Path, files: Sequence[_File]) -> None:
    if path.exists():
        raise ExistsError(f"{path} exists already", hint="name a directory that does not exist")
    temporary = path.parent / f"{TEMPORARY_PREFIX}{os.urandom(6).hex()}"
    temporary.mkdir()
    try:
        for file in files:
            target = temporary / file.name
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("xb") as stream:
                for piece in _pieces(file):
                    stream.write(piece)
                stream.flush()
                os.fsync(stream.fileno())
        os.rename(temporary, path)
    except BaseException:
        remove_tree(temporary)
        raise
    fsync_directory(path.parent)
