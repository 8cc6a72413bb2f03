"""`cp` into a container: files of the host, or a tar archive."""

from __future__ import annotations

import os

from rootless.rootfs.copying.object import id_inside
from rootless.rootfs.copying.places import Tree, copying, find_source, find_target, host_tree
from rootless.rootfs.copying.tree import TreeCopy
from rootless.rootfs.open_root import call_with_root
from rootless.runtime.idmap import to_outside

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.containers.record import ContainerRecord
    from rootless.containers.storage_paths import StoragePaths
    from rootless.rootfs.stopped_root import OpenVolumes
    from rootless.runtime.idmap import IdMaps
    from rootless.store.layout import Store


def copy_in(
    record: ContainerRecord,
    paths: StoragePaths,
    store: Store,
    source: str | int,
    path: str,
    *,
    follow: bool,
    open_volumes: OpenVolumes,
) -> int:
    """Copy a path of the host, or the archive that a descriptor reads, to `path` of a container.
    Returns the bytes of the archive. Raises RootlessError."""
    working_directory, caller = os.getcwd(), (os.getuid(), os.getgid())
    directory = paths.containers.directory(record.id)

    def copy(root: int, maps: IdMaps) -> int:
        tree = Tree(root, record.name)
        if isinstance(source, int):
            from rootless.rootfs.copying.archive_in import extract_archive

            with open(source, "rb", closefd=False) as archive:
                return extract_archive(archive, tree, path, maps, with_records=maps.single)
        found = find_source(host_tree(), os.path.join(working_directory, source), follow=follow)
        target = find_target(tree, path, found)
        workspace = None
        if found.is_directory:
            from rootless.rootfs.copying.prepared import workspace_of

            workspace = workspace_of(record, directory, root, maps, caller)
        result = TreeCopy(lambda each: _owner(each, maps), workspace)
        result.copy(found.place, target.directory, target.name)
        return result.size

    with copying(record.name):
        return call_with_root(record, paths, store, copy, open_volumes)


def _owner(found: os.stat_result, maps: IdMaps) -> tuple[int, int] | None:
    """The owner of a copy: the same numbers as on the host, as docker has it; root's where the
    container has no such id. None if that is this process's."""
    owner = (
        id_inside(to_outside(maps.uids, found.st_uid), maps.uids, maps.root[0]),
        id_inside(to_outside(maps.gids, found.st_gid), maps.gids, maps.root[1]),
    )
    return None if owner == (os.geteuid(), os.getegid()) else owner
