"""The values of --cache-from and --cache-to: where the steps of a build are cached besides the store."""

from __future__ import annotations

from unionfs.light_types import Enum, NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.oci.reference import Reference

LATEST = "latest"


class Compression(Enum):
    """How the layers of a cache are compressed."""

    GZIP = "gzip"
    ZSTD = "zstd"
    UNCOMPRESSED = "uncompressed"


class CacheImport(NamedTuple):
    """One --cache-from: a cache or an image of a registry, or, without `reference`, the entry of the OCI layout
    `directory` that has the digest, or else the tag."""

    reference: Reference | None = None
    directory: str = ""
    tag: str = LATEST
    digest: str = ""
    name: str = ""
    """The place as the caller wrote it."""


class CacheExport(NamedTuple):
    """One --cache-to: a registry, an OCI layout, or, without both, the config of the image (inline)."""

    reference: Reference | None = None
    directory: str = ""
    tag: str = LATEST
    """Of the entry of the layout."""
    is_whole: bool = False
    """mode=max: the steps of all stages, and not only those whose layers the image has."""
    compression: Compression = Compression.GZIP
    level: int | None = None
    """Of the compression; None for the compressor's own."""
    recompresses: bool = False
    """Compress layers again that are compressed in another way."""
    has_docker_types: bool = False
    """Docker's media types; the layers are then listed in a manifest list."""
    is_index: bool = False
    """List the layers in an index, as registries that refuse the config of a cache took it."""
    ignores_errors: bool = False

    @property
    def is_inline(self) -> bool:
        return self.reference is None and not self.directory
