"""The layers of earlier builds, by the keys of their steps.

    build/steps/<hex of the key>.json   a finished step: its layer, when it was made and what it did
    build/contents/<name>               rootless.build.files.digests
    build/mounts/<hex>/id, data/        a cache mount: its id, and its files

A record is written once its layer is in the store, and is replaced whole. Killed in between, a layer is
left that nothing names, which `system prune` removes. The time of a record's file is that of its last
use.
"""

from __future__ import annotations

import os

from rootless.durable import write_atomically
from rootless.errors import InvalidDocumentError
from rootless.oci.document import encode, optional, parse_object, required
from unionfs.light_types import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from rootless.store.layout import Store

_MOST_BYTES = 1 << 20


class BuiltLayer(NamedTuple):
    """A layer of the store: the digest of its tar, and its blob as a manifest names it."""

    diff_id: str
    digest: str
    size: int
    media_type: str


class CachedStep(NamedTuple):
    """The result of one step. `created` is RFC 3339, `used` seconds since 1970, `text` the instruction;
    `inputs` says by name what the key was made of."""

    key: str
    layer: BuiltLayer
    created: str
    text: str
    inputs: Mapping[str, str] = {}
    used: float = 0.0


def steps_directory(store: Store) -> str:
    return f"{store.root}/build/steps"


def contents_directory(store: Store) -> str:
    """Where digests of the files of build contexts are kept."""
    return f"{store.root}/build/contents"


def mounts_directory(store: Store) -> str:
    """Where RUN --mount=type=cache keeps files: DIGEST/id, DIGEST/data."""
    return f"{store.root}/build/mounts"


def find_step(store: Store, key: str) -> CachedStep | None:
    """The step of this key, if its layer is still there. Notes its use."""
    path = f"{steps_directory(store)}/{key}.json"
    step = _read(path, key)
    if step is None or not store.has_layer(step.layer.diff_id):
        return None
    try:
        os.utime(path)
    except OSError:
        pass  # a store that cannot be written to can be built from
    return step


def save_step(store: Store, step: CachedStep) -> None:
    """Record a step whose layer is in the store."""
    directory = steps_directory(store)
    os.makedirs(directory, 0o700, exist_ok=True)
    # A record that is lost with the power costs one step of a later build.
    write_atomically(f"{directory}/{step.key}.json", encode_step(step), durable=False)


def all_steps(store: Store) -> list[CachedStep]:
    """Every step, the one that was used last first."""
    found = [step for path, key in _paths(store) if (step := _read(path, key)) is not None]
    return sorted(found, key=lambda step: step.used, reverse=True)


def steps_of_image(
    steps: Mapping[str, CachedStep], layers: Sequence[BuiltLayer]
) -> tuple[CachedStep, ...]:
    """The steps whose layers an image has, in the order of the layers."""
    positions = {layer.diff_id: i for i, layer in enumerate(layers)}
    found = [each for each in steps.values() if each.layer.diff_id in positions]
    return tuple(sorted(found, key=lambda each: positions[each.layer.diff_id]))


def forget_step(store: Store, key: str) -> None:
    """Remove the record of a step; its layer goes with the next look for what is unused."""
    try:
        os.unlink(f"{steps_directory(store)}/{key}.json")
    except FileNotFoundError:
        pass


def _paths(store: Store) -> Iterator[tuple[str, str]]:
    directory = steps_directory(store)
    try:
        names = sorted(os.listdir(directory))
    except FileNotFoundError:
        return
    for name in names:
        if name.endswith(".json") and not name.startswith("."):
            yield f"{directory}/{name}", name.removesuffix(".json")


def encode_step(step: CachedStep) -> bytes:
    """The content of a record."""
    document = {
        "layer": {
            "diffId": step.layer.diff_id,
            "digest": step.layer.digest,
            "size": step.layer.size,
            "mediaType": step.layer.media_type,
        },
        "created": step.created,
        "text": step.text,
        "inputs": dict(step.inputs),
    }
    return encode(document)


def decode_step(data: bytes, key: str, what: str) -> CachedStep:
    """The step that a record describes; `what` names it in errors. Raises InvalidDocumentError."""
    document = parse_object(data, what, _MOST_BYTES)
    layer = required(document, "layer", dict, what)
    inputs = optional(document, "inputs", dict, what) or {}
    return CachedStep(
        key,
        BuiltLayer(
            required(layer, "diffId", str, what),
            required(layer, "digest", str, what),
            required(layer, "size", int, what),
            required(layer, "mediaType", str, what),
        ),
        required(document, "created", str, what),
        required(document, "text", str, what),
        {str(name): str(value) for name, value in inputs.items()},
    )


def _read(path: str, key: str) -> CachedStep | None:
    """None for a record that is missing or damaged: the step is then done again."""
    try:
        with open(path, "rb") as file:
            step = decode_step(file.read(_MOST_BYTES + 1), key, path)
            return step._replace(used=os.fstat(file.fileno()).st_mtime)
    except (OSError, InvalidDocumentError):
        return None
