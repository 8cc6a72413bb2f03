"""The locations that `copy` reads and writes, in skopeo's spelling. Pure.

containers-transports(5): `docker://NAME[:TAG|@DIGEST]`, `oci:PATH[:NAME]`, `oci-archive:PATH[:NAME]`,
`docker-archive:PATH[:NAME]`, `dir:PATH`. `local:NAME|ID` is the store.
"""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import NamedTuple

from rootless.errors import UsageError


class Kind(Enum):
    """The transport: the text before the first colon."""

    REGISTRY = "docker"
    OCI = "oci"
    OCI_ARCHIVE = "oci-archive"
    DOCKER_ARCHIVE = "docker-archive"
    DIRECTORY = "dir"
    LOCAL = "local"


class Location(NamedTuple):
    """`path` for those that are files; `name` is an image's name there, and may be empty."""

    kind: Kind
    path: Path
    name: str


def parse_location(text: str) -> Location:
    """Raises UsageError."""
    scheme, colon, rest = text.partition(":")
    try:
        kind = Kind(scheme)
    except ValueError:
        raise _invalid(text) from None
    if not colon or not rest:
        raise _invalid(text)
    if kind is Kind.REGISTRY:
        if not rest.startswith("//") or len(rest) == 2:
            raise _invalid(text)
        return Location(kind, Path(), rest[2:])
    if kind is Kind.LOCAL:
        return Location(kind, Path(), rest)
    if kind is Kind.DIRECTORY:
        return Location(kind, Path(rest), "")
    path, _, name = rest.partition(":")
    if not path:
        raise _invalid(text)
    return Location(kind, Path(path), name)


def _invalid(text: str) -> UsageError:
    return UsageError(
        f"{text!r} is not an image location",
        hint="write docker://NAME, local:NAME, oci:PATH[:NAME], oci-archive:PATH[:NAME], "
        "docker-archive:PATH[:NAME] or dir:PATH",
    )
