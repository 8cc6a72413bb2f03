"""`inspect`: containers, images, networks and volumes by name or id, as JSON or by a template."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rootless.cli.containers.chosen import ALL, LATEST, all_flag, with_latest
from rootless.cli.context import Settings, engine_of
from rootless.cli.escape import escaped
from rootless.cli.formats import check_template, print_documents
from rootless.cli.grammar import Command, Flag, GrammarError, Parsed, Text
from rootless.cli.shared_options import FORMAT, PLATFORM, SIZE, platform_of
from rootless.errors import NotFoundError, UsageError

if TYPE_CHECKING:
    from rootless.engine import Engine

# Docker's other kinds of objects, of which there are none.
_NONE_HERE = {"config", "node", "plugin", "secret", "service", "task"}
_TYPE = Text(
    ("type",),
    "Only inspect objects of the given type: container, image, network or volume",
    "TYPE",
    choices=("container", "image", "network", "volume"),
)


_VERBOSE = Flag(("verbose", "v"), "Verbose output for diagnostics", hidden=True)


def inspect(parsed: Parsed, settings: Settings) -> int:
    """Print what is known of each name: that of a container, an image, a network or a volume, in this order."""
    engine = engine_of(settings)
    sizes = parsed[SIZE]
    lookups: dict[str, Callable[[str], Mapping[str, Any]]] = {
        "container": lambda name: engine.inspect_container(name, sizes=sizes),
        "image": engine.inspect_image,
        "network": engine.networks.inspect,
        "volume": engine.volumes.inspect,
    }
    kind = parsed[_TYPE]
    if kind is None and parsed[LATEST]:
        kind = "container"
    if kind is None:
        if not parsed.arguments:
            raise GrammarError("'rootless inspect' requires at least 1 argument", exit_status=1)
        return _inspect(parsed, engine, parsed.arguments, list(lookups.values()), "object")
    if kind not in lookups and kind not in _NONE_HERE:
        known = ", ".join(f'"{each}"' for each in sorted({*lookups, *_NONE_HERE}))
        raise UsageError(f'unknown type: "{kind}": must be one of {known}')
    names = with_latest(parsed, engine, "inspect") if kind == "container" else parsed.arguments
    if kind in lookups:
        return _inspect(parsed, engine, names, [lookups[kind]], kind)
    return _inspect(parsed, engine, names, [lambda name: _no_such(kind, name)], kind)


def inspect_containers(parsed: Parsed, settings: Settings) -> int:
    """Print what is known of containers."""
    engine = engine_of(settings)
    sizes = parsed[SIZE]
    lookup = lambda name: engine.inspect_container(name, sizes=sizes)  # noqa: E731 - one line in a list
    names = with_latest(parsed, engine, "inspect")
    return _inspect(parsed, engine, names, [lookup], "container")


def inspect_images(parsed: Parsed, settings: Settings) -> int:
    """Print what is known of images."""
    engine = engine_of(settings)
    platform = platform_of(parsed)
    lookup = lambda name: engine.inspect_image(name, platform=platform)  # noqa: E731 - one line in a list
    return _inspect(parsed, engine, parsed.arguments, [lookup], "image")


def inspect_networks(parsed: Parsed, settings: Settings) -> int:
    """Print what is known of networks."""
    engine = engine_of(settings)
    return _inspect(parsed, engine, parsed.arguments, [engine.networks.inspect], "network")


def inspect_volumes(parsed: Parsed, settings: Settings) -> int:
    """Print what is known of volumes."""
    engine = engine_of(settings)
    names = parsed.arguments
    if parsed[ALL]:
        names = tuple(record.name for record in engine.volumes.matching())
    elif not names:
        raise GrammarError("'rootless volume inspect' requires at least 1 argument", exit_status=1)
    return _inspect(parsed, engine, names, [engine.volumes.inspect], "volume")


def _inspect(
    parsed: Parsed,
    engine: Engine,
    names: Sequence[str],
    lookups: list[Callable[[str], Mapping[str, Any]]],
    kind: str,
) -> int:
    """An error is printed for what is not found, and the status is 1; the rest is printed all the same."""
    form = parsed[FORMAT]
    check_template(form)
    found: list[Mapping[str, Any]] = []
    errors = []
    for name in names:
        try:
            found.append(_look_up(name, lookups, kind))
        except (NotFoundError, UsageError) as error:
            errors.append(error)
    print_documents(form, found, engine.with_podman_fields)
    sys.stdout.flush()
    for each in errors:
        print(escaped(f"Error: {each.message}"), file=sys.stderr)
    return 1 if errors else 0


def _no_such(kind: str, name: str) -> Mapping[str, Any]:
    """Raise NotFoundError with docker's words for an object of a kind that does not exist here."""
    if kind == "plugin":
        raise NotFoundError(f'plugin "{name}" not found')
    raise NotFoundError("This node is not a swarm manager.")


def _look_up(
    name: str, lookups: list[Callable[[str], Mapping[str, Any]]], kind: str
) -> Mapping[str, Any]:
    """The document of the first kind of object that has the name. Raises NotFoundError, UsageError."""
    for lookup in lookups:
        try:
            return lookup(name)
        except (NotFoundError, UsageError):
            if len(lookups) == 1:
                raise
    raise NotFoundError(f"No such {kind}: {name}")


INSPECT = Command(
    "inspect",
    "Return low-level information on containers, images, networks and volumes",
    "NAME|ID [NAME|ID...]",
    (FORMAT, LATEST, SIZE, _TYPE),
    inspect,
    operand="object",
)
CONTAINER_INSPECT = Command(
    "inspect",
    "Display detailed information on one or more containers",
    "CONTAINER [CONTAINER...]",
    (FORMAT, LATEST, SIZE),
    inspect_containers,
    operand="container",
)
IMAGE_INSPECT = Command(
    "inspect",
    "Display detailed information on one or more images",
    "IMAGE [IMAGE...]",
    (FORMAT, PLATFORM),
    inspect_images,
    least=1,
    operand="image",
)
NETWORK_INSPECT = Command(
    "inspect",
    "Display detailed information on one or more networks",
    "NETWORK [NETWORK...]",
    (FORMAT, _VERBOSE),
    inspect_networks,
    least=1,
    operand="network",
)
VOLUME_INSPECT = Command(
    "inspect",
    "Display detailed information on one or more volumes",
    "VOLUME [VOLUME...]",
    (all_flag("Inspect all volumes", "a"), FORMAT),
    inspect_volumes,
    operand="volume",
)
