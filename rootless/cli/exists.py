"""`container exists`, `image exists`, `network exists` and `volume exists` (podman): the exit status is 0 for what exists
and 1 for what does not. Nothing is printed."""

from __future__ import annotations

from rootless.cli.context import Settings, engine_of
from rootless.cli.grammar import Command, Parsed
from rootless.errors import NotFoundError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from rootless.engine import Engine


def container_exists(parsed: Parsed, settings: Settings) -> int:
    """By name, id or beginning of an id."""
    return _status(parsed, settings, lambda engine, name: engine.container_id(name))


def image_exists(parsed: Parsed, settings: Settings) -> int:
    """By name, id or beginning of an id."""
    return _status(parsed, settings, lambda engine, name: engine.inspect_image(name))


def network_exists(parsed: Parsed, settings: Settings) -> int:
    """By name, id or beginning of an id."""
    return _status(parsed, settings, lambda engine, name: engine.networks.inspect(name))


def volume_exists(parsed: Parsed, settings: Settings) -> int:
    """By name."""
    return _status(parsed, settings, lambda engine, name: engine.volumes.inspect(name))


def _status(parsed: Parsed, settings: Settings, find: Callable[[Engine, str], object]) -> int:
    try:
        find(engine_of(settings), parsed.arguments[0])
    except NotFoundError:
        return 1
    return 0


CONTAINER_EXISTS = Command(
    "exists",
    "Check if a container exists: the exit status is 0 if it does, 1 if not",
    "CONTAINER",
    (),
    container_exists,
    least=1,
    most=1,
    operand="container",
)
IMAGE_EXISTS = Command(
    "exists",
    "Check if an image exists: the exit status is 0 if it does, 1 if not",
    "IMAGE",
    (),
    image_exists,
    least=1,
    most=1,
    operand="image",
)
NETWORK_EXISTS = Command(
    "exists",
    "Check if a network exists: the exit status is 0 if it does, 1 if not",
    "NETWORK",
    (),
    network_exists,
    least=1,
    most=1,
    operand="network",
)
VOLUME_EXISTS = Command(
    "exists",
    "Check if a volume exists: the exit status is 0 if it does, 1 if not",
    "VOLUME",
    (),
    volume_exists,
    least=1,
    most=1,
    operand="volume",
)
