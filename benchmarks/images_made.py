"""Images to measure with: the same bytes for the same size, about as compressible as programs and their documents.

An image is written in every form that is measured: uncompressed layers, gzipped layers, a docker-archive, and the blobs for a
registry.
"""

from __future__ import annotations

import hashlib
import http.client
import io
import json
import os
import random
import shutil
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote, urlsplit

EPOCH = 1_700_000_000
_PIECE = 1 << 20
_POOL = 4 << 20
_CUT = 4096
_TYPE = "application/vnd.oci.image."


class Size(NamedTuple):
    """Of an image: number of files, bytes of all files, number of layers."""

    files: int
    content: int
    layers: int = 1


class Layer(NamedTuple):
    """The archive, and its blob in a registry."""

    tar: Path
    diff_id: str
    blob: Path
    digest: str


class MadeImage(NamedTuple):
    """`id` is the image id of engines: the digest of the config."""

    layers: tuple[Layer, ...]
    config: bytes
    manifest: bytes
    id: str
    archive: Path
    archive_tag: str

    @property
    def content_size(self) -> int:
        return sum(layer.tar.stat().st_size for layer in self.layers)


def make_image(directory: Path, size: Size, seed: int) -> MadeImage:
    """Make an image with busybox in its lowest layer, so that containers of it can run."""
    directory.mkdir(parents=True)
    layers = tuple(_make_layer(directory, size, seed, number) for number in range(size.layers))
    config = _config(layers)
    manifest = _document(
        schemaVersion=2,
        mediaType=f"{_TYPE}manifest.v1+json",
        config=_descriptor("config.v1+json", _digest(config), len(config)),
        layers=[
            _descriptor("layer.v1.tar+gzip", layer.digest, layer.blob.stat().st_size)
            for layer in layers
        ],
    )
    archive, tag = directory / "archive.tar", f"bench.test/loaded{seed}:1"
    _write_archive(archive, layers, config, tag)
    return MadeImage(layers, config, manifest, _digest(config), archive, tag)


