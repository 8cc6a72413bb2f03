"""`additionalimagestores` of the storage.conf of containers/storage (containers-storage.conf(5))."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

_KEY = b"additionalimagestores"


def image_stores(files: Iterable[str]) -> tuple[str, ...]:
    """The stores that the first of the files names which can be read, as far as they are stores of this engine."""
    for path in files:
        try:
            with open(path, "rb") as file:
                data = file.read()
        except OSError:
            continue
        return _in_configuration(data) if _KEY in data else ()
    return ()


def _in_configuration(data: bytes) -> tuple[str, ...]:
    import tomllib

    try:
        options = tomllib.loads(data.decode()).get("storage", {}).get("options", {})
    except (ValueError, AttributeError):
        return ()
    stores = options.get(_KEY.decode(), []) if isinstance(options, dict) else []
    return tuple(
        each.rstrip("/")
        for each in (stores if isinstance(stores, list) else [])
        if isinstance(each, str) and each.startswith("/") and os.path.exists(f"{each}/store.json")
    )
