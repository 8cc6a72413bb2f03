"""An image's config (image-spec config.md; Docker's superset of it): command, platform and layers. Pure."""

from __future__ import annotations

from rootless.errors import InvalidDocumentError
from rootless.oci.digest import check_sha256
from rootless.oci.document import (
    Json,
    as_object,
    optional,
    parse_object,
    required,
    string_map,
    strings,
)
from rootless.oci.manifest import MAX_LAYERS
from rootless.oci.platform import Platform, normalised
from unionfs.light_types import NamedTuple


class ImageConfig(NamedTuple):
    """`document` is the whole config as it was read; `config` its member of that name, types checked
    and commands as lists."""

    platform: Platform
    diff_ids: tuple[str, ...]
    """Digests of the uncompressed layers, bottom first."""
    config: Json
    history: tuple[Json, ...]
    document: Json


def read_image_config(data: bytes, what: str) -> ImageConfig:
    """The config in `data`. Raises InvalidDocumentError."""
    document = parse_object(data, what)
    rootfs = required(document, "rootfs", dict, what)
    if rootfs.get("type") != "layers":
        raise InvalidDocumentError(f"{what}: rootfs.type is not 'layers'")
    diff_ids = strings(rootfs, "diff_ids", what)
    if len(diff_ids) > MAX_LAYERS:
        raise InvalidDocumentError(f"{what} has {len(diff_ids)} layers, more than {MAX_LAYERS}")
    for diff_id in diff_ids:
        check_sha256(diff_id, f"{what}: diff_ids")
    config = _with_lists(optional(document, "config", dict, what) or {})
    check_runtime_config(config, f"{what}: config")
    history = tuple(
        as_object(entry, f"{what}: history")
        for entry in optional(document, "history", list, what) or []
    )
    for entry in history:
        for name in ("created", "created_by", "comment", "author"):
            optional(entry, name, str, f"{what}: history")
        optional(entry, "empty_layer", bool, f"{what}: history")
    for name in ("created", "author", "docker_version", "comment", "parent"):
        optional(document, name, str, what)
    platform = normalised(
        optional(document, "os", str, what) or "linux",
        optional(document, "architecture", str, what) or "",
        optional(document, "variant", str, what) or "",
    )
    return ImageConfig(platform, diff_ids, config, history, document)


def _with_lists(config: Json) -> Json:
    """A command that is a string is a list of one, as moby's strslice reads it."""
    texts = {
        name: [value]
        for name in ("Cmd", "Entrypoint", "Shell")
        if isinstance(value := config.get(name), str)
    }
    return {**config, **texts} if texts else config


def check_runtime_config(config: Json, what: str) -> None:
    """Raises InvalidDocumentError where a field that the engine reads is not of the type that
    the specification gives it."""
    for name in ("User", "WorkingDir", "StopSignal", "Domainname", "Hostname"):
        optional(config, name, str, what)
    for name in ("Cmd", "Entrypoint", "Env", "Shell", "OnBuild"):
        strings(config, name, what)
    for name in ("ExposedPorts", "Volumes"):
        optional(config, name, dict, what)
    string_map(config, "Labels", what)
    optional(config, "StopTimeout", int, what)
    _check_health_check(optional(config, "Healthcheck", dict, what) or {}, f"{what}: Healthcheck")


def _check_health_check(document: Json, what: str) -> None:
    strings(document, "Test", what)
    for name in ("Interval", "Timeout", "StartPeriod", "StartInterval", "Retries"):
        optional(document, name, int, what)