def _make_layer(directory: Path, size: Size, seed: int, number: int) -> Layer:
    tar, blob = directory / f"{number}.tar", directory / f"{number}.tar.gz"
    files = size.files // size.layers
    with tarfile.open(tar, "w", format=tarfile.PAX_FORMAT) as archive:
        if number == 0:
            _add_system(archive)
        content = _Content(random.Random(seed * 100 + number))
        for place, (name, length) in enumerate(
            _names(files, size.content // size.layers, content.chance)
        ):
            if place % 40 == 0:
                _add(archive, os.path.dirname(f"data{number}/{name}"), tarfile.DIRTYPE, 0o755)
            data = content.piece(length)
            _add(archive, f"data{number}/{name}", tarfile.REGTYPE, 0o644, data)
    digest = hashlib.sha256()
    # As gzip(1), pigz and most registries have it.
    packer = zlib.compressobj(6, wbits=31)
    diff = hashlib.sha256()
    with tar.open("rb") as source, blob.open("wb") as target:
        for piece in _pieces(source):
            diff.update(piece)
            packed = packer.compress(piece)
            digest.update(packed)
            target.write(packed)
        packed = packer.flush()
        digest.update(packed)
        target.write(packed)
    return Layer(tar, f"sha256:{diff.hexdigest()}", blob, f"sha256:{digest.hexdigest()}")


def _names(files: int, content: int, chance: random.Random) -> Iterator[tuple[str, int]]:
    """Forty files to a directory, most of them small, a few large; together `content` bytes."""
    weights = [min(chance.lognormvariate(0, 1.5), 60) for _ in range(files)]
    scale = content / sum(weights)
    for number, weight in enumerate(weights):
        directory = number // 40
        yield f"{directory // 30:03}/{directory % 30:02}/file{number:06}", int(weight * scale)


class _Content:
    """Data of which a seventh is noise and the rest is text: gzip makes about two fifths of it."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self._noise = chance.randbytes(_POOL)
        words = [bytes(chance.choices(b"etaoinshrdlu", k=chance.randint(2, 9))) for _ in range(400)]
        self._text = b" ".join(chance.choices(words, k=_POOL // 8))

    def piece(self, length: int) -> bytes:
        parts: list[bytes] = []
        for start in range(0, length, _CUT):
            pool = self._noise if self.chance.random() < 0.15 else self._text
            position = self.chance.randrange(len(pool) - _CUT)
            parts.append(pool[position : position + min(_CUT, length - start)])
        return b"".join(parts)


def _add_system(archive: tarfile.TarFile) -> None:
    busybox = shutil.which("busybox")
    if busybox is None:
        raise RuntimeError("busybox is not installed")
    for name in ("bin", "dev", "etc", "proc", "sys", "tmp"):
        _add(archive, name, tarfile.DIRTYPE, 0o755)
    _add(archive, "bin/busybox", tarfile.REGTYPE, 0o755, Path(busybox).read_bytes())
    for applet in ("sh", "true"):
        _add(archive, f"bin/{applet}", tarfile.SYMTYPE, 0o777, link="busybox")
    _add(archive, "etc/passwd", tarfile.REGTYPE, 0o644, b"root:x:0:0:root:/:/bin/sh\n")
    for number in range(10):
        _add(archive, f"etc/settings{number}", tarfile.REGTYPE, 0o644, b"one=1\n" * 300)


def _add(
    archive: tarfile.TarFile,
    name: str,
    kind: bytes,
    mode: int,
    data: bytes = b"",
    link: str = "",
) -> None:
    member = tarfile.TarInfo(name)
    member.type, member.mode, member.size, member.linkname = kind, mode, len(data), link
    member.mtime = EPOCH
    archive.addfile(member, io.BytesIO(data))
    archive.members.clear()  # type: ignore[attr-defined]  # it keeps every one otherwise


def _config(layers: tuple[Layer, ...]) -> bytes:
    return _document(
        architecture="amd64",
        os="linux",
        created="2023-11-14T22:13:20Z",
        config={"Env": ["PATH=/bin"], "Cmd": ["/bin/sh"]},
        rootfs={"type": "layers", "diff_ids": [layer.diff_id for layer in layers]},
        history=[{"created_by": f"layer {number}"} for number in range(len(layers))],
    )


def _write_archive(path: Path, layers: tuple[Layer, ...], config: bytes, tag: str) -> None:
    """What `docker save` writes."""
    named = f"{_digest(config)[7:]}.json"
    files = [f"{layer.diff_id[7:]}.tar" for layer in layers]
    listing = json.dumps([{"Config": named, "RepoTags": [tag], "Layers": files}]).encode()
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as archive:
        for name, layer in zip(files, layers, strict=True):
            member = tarfile.TarInfo(name)
            member.size = layer.tar.stat().st_size
            with layer.tar.open("rb") as source:
                archive.addfile(member, source)
        _add(archive, named, tarfile.REGTYPE, 0o644, config)
        _add(archive, "manifest.json", tarfile.REGTYPE, 0o644, listing)


def put_image(image: MadeImage, host: str, repository: str, tag: str) -> None:
    """Give an image to a registry over plain HTTP (distribution-spec, Push)."""
    connection = http.client.HTTPConnection(host)

    def ask(method: str, path: str, body: object, media_type: str, size: int) -> str:
        headers = {"Content-Type": media_type, "Content-Length": str(size)}
        connection.request(method, path, body, headers)  # type: ignore[arg-type]
        response = connection.getresponse()
        answer = response.read()
        if response.status not in (201, 202):
            raise RuntimeError(f"{method} {path}: {response.status} {answer[:200]!r}")
        return response.headers.get("Location") or ""

    def put_blob(digest: str, body: object, size: int) -> None:
        location = urlsplit(ask("POST", f"/v2/{repository}/blobs/uploads/", None, "", 0))
        path = f"{location.path}?{location.query}&digest={quote(digest)}"
        ask("PUT", path, body, "application/octet-stream", size)

    for layer in image.layers:
        with layer.blob.open("rb") as stream:
            put_blob(layer.digest, stream, layer.blob.stat().st_size)
    put_blob(image.id, image.config, len(image.config))
    path = f"/v2/{repository}/manifests/{tag}"
    ask("PUT", path, image.manifest, f"{_TYPE}manifest.v1+json", len(image.manifest))
    connection.close()


def pushed_size(host: str, repository: str, tag: str) -> int:
    """Bytes of the layers of an image at a registry, each of which is there. Raises RuntimeError if anything is missing."""
    connection = http.client.HTTPConnection(host)
    accept = f"{_TYPE}manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json"

    def ask(method: str, path: str) -> tuple[bytes, int]:
        connection.request(method, f"/v2/{repository}/{path}", headers={"Accept": accept})
        response = connection.getresponse()
        body = response.read()
        if response.status != 200:
            raise RuntimeError(f"the registry has no {path}: {response.status}")
        return body, int(response.headers.get("Content-Length") or 0)

    try:
        document = json.loads(ask("GET", f"manifests/{tag}")[0])
        for descriptor in (document["config"], *document["layers"]):
            if ask("HEAD", f"blobs/{descriptor['digest']}")[1] != descriptor["size"]:
                raise RuntimeError(f"blob {descriptor['digest']} has another size")
        return sum(layer["size"] for layer in document["layers"])
    finally:
        connection.close()


def _pieces(source: io.BufferedReader) -> Iterator[bytes]:
    while piece := source.read(_PIECE):
        yield piece


def _descriptor(kind: str, digest: str, size: int) -> dict[str, object]:
    return {"mediaType": f"{_TYPE}{kind}", "digest": digest, "size": size}


def _document(**fields: object) -> bytes:
    return json.dumps(fields, sort_keys=True, separators=(",", ":")).encode()


def _digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"
