"""The writable layer of a new container outside its own directory, and the layers of --overlay. Errors are raised
before a process starts.
"""

from __future__ import annotations

import os

from rootless.containers.record import IN_DIRECTORY, IN_MEMORY, IN_OVERLAY, IN_UPPERS
from rootless.containers.writable_layers.place import cannot_freeze, link_layer, make_layer
from rootless.containers.writable_layers.uppers import Uppers
from rootless.durable import remove_tree
from rootless.errors import NotFoundError, RootlessError
from unionfs.light_types import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from rootless.containers.launch_description import LaunchDescription
    from rootless.containers.storage_paths import StoragePaths
    from rootless.spec.options import ContainerOptions, Overlay


class PreparedLayer(NamedTuple):
    """`kind` is a word of the record, `place` the directory or image that holds the layer where that is not the
    container's directory, `overlays` are the layers that are only read, top first.
    """

    kind: str
    place: str = ""
    overlays: tuple[str, ...] = ()

    def link(self, directory: str) -> None:
        """Put it into the directory of a container that is being made."""
        if self.place:
            link_layer(directory, self.place)
        else:
            make_layer(directory)

    def described(self, description: LaunchDescription) -> LaunchDescription:
        """The description of its container. A layer in memory is not synced, one that outlives the container is."""
        record = description.record._replace(layer=self.kind, overlays=self.overlays)
        is_volatile = self.kind == IN_MEMORY or (description.volatile and self.kind != IN_OVERLAY)
        return description._replace(record=record, volatile=is_volatile)

    def discard(self) -> None:
        """The container could not be made."""
        if self.kind == IN_UPPERS:
            remove_tree(self.place)


def prepare_layer(
    options: ContainerOptions, paths: StoragePaths, environ: Mapping[str, str], container: str
) -> PreparedLayer:
    """Find the layers of the container that will have the directory `container`, and make the directories of a writable one
    in another place.

    Raises:
        NotFoundError: a layer does not exist, or is neither a directory nor a file of a kind that is read.
        RootlessError: the writable one is a file, or the caller cannot write to it.
        HostSupportError: the place that the configuration names cannot be used.
        ConflictError: snapshots are asked for, and it is not in the store.
    """
    if options.snapshot_each:
        _require_store(options, paths)
    place, overlays = _find(options.overlays)
    if options.writable_tmpfs is not None:
        return PreparedLayer(IN_MEMORY, "", overlays)
    if place:
        return PreparedLayer(IN_OVERLAY, place, overlays)
    if paths.uppers[0]:
        place = Uppers(*paths.uppers).new_layer(container, environ)
        return PreparedLayer(IN_UPPERS, place, overlays)
    return PreparedLayer(IN_DIRECTORY, "", overlays)


def _require_store(options: ContainerOptions, paths: StoragePaths) -> None:
    """Raises ConflictError for a writable layer that could not be frozen."""
    written = [each.path for each in options.overlays if not each.read_only]
    if options.writable_tmpfs is not None:
        place, hint = "memory", "create it without --writable-tmpfs"
    elif written:
        place, hint = written[0], f"use --overlay {written[0]}:ro, or no snapshots"
    elif paths.uppers[0]:
        place, hint = paths.uppers[0], "create it without --snapshot-each"
    else:
        return
    raise cannot_freeze("the container", place, hint)


def _find(overlays: Iterable[Overlay]) -> tuple[str, tuple[str, ...]]:
    """The directory of the writable one or "", and the paths of those that are only read."""
    writable, read = "", []
    for overlay in overlays:
        if not os.path.exists(overlay.path):
            is_image = overlay.path.endswith(".img")
            make = "rootless hpc overlay create" if is_image else "mkdir"
            raise NotFoundError(
                f"the overlay {overlay.path} does not exist", hint=f"{make} {overlay.path}"
            )
        if overlay.read_only:
            _check_readable(overlay.path)
            read.append(overlay.path)
        else:
            _make_writable(overlay.path)
            writable = overlay.path
    return writable, tuple(read)


def _check_readable(path: str) -> None:
    from rootless.rootfs.overlays import open_overlay

    try:
        open_overlay(path, (0, 0)).close()
    except OSError as error:
        raise RootlessError(f"the overlay {path} cannot be read: {_reason(error)}") from None


def _make_writable(path: str) -> None:
    try:
        if os.path.isdir(path):
            make_layer(path)
        else:
            _check_image(path)
    except OSError as error:
        raise RootlessError(
            f"the overlay {path} cannot be written to: {_reason(error)}",
            hint=f"use --overlay {path}:ro to read it",
        ) from None


def _reason(error: OSError) -> str:
    if isinstance(error, NotADirectoryError):
        return f"{error.filename} in it is not a directory"
    return (error.strerror or "").lower()


def _check_image(path: str) -> None:
    """Its directories are made when it is mounted. Raises OSError, RootlessError."""
    from rootless.images.formats.ext_image import is_ext_image
    from rootless.images.formats.squashfs import find_squashfs

    if not is_ext_image(path):
        raise RootlessError(
            f"the overlay {path} cannot be written to: it is neither a directory nor an ext3 image",
            hint=f"use --overlay {path}:ro" if find_squashfs(path) is not None else None,
        )
    os.close(os.open(path, os.O_RDWR | os.O_CLOEXEC))
