"""docker-archive, what `docker save` writes: manifest.json, configs and layers; and the older form
with `repositories` only. Pure but for reading members.

manifest.json is a list of {Config, RepoTags, Layers}, layers bottom first. moby image/spec/v1.2.md,
v1.md.
"""

from __future__ import annotations

from typing import NamedTuple

from rootless.errors import InvalidDocumentError, NotFoundError, UsageError
from rootless.images.formats.members import Members, read_small
from rootless.oci.document import (
    Json,
    as_object,
    optional,
    parse_list,
    parse_object,
    required,
    strings,
)
from rootless.oci.image_config import ImageConfig, read_image_config
from rootless.oci.manifest import MAX_LAYERS
from rootless.oci.reference import Reference, parse_tag

MANIFEST = "manifest.json"
MAX_IMAGES = 1000
MAX_CONFIGS = 64 << 20
"""Bounds on what one small document can make us read and keep."""
REPOSITORIES = "repositories"


class ArchivedImage(NamedTuple):
    """One image of an archive. `config` is its bytes as they were saved: their digest is the
    image's id."""

    config_bytes: bytes
    config: ImageConfig
    layers: tuple[str, ...]
    """Member names, bottom first."""
    tags: tuple[Reference, ...]


class LegacyImage(NamedTuple):
    """One image of an archive without manifest.json: its layers' ids and documents, bottom first.
    It has no config and no diffIDs yet."""

    documents: tuple[Json, ...]
    layers: tuple[str, ...]
    tags: tuple[Reference, ...]


def read_archived_images(members: Members) -> list[ArchivedImage]:
    """Every image that manifest.json lists. Raises InvalidDocumentError, NotFoundError for a
    missing member."""
    what = f"{MANIFEST} in {members.label}"
    images = []
    listed = parse_list(read_small(members, MANIFEST), what)
    if len(listed) > MAX_IMAGES:
        raise InvalidDocumentError(f"{what} lists {len(listed)} images, more than {MAX_IMAGES}")
    configs: dict[str, tuple[bytes, ImageConfig]] = {}
    for i, value in enumerate(listed):
        where = f"{what}: image {i}"
        entry = as_object(value, where)
        config_name = _name(required(entry, "Config", str, where), where)
        layers = tuple(_name(layer, where) for layer in strings(entry, "Layers", where))
        if config_name not in configs:
            data = read_small(members, config_name)
            read = read_image_config(data, f"{config_name} in {members.label}")
            configs[config_name] = (data, read)
            if sum(len(each) for each, _ in configs.values()) > MAX_CONFIGS:
                raise InvalidDocumentError(
                    f"the configs of {members.label} are too large: more than {MAX_CONFIGS} bytes"
                )
        data, config = configs[config_name]
        if len(layers) != len(config.diff_ids):
            raise InvalidDocumentError(
                f"{where} lists {len(layers)} layers but its config has {len(config.diff_ids)}"
            )
        for name in layers:
            if not members.has(name):
                raise NotFoundError(
                    f"{members.label} has no {name}", hint="the archive is not complete"
                )
        tags = tuple(_tag(name, where) for name in strings(entry, "RepoTags", where))
        images.append(ArchivedImage(data, config, layers, tags))
    if not images:
        raise InvalidDocumentError(f"{what} lists no images")
    return images


def _tag(text: str, where: str) -> Reference:
    try:
        return parse_tag(text)
    except UsageError as error:
        raise InvalidDocumentError(f"{where}: invalid tag {text!r}: {error.message}") from None


def _name(text: str, where: str) -> str:
    """A word of a document that errors show. Raises InvalidDocumentError if it would break a line."""
    if not text.isprintable():
        raise InvalidDocumentError(f"{where}: {text!r} is not a name")
    return text


def read_legacy_images(members: Members) -> list[LegacyImage]:
    """Every image that `repositories` names: {NAME: {TAG: id of the top layer}}; each layer's
    `json` names its parent."""
    what = f"{REPOSITORIES} in {members.label}"
    document = parse_object(read_small(members, REPOSITORIES), what)
    tags: dict[str, list[Reference]] = {}
    for name, by_tag in document.items():
        for tag, top in as_object(by_tag, f"{what}: {_name(name, what)}").items():
            if not isinstance(top, str):
                raise InvalidDocumentError(f"{what}: {name}: {_name(tag, what)} is not a string")
            tags.setdefault(_name(top, what), []).append(_tag(f"{name}:{tag}", what))
    images = []
    for top, references in tags.items():
        documents: list[Json] = []
        names: list[str] = []
        layer: str | None = top
        while layer:
            if len(names) >= MAX_LAYERS:
                raise InvalidDocumentError(f"{what}: the parents of {top} form a loop")
            where = f"{layer}/json in {members.label}"
            current = parse_object(read_small(members, f"{layer}/json"), where)
            documents.append(current)
            names.append(f"{layer}/layer.tar")
            parent = optional(current, "parent", str, where)
            layer = _name(parent, where) if parent else None
        documents.reverse()
        names.reverse()
        images.append(LegacyImage(tuple(documents), tuple(names), tuple(references)))
    if not images:
        raise InvalidDocumentError(f"{what} names no images")
    return images


def config_of_legacy(documents: tuple[Json, ...], diff_ids: tuple[str, ...]) -> Json:
    """The config of an image that has none: the top layer's document, with every layer's as history
    (moby image/v1)."""
    top = documents[-1]
    kept = ("architecture", "os", "variant", "created", "author", "config", "docker_version")
    history = []
    for document in documents:
        container = document.get("container_config")
        command = container.get("Cmd") if isinstance(container, dict) else None
        entry: Json = {"created": document.get("created") or "1970-01-01T00:00:00Z"}
        if isinstance(command, list):
            entry["created_by"] = " ".join(str(word) for word in command)
        for name in ("author", "comment"):
            if document.get(name):
                entry[name] = document[name]
        history.append(entry)
    return {
        "architecture": "amd64",
        "os": "linux",
        **{name: top[name] for name in kept if top.get(name) is not None},
        "rootfs": {"type": "layers", "diff_ids": list(diff_ids)},
        "history": history,
    }
