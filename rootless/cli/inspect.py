"""`inspect`: containers first, then images, as Docker looks them up."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from rootless.cli.grammar import Parsed
from rootless.cli.main import Settings, engine_of
from rootless.cli.output import as_json, wants_json
from rootless.errors import NotFoundError, UsageError


def inspect(parsed: Parsed, settings: Settings) -> int:
    """Print a JSON array of what the names stand for."""
    engine = engine_of(settings)
    lookups: dict[str, Callable[[str], object]] = {
        "container": engine.inspect_container,
        "image": engine.inspect_image,
    }
    kind: Any = parsed.values["type"]
    if kind is not None:
        if kind not in lookups:
            raise UsageError(f'"{kind}" is not a valid value for --type')
        lookups = {kind: lookups[kind]}
    return _inspect(parsed, list(lookups.values()))


def inspect_containers(parsed: Parsed, settings: Settings) -> int:
    """Print a JSON array of container documents."""
    return _inspect(parsed, [engine_of(settings).inspect_container])


def _inspect(parsed: Parsed, lookups: list[Callable[[str], object]]) -> int:
    wants_json(parsed.values["format"])
    found, status = [], 0
    for name in parsed.arguments:
        document = _look_up(name, lookups)
        if document is None:
            status = 1
            print(f"Error: No such object: {name}", file=sys.stderr)
        else:
            found.append(document)
    print(as_json(found))
    return status


def _look_up(name: str, lookups: list[Callable[[str], object]]) -> object | None:
    for lookup in lookups:
        try:
            return lookup(name)
        except (NotFoundError, UsageError):
            continue
    return None
