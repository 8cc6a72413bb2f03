"""`diff`."""

from __future__ import annotations

import os

from rootless.cli.changed_paths import print_changes
from rootless.cli.containers.chosen import LATEST, with_latest
from rootless.cli.context import Settings, engine_of
from rootless.cli.grammar import Command, GrammarError, Parsed, Text
from rootless.cli.output import as_json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_FORMAT = Text(("format",), "Print the changes as 'json', by kind", "FORMAT", choices=("json",))
_KINDS = {"C": "changed", "A": "added", "D": "deleted"}
"""As podman's document calls them, in its order."""


def diff(parsed: Parsed, settings: Settings) -> int:
    """List what a container has changed."""
    form = parsed[_FORMAT]
    if form not in (None, "", "json"):
        raise GrammarError("only supported value for '--format' is 'json'")
    engine = engine_of(settings)
    changes = engine.diff(*with_latest(parsed, engine, "diff", most=1))
    if form:
        print(as_json(_by_kind(changes)))
    else:
        print_changes(changes)
    return 0


def _by_kind(changes: Iterable[tuple[str, bytes]]) -> Mapping[str, list[str]]:
    found: dict[str, list[str]] = {name: [] for name in _KINDS.values()}
    for kind, path in changes:
        found[_KINDS[kind]].append("/" + os.fsdecode(path))
    return {name: paths for name, paths in found.items() if paths}


DIFF = Command(
    "diff",
    "Inspect changes to files or directories on a container's filesystem",
    "CONTAINER[@TAG]",
    (_FORMAT, LATEST),
    diff,
    operand="container",
    description="""List the files and directories that a container has added (A), changed (C) or
deleted (D).""",
)
