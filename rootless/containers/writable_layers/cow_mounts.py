"""The uppers of a container's mounts that are copied on write (-v SOURCE:TARGET:O).

containers/<id>/served-<position>/<generation>/upper, work

Each start of the container begins anew, with another generation. So what was to be read of an earlier one is gone, and
never another file of the same name.
"""

from __future__ import annotations

import os

from rootless.durable import remove_tree
from rootless.runtime.mount_options import OVERLAY
from unionfs.light_types import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any


class CowMount(NamedTuple):
    """`position` in the OCI configuration, `target` in the container. `source` is a directory of the host; of a volume
    its directory with the files, where owners are data."""

    position: int
    target: str
    source: str
    is_volume: bool

    def layer(self, directory: str) -> str:
        """The directory that holds `upper` and `work` in the directory of a container; empty before the first
        start."""
        top = self._top(directory)
        try:
            places = [f"{top}/{name}" for name in os.listdir(top)]
        except FileNotFoundError:
            return ""
        # Work is made last.
        return next((place for place in places if os.path.exists(f"{place}/work")), "")

    def make_layer(self, directory: str) -> str:
        """Make the directory. Raises OSError."""
        top = self._top(directory)
        layer = f"{top}/{os.urandom(8).hex()}"
        for each in (top, layer, f"{layer}/upper", f"{layer}/work"):
            os.makedirs(each, 0o700, exist_ok=True)
        return layer

    def remove_layer(self, directory: str) -> None:
        """Remove what was written."""
        remove_tree(self._top(directory))

    def _top(self, directory: str) -> str:
        return f"{directory}/served-{self.position}"


def cow_mounts(spec: Mapping[str, Any]) -> list[CowMount]:
    """The copy-on-write mounts of a container, by its OCI configuration."""
    return [
        cow_mount(position, mount, str(word))
        for position, mount in enumerate(spec.get("mounts", ()))
        for word in mount.get("options", ())
        if str(word).startswith(OVERLAY)
    ]


def cow_mount(position: int, mount: Mapping[str, Any], word: str) -> CowMount:
    """The mount of an entry of the configuration. `word`: the one of its options that asks for a copy."""
    target, source = str(mount["destination"]), str(mount["source"])
    return CowMount(position, target, source, word.removeprefix(OVERLAY) == "data")
