"""`volume export` and `volume import`: the files of a volume as a tar archive, with the owners that containers
see.
"""

from __future__ import annotations

import os

from rootless.containers.storage_paths import StoragePaths
from rootless.durable import replace_file
from rootless.errors import RootlessError
from rootless.rootfs.copying.archive_in import extract_archive
from rootless.rootfs.copying.archive_out import write_archive
from rootless.rootfs.copying.places import Source, Tree
from rootless.run_in_child import run_in_child
from rootless.runtime.account import read_id_maps
from rootless.runtime.idmap import IdMaps
from rootless.spec.options import ROOT_IS_CALLER
from rootless.supervisor.file_servers.volume_mounts import call_with_volume

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def export_volume(paths: StoragePaths, name: str, output: Path | int) -> None:
    """Write the archive to a descriptor, or to a file, which is there when it is complete. Raises
    NotFoundError, RootlessError.
    """

    def write(descriptor: int) -> None:
        def export(root: int, maps: IdMaps) -> int:
            source = Source(root, "", is_contents=True)
            return write_archive(source, descriptor, with_records=maps.single)

        _call(paths, name, export)

    paths.volumes.find(name)
    if isinstance(output, int):
        write(output)
    else:
        replace_file(output, write)


def import_volume(paths: StoragePaths, name: str, source: int) -> None:
    """Add the members of the archive that a descriptor reads to the files of a volume, which replaces those of the
    same names. Raises NotFoundError, RootlessError.
    """

    def extract(root: int, maps: IdMaps) -> int:
        with open(source, "rb", closefd=False) as archive:
            tree = Tree(root, name)
            return extract_archive(archive, tree, "/", maps, with_records=maps.single)

    _call(paths, name, extract)


def _call(paths: StoragePaths, name: str, function: Callable[[int, IdMaps], int]) -> None:
    record = paths.volumes.find(name)
    try:
        if record.device is None:
            data = paths.volumes.mountpoint(name)
            call_with_volume(name, data, paths.runtime, function, is_tmpfs=record.is_tmpfs)
            return
        root = os.open(record.device, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        maps = read_id_maps(ROOT_IS_CALLER)
        run_in_child(lambda: function(root, maps))
    except BrokenPipeError:
        raise
    except OSError as error:
        where = f" ({os.fsdecode(error.filename)})" if error.filename else ""
        raise RootlessError(
            f"cannot copy the files of volume {name}: {(error.strerror or '').lower()}{where}"
        ) from error
