"""--storage-opt KEY=VALUE. Pure."""

from __future__ import annotations

from rootless.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

_SYNC = {"auto": False, "always": True}


def parse_storage_options(texts: Sequence[str]) -> bool:
    """Whether the writable layer is synced even if the container is removed at its end; the last
    `sync=` counts.

    Raises:
        UsageError: an option or a value that does not exist.
    """
    always = False
    for text in texts:
        key, separator, value = text.partition("=")
        if not separator:
            raise UsageError(f"invalid storage option {text!r}: it must be KEY=VALUE")
        if key != "sync":
            raise UsageError(f"unknown storage option {key!r}", hint="the only one is sync")
        if value not in _SYNC:
            raise UsageError(
                f"invalid value {value!r} for the storage option sync", hint="use auto or always"
            )
        always = _SYNC[value]
    return always
