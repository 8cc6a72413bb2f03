"""The values of `build --cache-from` and `--cache-to`."""

from __future__ import annotations

from rootless.cli.context import absolute
from rootless.csv_fields import split_fields
from rootless.errors import UsageError


def parse_cache(text: str, key: str, flag: str) -> str:
    """The directory of a cache."""
    values = {}
    for field in split_fields(text):
        name, equals, value = field.partition("=")
        values[name if equals else "ref"] = value if equals else field
    kind = values.get("type", "registry")
    if kind != "local":
        raise UsageError(
            f"{flag}: caches of type {kind!r} are not supported", hint=f"type=local,{key}=DIR"
        )
    if not values.get(key):
        raise UsageError(f"{flag}: {key} is required for a local cache")
    return absolute(values[key])
