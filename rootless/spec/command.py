"""What a container executes: its options over the image's configuration. Pure."""

from __future__ import annotations

from rootless.errors import InvalidDocumentError, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from rootless.spec.options import ContainerOptions


def words(image: Mapping[str, Any], key: str) -> tuple[str, ...]:
    """A list of strings of an image's `config`. Raises InvalidDocumentError."""
    value = image.get(key) or ()
    if isinstance(value, str) or not all(isinstance(word, str) for word in value):
        raise InvalidDocumentError(f"image config: {key} is not a list of strings")
    return tuple(value)


def arguments(options: ContainerOptions, image: Mapping[str, Any]) -> tuple[str, ...]:
    """What is executed: the entry point, then the command. An entry point given anew drops the
    image's command (Docker).

    Raises:
        UsageError: both are empty.
    """
    command = options.command
    if options.entrypoint is not None:
        entrypoint: tuple[str, ...] = (options.entrypoint,) if options.entrypoint else ()
    else:
        entrypoint = words(image, "Entrypoint")
        command = command or words(image, "Cmd")
    result = (*entrypoint, *command)
    if not result:
        raise UsageError("no command specified", hint="name one after the image")
    return result
