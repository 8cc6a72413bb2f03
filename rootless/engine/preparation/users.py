"""Files that name the caller, for a container that writes to a directory of the host: the directory does not keep them."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping


def user_files(root: str, entries: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """The files of `etc_files` for a root file system of the host: its own, with a line before them. `entries` are the
    lines by the names of the files, passwd and group.
    """
    return {
        name: (f"/etc/{name}", f"{entry}\n{_read(f'{root}/etc/{name}')}")
        for name, entry in entries.items()
    }


def _read(path: str) -> str:
    """Empty if it is missing or cannot be read."""
    try:
        with open(path, "rb") as file:
            return file.read().decode(errors="surrogateescape")
    except OSError:
        return ""
