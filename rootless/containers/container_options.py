"""Reads the options of a container from its directory."""

from __future__ import annotations

from rootless.containers.options_document import NAME, decode_options

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.spec.options import ContainerOptions


def options_in(directory: str) -> ContainerOptions:
    """The options of the container whose directory it is. Raises OSError, InvalidDocumentError."""
    path = f"{directory}/{NAME}"
    with open(path, "rb") as file:
        return decode_options(file.read(), path)
