"""`manifest create`, `annotate`, `push`, `inspect` and `rm`: one name for several platforms."""

from __future__ import annotations

import sys
from typing import Any

from rootless.cli.context import Settings, engine_of
from rootless.cli.grammar import Parsed
from rootless.cli.output import as_json
from rootless.cli.registries import remote_options
from rootless.errors import RootlessError
from rootless.images import manifest_lists
from rootless.registry.remote import RemoteOptions


def create(parsed: Parsed, settings: Settings) -> int:
    """Make a list of images that are at registries."""
    values: Any = parsed.values
    store, env = engine_of(settings).manifest_lists()
    name, *images = parsed.arguments
    listed = manifest_lists.create(
        store, name, images, env, amend=values["amend"], options=_options(values)
    )
    print(f"Created manifest list {listed.name.familiar}")
    return 0


def annotate(parsed: Parsed, settings: Settings) -> int:
    """Say for which platform an image of a list is."""
    values: Any = parsed.values
    fields = {"os": "os", "arch": "architecture", "variant": "variant", "os_version": "os.version"}
    changes: dict[str, object] = {
        field: values[key] for key, field in fields.items() if values[key] is not None
    }
    if values["os_features"]:
        changes["os.features"] = list(values["os_features"])
    store, _ = engine_of(settings).manifest_lists()
    manifest_lists.annotate(store, parsed.arguments[0], parsed.arguments[1], changes)
    return 0


def push(parsed: Parsed, settings: Settings) -> int:
    """Bring a list to its registry and print its digest."""
    values: Any = parsed.values
    store, env = engine_of(settings).manifest_lists()
    digest = manifest_lists.push_list(
        store,
        parsed.arguments[0],
        env,
        purge=values["purge"],
        options=_options(values),
        pushed=lambda each: print(f"Pushed ref {each} with digest: {each.digest}"),
    )
    print(digest)
    return 0


def inspect(parsed: Parsed, settings: Settings) -> int:
    """Print a list, or a manifest at a registry."""
    store, env = engine_of(settings).manifest_lists()
    *within, name = parsed.arguments
    document = manifest_lists.inspect(
        store,
        name,
        env,
        _options(parsed.values),
        within=within[0] if within else None,
        verbose=bool(parsed.values["verbose"]),
    )
    print(as_json(document))
    return 0


def remove(parsed: Parsed, settings: Settings) -> int:
    """Forget lists; those that do not exist are said, and the status is 1."""
    store, _ = engine_of(settings).manifest_lists()
    status = 0
    for name in parsed.arguments:
        try:
            manifest_lists.remove(store, name)
        except RootlessError as error:
            status = 1
            print(error.message, file=sys.stderr)
    return status


def _options(values: Any) -> RemoteOptions:  # noqa: ANN401 - the values of a command line
    """Docker's --insecure is --tls-verify=false."""
    return remote_options({**values, "tls_verify": False} if values["insecure"] else values)
