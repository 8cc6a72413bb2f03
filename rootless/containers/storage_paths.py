"""The directories of one engine: the user's own, and the stores of a site."""

from __future__ import annotations

import os

from unionfs.light_types import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from rootless.configuration.values import Configuration
    from rootless.containers.directory import Containers
    from rootless.network.defined.store import Networks
    from rootless.volumes.store import Volumes

IMAGE_STORES_VARIABLE = "ROOTLESS_IMAGE_STORES"
UPPERS_VARIABLE = "ROOTLESS_UPPERS"


class StoragePaths(NamedTuple):
    """`store`: images, containers and volumes. `runtime`: sockets, locks and mount points. `shared`: other
    stores, whose images are used in place. `uppers`: the directory for writable layers and what names it
    (`rootless.containers.writable_layers.uppers.Uppers`); empty where they are in the store."""

    store: str
    runtime: str
    shared: tuple[str, ...] = ()
    uppers: tuple[str, str] = ("", "")

    @property
    def root(self) -> str:
        """The store that was asked for, which may be one that can only be read."""
        return read_only_store(self.store) or self.store

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
        from rootless.network.defined.store import Networks

        return Networks(f"{self.store}/networks")

    @property
    def volumes(self) -> Volumes:
        """The volumes of the store."""
        from rootless.volumes.store import Volumes

        return Volumes(f"{self.store}/volumes")


def read_configuration(environ: Mapping[str, str]) -> Configuration | None:
    """The settings of rootless.toml; None if there is no such file. Raises InvalidDocumentError, and UsageError for
    a variable that would change what the site has locked.
    """
    from rootless.paths import SITE_CONFIGURATION, user_configuration

    user = user_configuration(environ)
    if not os.path.lexists(SITE_CONFIGURATION) and not os.path.lexists(user):
        return None
    from rootless.configuration.toml_file import read_configuration

    configuration = read_configuration(SITE_CONFIGURATION, user)
    for key, variable in (("image_stores", IMAGE_STORES_VARIABLE), ("uppers", UPPERS_VARIABLE)):
        if variable in environ:
            configuration.require_unlocked(key, variable)
    return configuration


def storage_paths(
    root: str | os.PathLike[str] | None,
    runroot: str | os.PathLike[str] | None,
    environ: Mapping[str, str],
    configuration: Configuration | None,
) -> StoragePaths:
    """The paths of a store and of a runtime directory; None: that of the environment, or the default.
    `configuration` is what rootless.toml sets.

    Raises HostSupportError if the store can only be read and there is no place for what is written.
    """
    from rootless.paths import data_root, runtime_root

    store = os.path.abspath(root) if root else data_root(environ, os.path.expanduser("~"))
    paths = StoragePaths(
        store,
        runtime=os.path.abspath(runroot) if runroot else runtime_root(environ, os.getuid()),
        uppers=_uppers(environ, configuration),
    )
    # As root, or with a capability, nothing but a read-only mount is in the way (access(2)).
    if not os.access(store, os.W_OK | os.X_OK) and os.path.exists(f"{store}/store.json"):
        paths = paths._replace(store=_store_in_place_of(paths, environ))
    return paths._replace(shared=shared_stores(paths.store, environ, configuration))


def _store_in_place_of(paths: StoragePaths, environ: Mapping[str, str]) -> str:
    """A store for what is written by the users of one that can only be read: in the place for writable layers, else in
    the runtime directory."""
    from rootless.containers.writable_layers.uppers import Uppers
    from rootless.paths import READ_ONLY
    from rootless.private_directory import make_private_directory

    status = os.stat(paths.store)
    place = Uppers(*paths.uppers).directory(environ) if paths.uppers[0] else paths.runtime
    made = f"{place}/stores/{status.st_dev:x}-{status.st_ino:x}"
    make_private_directory(made, "ROOTLESS_ROOT")
    try:
        os.symlink(paths.store, f"{made}/{READ_ONLY}")
    except FileExistsError:
        pass
    return made


def read_only_store(store: str) -> str:
    """The store in whose place this one is, because it can only be read; else ""."""
    from rootless.paths import READ_ONLY

    try:
        return os.readlink(f"{store}/{READ_ONLY}")
    except OSError:
        return ""


def shared_stores(
    store: str, environ: Mapping[str, str], configuration: Configuration | None = None
) -> tuple[str, ...]:
    """The stores whose images are used in place by the users of `store`: one that can only be read, in whose place it is,
    and the stores of a site.

    Those are named by ROOTLESS_IMAGE_STORES, separated by colons; if that is not set, by rootless.toml; if it names none, by
    `additionalimagestores` of the storage.conf of containers/storage. What a file names counts as far as this
    machine has a store of this engine there. A path that is not absolute is ignored.
    """
    below = read_only_store(store)
    return (*((below,) if below else ()), *_stores_of_site(environ, configuration))


def _stores_of_site(
    environ: Mapping[str, str], configuration: Configuration | None
) -> tuple[str, ...]:
    named = environ.get(IMAGE_STORES_VARIABLE)
    if named is not None:
        return tuple(path.rstrip("/") for path in named.split(":") if path.startswith("/"))
    if configuration is not None and configuration.image_stores:
        stores = configuration.image_stores
        return tuple(path for path in stores if os.path.exists(f"{path}/store.json"))
    from rootless.paths import storage_conf_files

    files = [path for path in storage_conf_files(environ) if os.path.exists(path)]
    if not files:
        return ()
    from rootless.configuration.storage_conf import image_stores

    return image_stores(files)


def _uppers(environ: Mapping[str, str], configuration: Configuration | None) -> tuple[str, str]:
    """The directory for writable layers, and what names it."""
    if named := environ.get(UPPERS_VARIABLE):
        return (named, UPPERS_VARIABLE)
    if configuration is None or not configuration.uppers:
        return ("", "")
    return (configuration.uppers, f"uppers in {configuration.files['uppers'][-1]}")
