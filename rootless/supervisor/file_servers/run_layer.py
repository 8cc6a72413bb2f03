"""The writable layer of one run of a container, where it is not in the container's own directory: a new one in memory,
or one in another place, which has to be there and belongs to one container at a time: a directory or an ext3 image.
"""

from __future__ import annotations

import os

from rootless.containers.record import IN_MEMORY, IN_OVERLAY
from rootless.containers.writable_layers.place import (
    layer_directory,
    make_layer,
    require_directories,
    require_place,
)
from rootless.durable import acquire_lock, poll_lock
from rootless.errors import InUseError, InvalidDocumentError, LaunchError, UsageError
from rootless.run_in_child import run_in_child
from rootless.runtime.idmap import IdMaps, IdRange
from rootless.runtime.user_namespace import run_in_user_namespace
from rootless.spec.storage_driver import StorageDriver
from rootless.supervisor.engine_log import log
from rootless.syscalls import descriptors, mount_flags, mounts
from rootless.syscalls.processes import CLONE_NEWNS, unshare

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.containers.launch_description import LaunchDescription
    from rootless.durable import LockFile

_END_SECONDS = 1.0
"""Another container that has just ended leaves its layer some milliseconds later."""
_WRITE_SECONDS = 30.0
"""fuse2fs writes what it has in memory, and syncs it, after the last descriptor of an image is closed."""


class RunLayer:
    """`layer_fd` is the descriptor of a layer in memory or in an image, 0 for one elsewhere. A layer in memory is gone,
    and an image unmounted, when the last descriptor of it is closed, however that happens.

    Raises InUseError if another container has the layer, RootlessError if there is none.
    """

    def __init__(self, description: LaunchDescription) -> None:
        self.layer_fd = 0
        self._image, self._image_end = "", -1
        self._lock: LockFile | None = None
        if description.record.layer == IN_MEMORY:
            self.layer_fd = _make_tmpfs(description.memory_size)
            return
        place = layer_directory(description.directory)
        if os.path.isfile(place):
            if description.storage_driver is StorageDriver.OVERLAY:
                raise UsageError(
                    f"the overlay {place} is an image, which kernel overlayfs cannot write to",
                    hint="use --storage-driver unionfs",
                )
            self._image = place
            self.layer_fd, self._image_end = _mount_image(place)
            return
        require_place(description.record.name, place)
        if description.record.layer == IN_OVERLAY:
            self._lock = _lock(place)

    @property
    def descriptors(self) -> tuple[int, ...]:
        """What the file server needs to find it."""
        return (self.layer_fd,) if self.layer_fd else ()

    def release(self) -> None:
        """After the end of the file server. What was written to an image is in its file then."""
        if self.layer_fd:
            os.close(self.layer_fd)
            self.layer_fd = 0
        if self._image_end >= 0:
            if not _is_readable(self._image_end, _WRITE_SECONDS):
                log(f"{self._image} is not written yet {_WRITE_SECONDS:.0f} seconds after the end")
            os.close(self._image_end)
            self._image_end = -1
        if self._lock is not None:
            self._lock.release()
            self._lock = None


def _make_tmpfs(size: int) -> int:
    """A descriptor of the top of a new tmpfs, which is mounted nowhere, with the directories of a layer.

    Args:
        size: Bytes that it may hold; 0: the limit of tmpfs(5), half of the machine's memory.

    Raises:
        LaunchError: it cannot be mounted.
    """
    ours, theirs = descriptors.pair()
    # Owned by the user who runs the container, as any upper.
    maps = IdMaps((IdRange(0, os.getuid(), 1),), (IdRange(0, os.getgid(), 1),), helper=False)

    def mount() -> None:
        unshare(CLONE_NEWNS)
        options = ("mode=0755", *((f"size={size}",) if size else ()))
        attributes = mount_flags.MOUNT_ATTR_NODEV | mount_flags.MOUNT_ATTR_NOSUID
        top = mounts.new_mount("tmpfs", "rootless", options, attributes)
        make_layer(f"/proc/self/fd/{top}")
        descriptors.send(theirs, b"layer", [top])

    try:
        run_in_user_namespace(maps, mount)
        _, (layer,) = descriptors.receive(ours, 16, 1)
    except OSError as error:
        reason = (error.strerror or "").lower()
        raise LaunchError(f"cannot mount a tmpfs for the writable layer: {reason}") from error
    finally:
        ours.close()
        theirs.close()
    return layer


def _is_readable(fd: int, seconds: float) -> bool:
    """Whether it is, or the other end of a pipe is closed, before that time is over."""
    from select import POLLIN, poll

    poller = poll()
    poller.register(fd, POLLIN)
    return bool(poller.poll(seconds * 1000))


def _mount_image(path: str) -> tuple[int, int]:
    """A descriptor of the top of an ext3 image, whose mount is detached, and the end of a pipe of which fuse2fs has the
    other. Raises RootlessError, OSError."""
    ours, theirs = descriptors.pair()

    def mount() -> None:
        from rootless.images.formats.ext_image import mounted_ext_image

        end, kept = os.pipe()
        with mounted_ext_image(path, writable=True, passed=(kept,)) as top:
            make_layer(top)
            fd = os.open(top, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            descriptors.send(theirs, b"layer", [fd, end])

    try:
        run_in_child(mount)
        _, (layer, end) = descriptors.receive(ours, 16, 2)
    finally:
        ours.close()
        theirs.close()
    return layer, end


def _lock(place: str) -> LockFile:
    """The lock of a layer that outlives its container: the work directory is locked by the file server, and not at all
    under the storage driver overlay. Raises InUseError, InvalidDocumentError, OSError."""
    try:
        require_directories(place)
    except NotADirectoryError as error:
        raise InvalidDocumentError(
            f"the overlay {place} cannot be written to: {error.filename} in it is not a directory"
        ) from error
    lock = poll_lock(lambda: acquire_lock(f"{place}/.lock", wait=False), _END_SECONDS)
    if lock is None:
        raise InUseError(
            f"the overlay {place} is in use by another container",
            hint=f"use --overlay {place}:ro to read it",
        )
    return lock
