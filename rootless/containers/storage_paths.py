"""The directories of one engine: the user's own, and stores of a site with images on a file system that all
nodes see."""

from __future__ import annotations

import os

from rootless.light_files import read_file
from unionfs.light_types import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from rootless.containers.directory import Containers
    from rootless.network.store import Networks
    from rootless.volumes.store import Volumes

_SYSTEM = "/etc/containers/storage.conf"
_KEY = b"additionalimagestores"


class StoragePaths(NamedTuple):
    """`store`: images, containers and volumes. `runtime`: sockets, locks and mount points. `shared`: other
    stores, whose images are used in place."""

    store: str
    runtime: str
    shared: tuple[str, ...] = ()

    def control_directory(self, container_id: str) -> str:
        """Where the control socket of a container's monitor lies."""
        from rootless.containers.directory import control_directory

        return control_directory(self.runtime, container_id)

    @property
    def containers(self) -> Containers:
        """The containers of the store."""
        from rootless.containers.delete_tree import remove_container_tree
        from rootless.containers.directory import Containers

        return Containers(f"{self.store}/containers", remove_container_tree, self.runtime)

    @property
    def networks(self) -> Networks:
        """The networks that the user has defined."""
        from rootless.network.store import Networks

        return Networks(f"{self.store}/networks")

    @property
    def volumes(self) -> Volumes:
        """The volumes of the store."""
        from rootless.volumes.store import Volumes

        return Volumes(f"{self.store}/volumes")


def storage_paths(
    root: str | os.PathLike[str] | None,
    runroot: str | os.PathLike[str] | None,
    environ: Mapping[str, str],
) -> StoragePaths:
    """Those of a store and of a runtime directory; None for what the environment names, or the usual one."""
    from rootless.paths import data_root, runtime_root

    return StoragePaths(
        store=os.path.abspath(root) if root else data_root(environ, os.path.expanduser("~")),
        runtime=os.path.abspath(runroot) if runroot else runtime_root(environ, os.getuid()),
        shared=shared_stores(environ),
    )


def shared_stores(environ: Mapping[str, str]) -> tuple[str, ...]:
    """Their directories: those in ROOTLESS_IMAGE_STORES, separated by colons; if that is not set, those in
    `additionalimagestores` of the storage.conf of containers/storage, the user's own before the system's
    (containers-storage.conf(5)), as far as they are stores of this engine. A path that is not absolute is
    ignored."""
    named = environ.get("ROOTLESS_IMAGE_STORES")
    if named is not None:
        return tuple(path.rstrip("/") for path in named.split(":") if path.startswith("/"))
    base = environ.get("XDG_CONFIG_HOME") or f"{environ.get('HOME', '')}/.config"
    for path in (f"{base}/containers/storage.conf", _SYSTEM):
        try:
            data = read_file(path)
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
