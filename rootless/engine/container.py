"""A container as its processes see it: everything decided before the first of them is forked."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rootless.launcher.idmap import IdMaps
from rootless.state.record import ContainerRecord


@dataclass(frozen=True, slots=True)
class HostTree:
    """A directory of the machine as the only lower layer. `hidden` are absolute paths not to be
    seen through it.
    """

    path: Path
    hidden: tuple[Path, ...] = ()


@dataclass(frozen=True, slots=True)
class ImageTree:
    """The layers of an image, bottom first: (layer.tar, index.sqlite) of each; and the index of all
    of them merged, where there are several.
    """

    layers: tuple[tuple[Path, Path], ...]
    chain: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """`spec` is the OCI runtime configuration, as written to config.json of `directory`."""

    record: ContainerRecord
    directory: Path
    spec: dict[str, Any]
    id_maps: IdMaps
    tree: HostTree | ImageTree
    terminal: bool
    stop_timeout: int | None
    cgroup_parent: str | None
    seccomp_cache: Path

    @property
    def upper(self) -> Path:
        return self.directory / "upper"

    @property
    def work(self) -> Path:
        return self.directory / "work"

    @property
    def mountpoint(self) -> Path:
        """Where the union is mounted, in the container's mount namespace only."""
        return self.directory / "rootfs"

    @property
    def log(self) -> Path:
        """What the union server and the monitor have to say."""
        return self.directory / "engine.log"
