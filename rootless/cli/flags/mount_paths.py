"""The two paths of a mount, as the flags name them. Pure."""

from __future__ import annotations

import posixpath

from rootless.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

PROPAGATIONS = frozenset({"rprivate", "private", "rshared", "shared", "rslave", "slave"})


def target_of(text: str, spec: str) -> str:
    """Where in the container, without `..`. Raises UsageError, which names `spec`, the whole value."""
    if not text.startswith("/"):
        raise UsageError(
            f"invalid volume specification: {spec!r}: invalid mount path: {text!r} "
            "mount path must be absolute"
        )
    target = posixpath.normpath("/" + text.lstrip("/"))
    if target == "/":
        raise UsageError(
            f"invalid volume specification: {spec!r}: invalid specification: "
            "destination can't be '/'"
        )
    return target


def source_of(text: str, getcwd: Callable[[], str]) -> str:
    """A path of the host; relative ones are resolved from what `getcwd` returns."""
    return posixpath.normpath(posixpath.join("" if text.startswith("/") else getcwd(), text))
