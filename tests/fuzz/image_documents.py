"""Any bytes are a manifest, an index, a config, an archive's list of images or a change to a config,
or are refused with an error of one line; what is read can be written and read again.

python -m tests.fuzz.image_documents [SECONDS [SEED]]
"""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from rootless.dockerfile.config import apply_changes
from rootless.errors import RootlessError
from rootless.images.formats.docker_archive import read_archived_images, read_legacy_images
from rootless.oci.document import encode
from rootless.oci.image_config import read_image_config
from rootless.oci.manifest import Descriptor, read_index, read_manifest
from rootless.store.decompression import Read
from rootless.store.names import name_of, repo_digests_of, tags_of
from tests.fuzz.loop import fuzz, splice

CORPUS = Path(__file__).parent / "corpus" / "image-documents"
TOKENS = (
    *(b"null", b"-1", b"1e999", b"NaN", b"{}", b"[]", b'""', b"true", b"\xff", b"\\ud800", b"\0"),
    *(
        b'"manifests":',
        b'"layers":',
        b'"mediaType":',
        b'"platform":',
        b'"annotations":',
        b'"size":',
    ),
    *(b"99999999999999999999999999", b"sha256:", b"[" * 500, b'{"a":' * 500, b"\xef\xbb\xbf"),
    b"application/vnd.docker.distribution.manifest.list.v2+json",
    b"application/vnd.oci.image.manifest.v1+json",
)


class _OneMember:
    """An archive in which every name is the same document."""

    label = "input"

    def __init__(self, data: bytes) -> None:
        self._data = data

    def has(self, name: str) -> bool:
        return True

    def size(self, name: str) -> int:
        return len(self._data)

    def reader(self, name: str) -> Read:
        pieces = iter([self._data])
        return lambda _: next(pieces, b"")


def one_input(data: bytes) -> None:
    """Raises whatever is no RootlessError, and what is none of one line."""
    _refused(lambda: _config(data))
    _refused(lambda: _manifest(data))
    _refused(lambda: _index(data))
    _refused(lambda: read_archived_images(_OneMember(data)))
    _refused(lambda: read_legacy_images(_OneMember(data)))
    _refused(lambda: apply_changes({}, [data.decode("utf-8", "replace")]))


def _refused(read: Callable[[], object]) -> None:
    refused = ""
    try:
        read()
    except RootlessError as error:
        refused = error.message
    assert "\n" not in refused


def _config(data: bytes) -> None:
    config = read_image_config(data, "input")
    str(config.platform)
    encode(config.config)


def _manifest(data: bytes) -> None:
    manifest = read_manifest(data, "input")
    written = encode({**manifest.document, "layers": [each.to_json() for each in manifest.layers]})
    assert _typed(read_manifest(written, "written").layers) == _typed(manifest.layers)


def _index(data: bytes) -> None:
    index = read_index(data, "input")
    assert _typed(read_index(index.encode(), "written").manifests) == _typed(index.manifests)
    for entry in index.manifests:
        name_of(entry)
        tags_of(index.manifests, entry)
        repo_digests_of(index.manifests, entry)


def _typed(descriptors: Sequence[Descriptor]) -> list[Descriptor]:
    """Without the documents: a field that was missing is written empty."""
    return [each._replace(document={}) for each in descriptors]


def mutate(seeds: Sequence[bytes], dice: random.Random) -> bytes:
    return splice(seeds, dice, TOKENS)


if __name__ == "__main__":
    sys.exit(fuzz(CORPUS, mutate, one_input))
