"""The volumes of a new container: names anonymous ones, makes missing ones, and fills empty ones from the image."""

from __future__ import annotations

import os
import posixpath

from rootless.containers.container_options import options_in
from rootless.containers.launch_description import ImageTree
from rootless.containers.timestamps import now
from rootless.containers.volumes.events import report_volumes
from rootless.errors import CommandNotFoundError, RootlessError
from rootless.rootfs.seed_volume import seed_volume
from rootless.spec.options import ContainerOptions, ImageMount, Tmpfs, Volume
from rootless.syscalls.openat2 import RESOLVE_IN_ROOT, RESOLVE_NO_MAGICLINKS, openat2
from rootless.volumes.names import new_name
from rootless.volumes.options import bind_flags
from rootless.volumes.record import ANONYMOUS_LABEL, VolumeRecord

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rootless.containers.directory import Containers
    from rootless.containers.launch_description import HostTree
    from rootless.containers.storage_paths import StoragePaths
    from rootless.durable import LockFile
    from rootless.spec.options import UserMount


class PreparedVolumes:
    """`options` with every volume named and there. Until `release` none of them is removed, because nothing
    else shows yet that the container uses them; `abandon` removes what was made for it alone.
    """

    def __init__(
        self,
        options: ContainerOptions,
        image_volumes: Iterable[str],
        tree: HostTree | ImageTree,
        paths: StoragePaths,
    ) -> None:
        """Raises RootlessError, and leaves nothing but volumes that were asked for by name."""
        self._volumes = volumes = paths.volumes
        self._runtime = paths.runtime
        self._own: list[str] = []
        self._lock: LockFile = volumes.hold()
        try:
            mounts = [*options.mounts]
            mounts += _inherited(options, mounts, paths.containers)
            mounts += _of_image(mounts, image_volumes)
            named = [self._make(each) if isinstance(each, Volume) else each for each in mounts]
            self.options = options._replace(mounts=tuple(named))
            for each in named:
                if isinstance(each, Volume):
                    self._fill(each, tree)
        except BaseException:
            self.abandon()
            raise

    def release(self) -> None:
        """The container is there."""
        self._lock.release()

    def abandon(self) -> None:
        """The container could not be made."""
        self._lock.release()
        self._volumes.remove(self._own, list)

    def _make(self, mount: Volume) -> Volume:
        labels = dict(mount.labels)
        if not mount.name:
            mount = mount._replace(name=new_name(), is_anonymous=True)
            labels[ANONYMOUS_LABEL] = ""
            self._own.append(mount.name)
        asked = VolumeRecord(mount.name, now(), labels, mount.driver_options)
        record = self._volumes.create(asked)
        if record is asked:
            report_volumes(self._runtime, "create", [record.name])
        if record.device is None:
            return mount._replace(is_tmpfs=record.is_tmpfs)
        return mount._replace(device=record.device, device_flags=bind_flags(record.options))

    def _fill(self, mount: Volume, tree: HostTree | ImageTree) -> None:
        if mount.device or mount.inherited:
            return
        directory = self._volumes.directory(mount.name)
        if isinstance(tree, ImageTree) and not (mount.nocopy or mount.subpath or mount.is_tmpfs):
            seed_volume(directory, tree, mount.target)
        if mount.subpath:
            _require(self._volumes.mountpoint(mount.name), mount.subpath)


def _inherited(
    options: ContainerOptions, mounts: Sequence[UserMount], containers: Containers
) -> list[UserMount]:
    """The binds and volumes of the containers of --volumes-from, but for paths on which another is mounted.

    Raises NotFoundError, InvalidDocumentError.
    """
    found: dict[str, UserMount] = {}
    for source in options.volumes_from:
        record = containers.find(source.container)
        for each in options_in(containers.directory(record.id)).mounts:
            if isinstance(each, ImageMount):
                found[each.target] = each._replace(inherited=True)
            elif not isinstance(each, Tmpfs):
                read_only = each.read_only or source.read_only
                found[each.target] = each._replace(read_only=read_only, inherited=True)
    taken = {posixpath.normpath(each.target) for each in mounts}
    return [each for target, each in found.items() if target not in taken]


def _of_image(mounts: Sequence[UserMount], paths: Iterable[str]) -> list[Volume]:
    """Anonymous volumes for the paths of VOLUME on which nothing else is mounted."""
    taken = {posixpath.normpath(each.target) for each in mounts}
    asked = dict.fromkeys(posixpath.normpath(f"/{path.lstrip('/')}") for path in paths)
    return [Volume("", path) for path in asked if path not in taken and path != "/"]


def _require(mountpoint: str, subpath: str) -> None:
    """Raise RootlessError, with docker's status, if a volume lacks a path."""
    root = os.open(mountpoint, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS
        os.close(openat2(root, subpath, os.O_PATH | os.O_CLOEXEC, resolve=resolve))
    except FileNotFoundError:
        path = f"{mountpoint}/{subpath}"
        raise CommandNotFoundError(
            f"cannot access path {path}: lstat {path}: no such file or directory"
        ) from None
    except OSError as error:
        raise RootlessError(
            f"cannot access path {mountpoint}/{subpath}: {(error.strerror or '').lower()}"
        ) from error
    finally:
        os.close(root)
