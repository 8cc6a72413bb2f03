"""`cp` out of a container: to files of the host, or as a tar archive."""

from __future__ import annotations

import os
import stat

from rootless.errors import RootlessError
from rootless.rootfs.copying.places import Tree, copying, find_source, find_target, host_tree
from rootless.rootfs.copying.tree import TreeCopy
from rootless.rootfs.open_root import call_with_root

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.containers.record import ContainerRecord
    from rootless.containers.storage_paths import StoragePaths
    from rootless.rootfs.stopped_root import OpenVolumes
    from rootless.runtime.idmap import IdMaps
    from rootless.store.layout import Store


def copy_out(
    record: ContainerRecord,
    paths: StoragePaths,
    store: Store,
    path: str,
    target: str | int,
    *,
    follow: bool,
    open_volumes: OpenVolumes,
) -> int:
    """Copy `path` of a container to a path of the host, or write it as an archive to a descriptor.
    On the host the copies are the caller's. Returns the bytes of the archive. Raises
    RootlessError."""
    working_directory, directory = os.getcwd(), paths.containers.directory(record.id)
    if isinstance(target, str):
        _check_output(target)

    def copy(root: int, maps: IdMaps) -> int:
        source = find_source(Tree(root, record.name), path, follow=follow)
        files = None
        if source.is_directory:
            from rootless.rootfs.copying.upper_files import UpperFiles

            files = UpperFiles(record, directory, root)
        if isinstance(target, int):
            from rootless.rootfs.copying.archive_out import write_archive

            return write_archive(source, target, files, with_records=maps.single)
        place = find_target(host_tree(), os.path.join(working_directory, target), source)
        result = TreeCopy(lambda _: None, upper_files=files)
        result.copy(source.place, place.directory, place.name)
        return result.size

    with copying(record.name):
        return call_with_root(record, paths, store, copy, open_volumes)


def _check_output(path: str) -> None:
    """Raise RootlessError with docker's words for a device, which the copy would replace, and for a pipe that has no name,
    such as /dev/stdout may be."""
    try:
        mode = os.stat(path).st_mode
    except OSError:
        return
    message = f'invalid output path: "{path}" must be a directory or a regular file'
    if stat.S_ISCHR(mode) or stat.S_ISBLK(mode):
        raise RootlessError(f"{message}: got a device")
    if not os.path.exists(os.path.realpath(path)):
        raise RootlessError(message)
