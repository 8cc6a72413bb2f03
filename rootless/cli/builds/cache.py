"""The values of `build --cache-from` and `--cache-to`, in BuildKit's grammar."""

from __future__ import annotations

import os

from rootless.build.cache.options import LATEST, CacheExport, CacheImport, Compression
from rootless.cli.context import absolute
from rootless.csv_fields import split_fields
from rootless.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from rootless.oci.reference import Reference

_TRUE = frozenset(("1", "t", "T", "TRUE", "true", "True"))
_FALSE = frozenset(("0", "f", "F", "FALSE", "false", "False"))


def parse_cache_imports(texts: Sequence[str]) -> tuple[CacheImport, ...]:
    """The values of --cache-from; empty ones do not count."""
    values = (_values(text) for text in texts if text)
    return tuple(_import(each) for each in values if not _is_inactive(each))


def parse_cache_exports(texts: Sequence[str]) -> tuple[CacheExport, ...]:
    """The values of --cache-to; empty ones do not count."""
    values = (_values(text) for text in texts if text)
    return tuple(_export(each) for each in values if not _is_inactive(each))


def _values(text: str) -> dict[str, str]:
    """`KEY=VALUE,...`, or the name of an image at a registry alone."""
    fields = split_fields(text)
    if not any("=" in field for field in fields):
        return {"type": "registry", "ref": text}
    values = {}
    for field in fields:
        name, equals, value = field.partition("=")
        if not equals:
            raise UsageError(f"invalid value {field}")
        values[name.strip().lower()] = value
    if not values.get("type"):
        raise UsageError(f'type required form> "{text}"')
    return values


def _is_inactive(values: dict[str, str]) -> bool:
    """The cache of GitHub's actions is left out elsewhere, as buildx does."""
    return values["type"] == "gha" and "ACTIONS_RUNTIME_TOKEN" not in os.environ


def _import(values: dict[str, str]) -> CacheImport:
    match values["type"]:
        case "registry":
            name = values.get("ref", "")
            if not name:
                raise UsageError("registry cache importer requires ref")
            return CacheImport(_reference(name, "registry cache importer"), name=name)
        case "local":
            if not values.get("src"):
                raise UsageError("local cache importer requires src")
            directory, tag = absolute(values["src"]), values.get("tag") or LATEST
            return CacheImport(None, directory, tag, values.get("digest", ""), directory)
        case kind:
            raise UsageError(f"unknown cache importer: {kind}", hint="one of registry, local")


def _export(values: dict[str, str]) -> CacheExport:
    kind = values["type"]
    options = CacheExport()
    if kind not in {"inline", "local", "registry"}:
        raise UsageError(f'unknown cache exporter: "{kind}"', hint="one of inline, local, registry")
    if kind == "inline":
        return options
    what = f"{kind} cache exporter"
    if kind == "registry":
        if not values.get("ref"):
            raise UsageError(f"{what} requires ref")
        options = options._replace(reference=_reference(values["ref"], what))
    else:
        if not values.get("dest"):
            raise UsageError(f"{what} requires dest")
        tag = values.get("tag") or LATEST
        options = options._replace(directory=absolute(values["dest"]), tag=tag)
    has_docker_types = not _is_true(values, "oci-mediatypes", what, default=True)
    return options._replace(
        is_whole=_is_max(values.get("mode", "min")),
        compression=_compression(values.get("compression", "gzip"), what),
        level=_level(values.get("compression-level", ""), what),
        recompresses=_is_true(values, "force-compression", what),
        has_docker_types=has_docker_types,
        is_index=not _is_true(values, "image-manifest", what, default=True),
        ignores_errors=_is_true(values, "ignore-error", what),
    )


def _reference(text: str, what: str) -> Reference:
    from rootless.oci.reference import parse_reference

    try:
        return parse_reference(text).with_default_tag()
    except UsageError as error:
        raise UsageError(f"failed to configure {what}: {error.message}") from error


def _is_max(mode: str) -> bool:
    if mode not in {"min", "max"}:
        raise UsageError(f"invalid cache mode {mode!r}", hint="mode=min or mode=max")
    return mode == "max"


def _compression(text: str, what: str) -> Compression:
    try:
        return Compression(text)
    except ValueError:
        raise UsageError(
            f"failed to configure {what}: unsupported compression type {text}",
            hint="one of gzip, uncompressed, zstd",
        ) from None


def _level(text: str, what: str) -> int | None:
    try:
        return int(text) if text else None
    except ValueError:
        raise UsageError(
            f"failed to configure {what}: non-integer value {text} specified for compression-level"
        ) from None


def _is_true(values: dict[str, str], key: str, what: str, *, default: bool = False) -> bool:
    text = values.get(key)
    if text is None:
        return default
    if text not in _TRUE | _FALSE:
        raise UsageError(
            f"failed to configure {what}: failed to parse {key}: {text!r} is no boolean"
        )
    return text in _TRUE
