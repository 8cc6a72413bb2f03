"""`cp` out of a container: to files of the host, or as a tar archive."""

from __future__ import annotations

import os

from rootless.rootfs.copy_places import Tree, copying, find_source, find_target, host_tree
from rootless.rootfs.copy_tree import TreeCopy
from rootless.rootfs.open_root import call_with_root

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.containers.record import ContainerRecord
    from rootless.containers.storage_paths import StoragePaths
    from rootless.rootfs.open_root import OpenVolumes
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
    working_directory = os.getcwd()

    def copy(root: int, _: IdMaps) -> int:
        source = find_source(Tree(root, record.name), path, follow=follow)
        if isinstance(target, int):
            from rootless.rootfs.copy_archive_out import write_archive

            return write_archive(source, target)
        place = find_target(host_tree(), os.path.join(working_directory, target), source)
        result = TreeCopy(lambda _: None)
        result.copy(source.place, place.directory, place.name)
        return result.size

    with copying(record.name):
        return call_with_root(record, paths, store, copy, open_volumes)
