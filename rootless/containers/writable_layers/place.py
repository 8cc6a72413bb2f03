"""The directories of a container's writable layer, `upper` and `work`, on one file system.

containers/<id>/upper, work             directories: the layer is in the container's own directory
containers/<id>/upper -> PLACE/upper    links: it is in another place, a directory or an image file, which the user
                                        keeps (--overlay), or which is made for this container and is named by its id
/proc/<monitor>/fd/<N>/upper, work      while the container runs, it is in memory (--writable-tmpfs), and the
                                        directories of the container stay empty, or in an image file
"""

from __future__ import annotations

import errno
import os
import stat

from rootless.errors import ConflictError, RootlessError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.containers.record import ContainerRecord

UPPER, WORK = "upper", "work"


def layer_directory(directory: str) -> str:
    """The directory that holds `upper` and `work` of the container with this directory, at rest."""
    try:
        return os.path.dirname(os.readlink(f"{directory}/{UPPER}"))
    except OSError:  # no link
        return directory


def layer_of(record: ContainerRecord, directory: str) -> str:
    """The directory that holds `upper` and `work` of a container now. Raises RootlessError if the place is gone."""
    if record.memory_fd:
        return f"/proc/{record.monitor_pid}/fd/{record.memory_fd}"
    place = layer_directory(directory)
    if place != directory:
        require_place(record.name, place)
    return place


def link_layer(directory: str, place: str) -> None:
    """Keep the layer of a container that is being made in `place`."""
    for name in (UPPER, WORK):
        os.symlink(f"{place}/{name}", f"{directory}/{name}")


def make_layer(place: str) -> None:
    """Make the directories `upper` and `work` in a directory, as far as they are missing. Raises OSError."""
    for name, mode in ((UPPER, 0o755), (WORK, 0o700)):
        try:
            os.mkdir(f"{place}/{name}")
            os.chmod(f"{place}/{name}", mode)
        except FileExistsError:
            pass
    require_directories(place)


def require_directories(place: str) -> None:
    """A layer that others have made must not lead out of its place by a symbolic link. Raises NotADirectoryError, naming
    the one of `upper` and `work` that is there and is something else; OSError.
    """
    for name in (UPPER, WORK):
        try:
            mode = os.lstat(f"{place}/{name}").st_mode
        except FileNotFoundError:
            continue
        if not stat.S_ISDIR(mode):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), name)


def require_place(name: str, place: str) -> None:
    """Raises RootlessError if the layer of the container `name` is not there, ConflictError if it is in an image file."""
    if os.path.isfile(place):
        raise ConflictError(
            f"the writable layer of container {name} is in the image {place}, which can be read while the container runs",
            hint=f"start it (rootless start {name})",
        )
    if not os.path.isdir(f"{place}/{UPPER}"):
        raise RootlessError(
            f"the writable layer of container {name} is gone: {place} does not exist on this machine",
            hint=f"remove the container (rootless rm {name}), or use the machine on which it was created",
        )


def cannot_freeze(container: str, place: str, hint: str | None) -> ConflictError:
    """Why a writable layer that is in `place`, outside the container's directory, cannot be frozen."""
    return ConflictError(
        f"cannot take snapshots of {container}: the writable layer is in {place}, and only one in the store can be frozen",
        hint=hint,
    )


def own_place(container_id: str, directory: str) -> str:
    """A place outside the container's directory that was made for this container and goes with it; else ""."""
    place = layer_directory(directory)
    return place if place != directory and os.path.basename(place) == container_id else ""
