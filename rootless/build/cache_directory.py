"""The cache of a build in a directory, for another machine: `--cache-to` and `--cache-from` with type=local.

    steps/<key>.json       as in the store (rootless.store.build_cache)
    blobs/sha256/<hex>     the layers of the steps, as an OCI layout has them

A record is written after its layer. What a step of it says is verified by the digests of the layer; nothing
verifies that the layer is what the step makes, so use only a directory whose writers you trust.
"""

from __future__ import annotations

import os
import shutil

from rootless.durable import write_atomically
from rootless.errors import RootlessError
from rootless.oci.digest import hex_of
from rootless.oci.manifest import Descriptor
from rootless.store.build_cache import CachedStep, decode_step, encode_step

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from rootless.store.ingest import Ingest
    from rootless.store.layout import Store

_MOST_BYTES = 1 << 20


def export_steps(store: Store, steps: Iterable[CachedStep], directory: str) -> None:
    """Write steps and their layers to a directory; what is there already stays. Raises OSError."""
    os.makedirs(f"{directory}/steps", exist_ok=True)
    os.makedirs(f"{directory}/blobs/sha256", exist_ok=True)
    for step in steps:
        target = f"{directory}/blobs/sha256/{hex_of(step.layer.digest)}"
        if not os.path.exists(target):
            temporary = f"{target}.{os.urandom(6).hex()}"
            # No hard link: what is done to the copy must not be done to the store.
            shutil.copyfile(store.blob_path(step.layer.digest), temporary)
            os.rename(temporary, target)
        write_atomically(f"{directory}/steps/{step.key}.json", encode_step(step), durable=False)


def import_step(ingest: Ingest, key: str, directory: str) -> CachedStep | None:
    """A step of a directory with its layer added; None if it is not there, or not sound."""
    path = f"{directory}/steps/{key}.json"
    try:
        with open(path, "rb") as file:
            step = decode_step(file.read(_MOST_BYTES), key, path)
        layer = step.layer
        with open(f"{directory}/blobs/sha256/{hex_of(layer.digest)}", "rb", buffering=0) as blob:
            ingest.add_layer(
                blob.read,
                f"layer {layer.digest}",
                diff_id=layer.diff_id,
                blob=Descriptor(layer.media_type, layer.digest, layer.size),
            )
    except (OSError, RootlessError):
        return None
    ingest.share(layer.diff_id, layer.digest)
    return step
