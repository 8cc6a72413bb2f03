"""Writes the steps of a build and their layers to a registry or an OCI layout: --cache-to.

Layers are verified by their digests; nothing verifies that a layer is what its step makes. A cache deserves the trust
that the accounts deserve that may write to it.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import NamedTuple

from rootless.build.cache.manifest import (
    CONFIG_TYPE,
    CacheRecord,
    annotated,
    encode_config,
    encode_manifest,
)
from rootless.build.cache.options import CacheExport, Compression
from rootless.errors import RootlessError
from rootless.images.formats.oci_layout import LayoutWriter
from rootless.images.formats.outgoing import File, file_of
from rootless.oci import media_types
from rootless.oci.digest import hex_of, sha256_digest
from rootless.oci.manifest import Descriptor
from rootless.store.compression import compress, file_pieces

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from rootless.build.progress import StepProgress
    from rootless.oci.reference import Reference
    from rootless.store.build_cache import BuiltLayer, CachedStep
    from rootless.store.layout import Store

_AS_DOCKER = {
    media_types.OCI_LAYER: media_types.DOCKER_LAYER_PLAIN,
    media_types.OCI_LAYER_GZIP: media_types.DOCKER_LAYER,
    media_types.OCI_LAYER_ZSTD: media_types.DOCKER_LAYER_PLAIN + ".zstd",
}
_COMPRESSIONS = {
    Compression.GZIP: "gzip",
    Compression.ZSTD: "zstd",
    Compression.UNCOMPRESSED: "none",
}


class _Cache(NamedTuple):
    """A cache that is ready to be written: its blobs, the config among them, and the document that names them."""

    blobs: tuple[File, ...]
    media_type: str
    document: bytes


class CacheExporter:
    """Writes caches of one build. `scratch` is a directory for blobs on their way."""

    def __init__(self, store: Store, environ: Mapping[str, str], scratch: Path) -> None:
        self._store = store
        self._environ = environ
        self._scratch = scratch

    def export(self, where: CacheExport, steps: Iterable[CachedStep], step: StepProgress) -> None:
        """Write steps to a registry or a layout. A cache of the same name is replaced, blobs that are there stay.
        Raises RootlessError, OSError."""
        step.note("preparing build cache for export")
        cache = self._prepared(where, tuple(steps))
        if where.reference is not None:
            self._push(where.reference, cache)
        else:
            writer = LayoutWriter(Path(where.directory))
            for blob in cache.blobs:
                writer.put_blob(blob)
            document = file_of("", cache.document)
            writer.put_blob(document)
            entry = Descriptor(cache.media_type, document.digest, document.size)
            writer.finish(entry, where.tag)
        for kind, blob in zip(("config", *["layer"] * len(cache.blobs)), cache.blobs, strict=False):
            step.note(f"writing {kind} {blob.digest} done")
        step.note(f"writing cache image manifest {sha256_digest(cache.document)} done")

    def _prepared(self, where: CacheExport, steps: Sequence[CachedStep]) -> _Cache:
        files: list[File] = []
        layers: list[Descriptor] = []
        positions: dict[str, int] = {}
        records: dict[str, CacheRecord] = {}
        for each in steps:
            diff_id = each.layer.diff_id
            if diff_id not in positions:
                positions[diff_id] = len(layers)
                blob, path = self._blob(where, each.layer)
                if where.has_docker_types:
                    blob = blob._replace(media_type=_AS_DOCKER[blob.media_type])
                layers.append(annotated(blob, diff_id, each.created))
                files.append(File("", blob.size, path, blob.digest))
            records[each.key] = CacheRecord(positions[diff_id], each.created)
        data = encode_config(layers, records)
        config = Descriptor(CONFIG_TYPE, sha256_digest(data), len(data))
        media_type, document = encode_manifest(
            config, layers, is_index=where.is_index, has_docker_types=where.has_docker_types
        )
        return _Cache((file_of("", data), *files), media_type, document)

    def _blob(self, where: CacheExport, layer: BuiltLayer) -> tuple[Descriptor, Path]:
        """The blob of a layer as the cache is to have it, and the file that it is in."""
        wanted = _COMPRESSIONS[where.compression]
        known = media_types.LAYER_COMPRESSION.get(layer.media_type, "")
        if known == wanted or (known not in {"", "none"} and not where.recompresses):
            kept = media_types.OCI_LAYER_FOR_COMPRESSION[known]
            return Descriptor(kept, layer.digest, layer.size), Path(
                self._store.blob_to_read(layer.digest)
            )
        tar = Path(self._store.layer_files(layer.diff_id).tar)
        target = self._scratch / f"{wanted}-{hex_of(layer.diff_id)}"
        try:
            digest, size = compress(file_pieces(tar), target, wanted, where.level)
        except ValueError as error:
            raise RootlessError(f"compression-level={where.level}: {error}") from error
        return Descriptor(media_types.OCI_LAYER_FOR_COMPRESSION[wanted], digest, size), target

    def _push(self, reference: Reference, cache: _Cache) -> None:
        from rootless.run_in_child import run_in_child

        # The client of registries has threads, and a build forks.
        run_in_child(partial(_push, self._environ, reference, cache, self._scratch))


def _push(environ: Mapping[str, str], reference: Reference, cache: _Cache, scratch: Path) -> None:
    from rootless.registry.configuration import ClientEnv
    from rootless.registry.remote import Remote, RemoteOptions, run_remote
    from rootless.registry.upload import Blob, put_blob, put_manifest

    async def work() -> None:
        async with Remote(ClientEnv.of_caller(environ), RemoteOptions()) as remote:
            client = remote.writer(reference)
            for each in cache.blobs:
                path = scratch / "config"
                if isinstance(each.content, bytes):
                    path.write_bytes(each.content)
                elif isinstance(each.content, Path):
                    path = each.content
                await put_blob(client, Blob(each.digest, each.size, path), (), lambda _: None)
            tag = reference.tag or "latest"
            await put_manifest(client, tag, cache.document, cache.media_type)

    run_remote(work)
