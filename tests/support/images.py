"""Images made from nothing, without a network: root file systems as tars, and the archives that
carry them."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import shutil
import subprocess
import tarfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

EPOCH = 1_700_000_000
PASSWD = b"root:x:0:0:root:/root:/bin/sh\ndaemon:x:1:1:daemon:/:/bin/false\nworker:x:1000:1000:worker:/home/worker:/bin/sh\n"
GROUP = b"root:x:0:\ndaemon:x:1:\nstaff:x:50:worker\nworker:x:1000:\n"


def _member(
    name: str, kind: bytes = tarfile.REGTYPE, mode: int = 0o644, size: int = 0, link: str = ""
) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.mode, info.size, info.linkname, info.mtime = kind, mode, size, link, EPOCH
    return info


def add_file(
    archive: tarfile.TarFile,
    name: str,
    content: bytes,
    mode: int = 0o644,
    uid: int = 0,
    gid: int = 0,
) -> None:
    info = _member(name, mode=mode, size=len(content))
    info.uid, info.gid = uid, gid
    archive.addfile(info, io.BytesIO(content))


def busybox_tar(path: Path) -> None:
    """Write a root file system of busybox, hard-linked under the name of each of its applets, owned
    by root."""
    busybox = shutil.which("busybox")
    assert busybox, "busybox-static is not installed"
    applets = subprocess.run(
        [busybox, "--list"], capture_output=True, check=True, text=True
    ).stdout.split()
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as archive:
        for name in (
            "bin",
            "dev",
            "etc",
            "home",
            "proc",
            "root",
            "run",
            "sys",
            "usr",
            "usr/bin",
            "var",
        ):
            archive.addfile(_member(name, tarfile.DIRTYPE, 0o755))
        archive.addfile(_member("tmp", tarfile.DIRTYPE, 0o1777))
        home = _member("home/worker", tarfile.DIRTYPE, 0o700)
        home.uid = home.gid = 1000
        archive.addfile(home)
        add_file(archive, "bin/busybox", Path(busybox).read_bytes(), 0o755)
        for applet in applets:
            if applet != "busybox":
                archive.addfile(
                    _member(f"bin/{applet}", tarfile.LNKTYPE, 0o755, link="bin/busybox")
                )
        archive.addfile(_member("usr/bin/env", tarfile.SYMTYPE, 0o777, link="../../bin/env"))
        add_file(archive, "etc/passwd", PASSWD)
        add_file(archive, "etc/group", GROUP)


def sha256(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def image_config(layers: Sequence[bytes], config: Mapping[str, object]) -> bytes:
    """The image configuration (OCI image-spec, config.md) for these uncompressed layers."""
    document = {
        "architecture": "amd64",
        "os": "linux",
        "config": {"Env": ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"], "Cmd": ["/bin/sh"], **config},
        "rootfs": {"type": "layers", "diff_ids": [sha256(layer) for layer in layers]},
        "history": [{"created_by": f"layer {number}"} for number in range(len(layers))],
    }
    return json.dumps(document, sort_keys=True).encode()


def docker_archive(
    path: Path,
    layers: Sequence[bytes],
    *,
    tags: Sequence[str] = ("test:latest",),
    config: Mapping[str, object] | None = None,
) -> None:
    """Write what `docker save` writes: manifest.json, the configuration, and the layers
    uncompressed."""
    configuration = image_config(layers, config or {})
    config_name = f"{sha256(configuration)[7:]}.json"
    names = [f"{number}/layer.tar" for number in range(len(layers))]
    manifest = json.dumps(
        [{"Config": config_name, "RepoTags": list(tags), "Layers": names}]
    ).encode()
    with tarfile.open(path, "w") as archive:
        for name, layer in zip(names, layers, strict=True):
            add_file(archive, name, layer)
        add_file(archive, config_name, configuration)
        add_file(archive, "manifest.json", manifest)


def oci_layout(
    directory: Path,
    layers: Sequence[bytes],
    *,
    name: str = "latest",
    config: Mapping[str, object] | None = None,
) -> None:
    """Write an OCI image layout (image-spec, image-layout.md) with uncompressed layers."""
    blobs = directory / "blobs/sha256"
    blobs.mkdir(parents=True)

    def put(content: bytes, media_type: str) -> dict[str, object]:
        digest = sha256(content)
        (blobs / digest[7:]).write_bytes(content)
        return {
            "mediaType": f"application/vnd.oci.image.{media_type}",
            "digest": digest,
            "size": len(content),
        }

    manifest = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": put(image_config(layers, config or {}), "config.v1+json"),
        "layers": [put(layer, "layer.v1.tar") for layer in layers],
    }
    entry = put(json.dumps(manifest).encode(), "manifest.v1+json")
    entry["annotations"] = {"org.opencontainers.image.ref.name": name}
    (directory / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [entry]}))
    (directory / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')


def oci_archive(
    path: Path,
    layers: Sequence[bytes],
    *,
    name: str = "latest",
    config: Mapping[str, object] | None = None,
) -> None:
    """Write an OCI image layout as a tar. `path` plus ".d" serves as its directory on the way."""
    directory = path.with_name(path.name + ".d")
    oci_layout(directory, layers, name=name, config=config)
    with tarfile.open(path, "w") as archive:
        for entry in sorted(directory.rglob("*")):
            archive.add(entry, entry.relative_to(directory).as_posix(), recursive=False)
    shutil.rmtree(directory)


def layer_tar(content: Mapping[str, bytes], *members: tarfile.TarInfo) -> bytes:
    """A layer of members without content, and of files by their names."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for member in members:
            archive.addfile(member)
        for name, data in content.items():
            add_file(archive, name, data)
    return buffer.getvalue()


def tar(*members: tarfile.TarInfo, **files: bytes) -> bytes:
    """As `layer_tar`, the files by keyword."""
    return layer_tar(files, *members)


def gz(data: bytes) -> bytes:
    """The same bytes every time."""
    return gzip.compress(data, mtime=0)


def compressed_layout(
    path: Path,
    layers: Sequence[bytes],
    compress: Callable[[bytes], bytes],
    suffix: str,
    name: str = "test:latest",
    manifest: Iterable[tuple[str, object]] = (),
) -> str:
    """Write an OCI layout whose layers are compressed, with further fields of the manifest. Returns its digest."""
    blobs = path / "blobs/sha256"
    blobs.mkdir(parents=True)

    def put(data: bytes, media_type: str) -> dict[str, object]:
        (blobs / sha256(data)[7:]).write_bytes(data)
        return {"mediaType": media_type, "digest": sha256(data), "size": len(data)}

    document = {
        "schemaVersion": 2,
        "config": put(image_config(layers, {}), "application/vnd.oci.image.config.v1+json"),
        "layers": [
            put(compress(layer), f"application/vnd.oci.image.layer.v1.tar{suffix}")
            for layer in layers
        ],
        **dict(manifest),
    }
    entry = put(json.dumps(document).encode(), "application/vnd.oci.image.manifest.v1+json")
    entry["annotations"] = {"org.opencontainers.image.ref.name": name}
    (path / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [entry]}))
    (path / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    return str(entry["digest"])
