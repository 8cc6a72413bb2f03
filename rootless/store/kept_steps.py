"""The steps of failed builds whose containers were kept, for a build that continues from there.

build/kept/<hex of the step's key>/step.json     the container, and the layer that the command left
build/kept/<hex of the step's key>/recording/    what was typed into the container (rootless.recording)
"""

from __future__ import annotations

import os

from rootless.durable import remove_tree, write_atomically
from rootless.errors import InvalidDocumentError
from rootless.oci.document import encode, parse_object, required
from rootless.store.build_cache import BuiltLayer
from unionfs.light_types import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.store.layout import Store

_MOST_BYTES = 1 << 20


class KeptStep(NamedTuple):
    """A command that failed. `layer` is what it changed; the `container` stands on it, and has in its upper what
    was changed since."""

    container: str
    layer: BuiltLayer


def recording_directory(store: Store, key: str) -> str:
    """Where the shell of the container of a step records."""
    return f"{_directory(store, key)}/recording"


def save_kept(store: Store, key: str, kept: KeptStep) -> None:
    """Note the container of the step with this key, in place of an earlier one. Raises OSError."""
    os.makedirs(_directory(store, key), 0o700, exist_ok=True)
    layer = kept.layer
    document = {
        "container": kept.container,
        "diffId": layer.diff_id,
        "digest": layer.digest,
        "size": layer.size,
        "mediaType": layer.media_type,
    }
    write_atomically(f"{_directory(store, key)}/step.json", encode(document), durable=False)


def find_kept(store: Store, key: str) -> KeptStep | None:
    """The kept step with this key; None for a record that is missing or damaged."""
    path = f"{_directory(store, key)}/step.json"
    try:
        with open(path, "rb") as file:
            document = parse_object(file.read(_MOST_BYTES), path, _MOST_BYTES)
        layer = BuiltLayer(
            required(document, "diffId", str, path),
            required(document, "digest", str, path),
            required(document, "size", int, path),
            required(document, "mediaType", str, path),
        )
        return KeptStep(required(document, "container", str, path), layer)
    except (OSError, InvalidDocumentError):
        return None


def forget_kept(store: Store) -> None:
    """Remove all records; the containers stay."""
    remove_tree(f"{store.root}/build/kept")


def _directory(store: Store, key: str) -> str:
    return f"{store.root}/build/kept/{key}"
