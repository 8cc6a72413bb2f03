"""The secrets of a build, read when a command needs them."""

from __future__ import annotations

from pathlib import Path

from rootless.build.errors import BuildError
from rootless.build.request import SecretSource

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def read_secret(
    sources: Sequence[SecretSource], environ: Mapping[str, str], name: str
) -> bytes | None:
    """A secret by its id; None if there is none. Raises BuildError if it cannot be read."""
    found = next((each for each in sources if each.id == name), None)
    if found is None:
        return None
    if found.variable is not None:
        value = environ.get(found.variable)
        return None if value is None else value.encode(errors="surrogateescape")
    try:
        return Path(found.path or "").read_bytes()
    except OSError as error:
        reason = (error.strerror or "").lower()
        raise BuildError(f"failed to read secret {name}: {reason}") from error
