"""--storage-opt KEY=VALUE,…, --overlay PATH[:ro] and --writable-tmpfs[=SIZE]. Pure, but for the current directory of
a relative path.
"""

from __future__ import annotations

import posixpath

from rootless.csv_fields import split_fields
from rootless.errors import UsageError
from rootless.sizes import ram_in_bytes
from rootless.spec.options import Overlay, StorageLimits
from unionfs.light_types import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_SYNC = {"auto": False, "always": True}
_UNITS = {"k": 1_000, "m": 1_000_000, "g": 1_000_000_000}
_HINT = "the options are size, inodes, bps, iops and sync"


class StorageOptions(NamedTuple):
    """`always_sync`: the writable layer is synced even if the container is removed at its end."""

    limits: StorageLimits
    always_sync: bool


def parse_storage_options(texts: Sequence[str]) -> StorageOptions:
    """The options of all --storage-opt; of each key the last counts.

    Raises:
        UsageError: an option or a value that does not exist.
    """
    always = False
    limits: dict[str, int] = {}
    for text in texts:
        for field in _fields(text):
            key, separator, value = field.partition("=")
            if not separator:
                raise UsageError(f"invalid storage option {field!r}: it must be KEY=VALUE")
            if key == "sync":
                always = _sync(value)
            elif key in {"size", "bps"}:
                limits[key] = _size(key, value)
            elif key in {"inodes", "iops"}:
                limits[key] = _count(key, value)
            else:
                raise UsageError(f"unknown storage option {key!r}", hint=_HINT)
    return StorageOptions(StorageLimits(**limits), always)


def _fields(text: str) -> list[str]:
    try:
        return split_fields(text)
    except ValueError as error:
        raise UsageError(f"invalid argument {text!r} for --storage-opt: {error}") from None


def _sync(value: str) -> bool:
    if value not in _SYNC:
        raise _invalid("sync", value, "use auto or always")
    return _SYNC[value]


def _size(key: str, value: str) -> int:
    try:
        size = ram_in_bytes(value)
    except ValueError as error:
        raise _invalid(key, value, str(error)) from None
    if size == 0:
        raise _invalid(key, value, "use a number of bytes above 0, such as 5G")
    return size


def _count(key: str, value: str) -> int:
    unit = _UNITS.get(value[-1:].lower(), 1)
    digits = value if unit == 1 else value[:-1]
    if not digits.isascii() or not digits.isdigit() or int(digits) == 0:
        raise _invalid(key, value, "use a number above 0, such as 200000 or 200k")
    return int(digits) * unit


def _invalid(key: str, value: str, hint: str) -> UsageError:
    return UsageError(f"invalid value {value!r} for the storage option {key}", hint=hint)


def parse_overlay(text: str, getcwd: Callable[[], str]) -> Overlay:
    """PATH, PATH:rw or PATH:ro, as Apptainer's. Raises UsageError."""
    path, _, mode = text.rpartition(":")
    if mode not in {"ro", "rw"} or not path:
        path, mode = text, "rw"
    if not path:
        raise UsageError("the path is empty")
    if not path.startswith("/"):
        path = f"{getcwd()}/{path}"
    return Overlay(posixpath.normpath(path), mode == "ro")


def parse_writable_tmpfs(text: str) -> int | None:
    """Bytes, 0 for none given; None where it is turned off (`=false`). Raises UsageError."""
    if text in {"", "true"}:
        return 0
    if text == "false":
        return None
    try:
        size = ram_in_bytes(text)
    except ValueError as error:
        raise UsageError(f"invalid value {text!r} for --writable-tmpfs", hint=str(error)) from None
    if size == 0:
        raise UsageError(
            f"invalid value {text!r} for --writable-tmpfs",
            hint="use a number of bytes above 0, such as 1G",
        )
    return size
