"""The volumes of one store, as part of the Python API."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from typing import Any

    from rootless.containers.storage_paths import StoragePaths
    from rootless.engine.volumes.commands import PrunedVolumes
    from rootless.filters import VolumeFilters
    from rootless.volumes.record import VolumeRecord


class VolumeStore:
    """The volumes of one engine (`rootless.engine.engine.Engine.volumes`)."""

    def __init__(self, paths: StoragePaths) -> None:
        self._paths = paths

    def create(
        self,
        name: str = "",
        *,
        labels: Mapping[str, str] | None = None,
        options: Mapping[str, str] | None = None,
    ) -> VolumeRecord:
        """Make a volume, under a random name if none is given; an existing one stays as it is.
        `options` are those of docker's local driver. Raises UsageError.
        """
        from rootless.engine.volumes.commands import create_volume

        return create_volume(self._paths, name, labels or {}, options or {})

    def matching(self, filters: VolumeFilters | None = None) -> list[VolumeRecord]:
        """The volumes that pass the filters, sorted by name."""
        from rootless.engine.volumes.commands import list_volumes
        from rootless.filters import VolumeFilters

        return list_volumes(self._paths, filters or VolumeFilters())

    def inspect(self, name: str) -> dict[str, Any]:
        """The document of `docker volume inspect`. Raises NotFoundError."""
        from rootless.engine.volumes.commands import inspect_volume

        return inspect_volume(self._paths, name)

    def remove(self, name: str, *, force: bool = False) -> None:
        """Remove a volume with its files. Raises InUseError if a container uses it, NotFoundError unless
        `force` is set.
        """
        from rootless.engine.volumes.commands import remove_volume

        remove_volume(self._paths, name, force=force)

    def export(self, name: str, output: Path | int) -> None:
        """Write the files of a volume as a tar archive to a file or a descriptor, with the owners that
        containers see. The caller must have one thread. Raises NotFoundError.
        """
        from rootless.engine.volumes.archives import export_volume

        export_volume(self._paths, name, output)

    def import_(self, name: str, source: int) -> None:
        """Add the members of the tar archive that a descriptor reads to the files of a volume. The caller
        must have one thread. Raises NotFoundError, and RootlessError for no archive.
        """
        from rootless.engine.volumes.archives import import_volume

        import_volume(self._paths, name, source)

    def prune(
        self, *, everything: bool = False, filters: VolumeFilters | None = None
    ) -> PrunedVolumes:
        """Remove the volumes that no container uses and that pass the filters: anonymous ones, with `everything` all."""
        from rootless.engine.volumes.commands import prune_volumes
        from rootless.filters import VolumeFilters

        return prune_volumes(self._paths, filters or VolumeFilters(), everything=everything)
