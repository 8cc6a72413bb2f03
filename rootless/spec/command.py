"""The command of a container: its options over the image's configuration. Pure."""

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


def variables(
    options: ContainerOptions, image: Mapping[str, Any], defaults: Mapping[str, str] | None = None
) -> list[str]:
    """NAME=value, each name once, in the order in which they are first named: the defaults, then the image's, then those of
    the options, which also remove some. Raises InvalidDocumentError.
    """
    values = dict(defaults or {})
    for entry in words(image, "Env"):
        name, _, value = entry.partition("=")
        values[name] = value
    for name, given in options.variables:
        if given is None:
            values.pop(name, None)
        else:
            values[name] = given
    return [f"{name}={value}" for name, value in values.items()]


def arguments(
    command: tuple[str, ...], entrypoint: str | None, image: Mapping[str, Any]
) -> tuple[str, ...]:
    """The arguments to execute: the entry point, then the command. An entry point given anew drops the image's
    command (Docker).

    Raises:
        UsageError: both are empty.
    """
    if entrypoint is not None:
        result = (entrypoint, *command) if entrypoint else command
    else:
        result = (*words(image, "Entrypoint"), *(command or words(image, "Cmd")))
    if not result:
        raise UsageError("no command specified", hint="name one after the image")
    return result
