"""Reading files of an image without a container: of the store, of one file or of a directory."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from rootless.rootfs.image.added_files import script_files
from rootless.rootfs.image.paths import has_paths
from rootless.rootfs.union import lower_layers
from rootless.rootfs.union_copy import find_node
from unionfs.union import Union

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from rootless.rootfs.lower import Lower

_MOST_BYTES = 1 << 20
"""Of a file: longer ones are no scripts and no labels."""


class ImageFiles:
    """The files of an image with, for one of the store that has no scripts of Apptainer's, those that it would be given
    in a file. To be used in `with`. Raises RootlessError, OSError.
    """

    def __init__(self, lower: Lower) -> None:
        self._added: dict[str, str] = {}
        if lower.image_id and not any(has_paths(lower.tree, ("/.singularity.d",))):
            self._added = {
                f"/{path}": text for path, (text, _) in script_files(lower.config).items()
            }
        self._union = Union(lower_layers(lower.tree), None)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._union.destroy()

    def text(self, path: str) -> str | None:
        """Of a regular file at an absolute path, symbolic links followed beneath the root; None if there is none."""
        if path in self._added:
            return self._added[path]
        node = find_node(self._union, path)
        if node is None or not stat.S_ISREG(self._union.getattr(node).mode):
            return None
        return self._union.read(node, 0, _MOST_BYTES).decode(errors="replace")

    def names(self, path: str) -> list[str]:
        """What is in a directory; empty if there is none."""
        inside = f"{path}/"
        added = [
            each.removeprefix(inside)
            for each in self._added
            if each.startswith(inside) and "/" not in each.removeprefix(inside)
        ]
        node = find_node(self._union, path)
        if node is None or not stat.S_ISDIR(self._union.getattr(node).mode):
            return added
        entries = [os.fsdecode(each.name) for each in self._union.readdir(node, 0)]
        return [*added, *(name for name in entries if name not in {".", ".."})]
