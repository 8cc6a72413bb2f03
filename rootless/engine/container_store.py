"""The containers of one store: their records and their files."""

from __future__ import annotations

from rootless.engine.image_store import ImageStore
from rootless.errors import NotFoundError, RootlessError, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path
    from typing import Any

    from rootless.applying.apply import Applying
    from rootless.changes.container_changes import ContainerChanges
    from rootless.containers.launch_description import LaunchDescription
    from rootless.containers.record import ContainerRecord
    from rootless.containers.volumes.users import MountName
    from rootless.engine.networks.store import NetworkStore
    from rootless.engine.upkeep import PrunedContainers
    from rootless.engine.volumes.store import VolumeStore
    from rootless.filters import ContainerFilters, PruneFilters
    from rootless.images.new_image import LoadedImage
    from rootless.network.options import PublishedPort
    from rootless.rootfs.sizes import ContainerSizes
    from rootless.snapshots.record import Snapshot, Span
    from rootless.spec.options import ContainerOptions
    from rootless.store.counting import Moved
    from rootless.supervisor.file_servers.copy_up_report import CopyUpReport
    from rootless.supervisor.file_servers.volume_mounts import VolumeMounts
    from rootless.tracing.trace import Trace


class ContainerStore(ImageStore):
    """The methods of `rootless.engine.engine.Engine` about the records and files of containers; its arguments
    are those of Engine.
    """

    @property
    def networks(self) -> NetworkStore:
        """The networks that the user has defined."""
        from rootless.engine.networks.store import NetworkStore

        return NetworkStore(self.paths)

    @property
    def volumes(self) -> VolumeStore:
        """The volumes."""
        from rootless.engine.volumes.store import VolumeStore

        return VolumeStore(self.paths)

    def latest(self) -> str:
        """The id of the container that was created last. Raises NotFoundError."""
        records = self.paths.containers.all()
        if not records:
            raise NotFoundError("no containers found", hint="'rootless ps -a' lists them")
        return records[-1].id

    def container_id(self, name: str) -> str:
        """The id in full of the container with a name, an id or a prefix of an id. Raises NotFoundError, UsageError for
        a prefix of several."""
        return self._container(name, anywhere=True).id

    def containers(self) -> list[ContainerRecord]:
        """Every container, oldest first."""
        from rootless.containers.reconcile import reconcile

        reconcile(self.paths.containers)
        return self.paths.containers.all()

    def rename(self, name: str, new_name: str) -> None:
        """Give a container another name, also while it runs. Raises NotFoundError, ExistsError if
        the name is taken, UsageError if it is not valid or is its own.
        """
        record, new_name = self._container(name, anywhere=True), new_name.removeprefix("/")
        if new_name == record.name:
            raise UsageError("renaming a container with the same name as its current name")
        renamed = self.paths.containers.rename(record.id, new_name)
        from rootless.engine.networks.connections import rename_in_networks

        rename_in_networks(self.paths, renamed)

    def remove(self, name: str, *, force: bool = False, volumes: bool = False) -> None:
        """Remove a container, and with `volumes` its anonymous volumes. Raises NotFoundError, InUseError if it
        runs and `force` is not set.
        """
        from rootless.containers.remove import remove_container

        record = self._container(name, anywhere=True)
        control = self.paths.control_directory(record.id)
        remove_container(self.paths.containers, record, control, force=force, volumes=volumes)

    def inspect_container(self, name: str, *, sizes: bool = False) -> dict[str, Any]:
        """The document of `docker inspect` of a container; `sizes` adds SizeRw and SizeRootFs. Raises
        NotFoundError.
        """
        from pathlib import Path

        from rootless.containers.inspection.document import container_document

        containers = self.paths.containers
        record = self._container(name, anywhere=True)
        document = container_document(
            record,
            Path(containers.directory(record.id)),
            self._image_config(record),
            self.paths.volumes.mountpoint,
        )
        if sizes:
            found = self.container_sizes(record)
            document |= {"SizeRw": found.written, "SizeRootFs": found.total}
        return document

    def published_ports(self, name: str) -> tuple[PublishedPort, ...]:
        """The published ports of a container, none if it does not run. Raises NotFoundError."""
        from rootless.containers.status import ALIVE

        record = self._container(name)
        endpoint = record.endpoint
        return endpoint.ports if endpoint is not None and record.status in ALIVE else ()

    def container_mounts(self, record: ContainerRecord) -> list[MountName]:
        """The binds and volumes of a container by their names."""
        from rootless.containers.volumes.users import mount_names

        return mount_names(self.paths.containers.directory(record.id))

    def find_containers(
        self,
        filters: ContainerFilters | None = None,
        *,
        everything: bool = False,
        last: int | None = None,
    ) -> list[ContainerRecord]:
        """Containers that pass the filters, newest first; without `everything` only running ones. `last`: at
        most this many. Raises NotFoundError for the container of before and since.
        """
        from rootless.containers.filters import select
        from rootless.filters import ContainerFilters

        return select(
            self.containers(),
            filters or ContainerFilters(),
            self.paths.containers,
            self._store,
            everything=everything,
            last=last,
        )

    def container_sizes(self, record: ContainerRecord) -> ContainerSizes:
        """The bytes of a container's writable layer, and those with its image."""
        from rootless.rootfs.sizes import container_sizes

        return container_sizes(record, self.paths, self._store())

    def commit(
        self,
        name: str,
        *,
        reference: str | None = None,
        author: str = "",
        message: str = "",
        changes: Sequence[str] = (),
        pause: bool = True,
        moved: Moved | None = None,
    ) -> LoadedImage:
        """Make an image of a container, or of its snapshot (`NAME@TAG`). With `pause` a running container is
        paused meanwhile. `moved` is called with the size of each piece of the new layer.
        """
        from rootless.images.commit import CommitOptions
        from rootless.rootfs.commit import commit_container

        record, span = self._container_in(name)
        image = commit_container(
            record,
            self.paths,
            self._store(),
            self._environ,
            CommitOptions(reference, author, message, changes),
            pause=pause,
            moved=moved,
            span=span,
        )
        self._report(record, "commit", self._image_events().committed(image, message))
        return image

    def export(self, name: str, output: Path | int, *, moved: Moved | None = None) -> None:
        """Write all files of a container, or of its snapshot (`NAME@TAG`), as a tar archive, by path or by descriptor.
        `moved` is called with the size of each piece.
        """
        from rootless.rootfs.commit import export_container

        (record, span), store = self._container_in(name), self._store()
        export_container(record, self.paths, store, output, pause=True, moved=moved, span=span)
        self._report(record, "export")

    def diff(self, name: str) -> list[tuple[str, bytes]]:
        """The changes of a container, or of its snapshot (`NAME@TAG`): A (added), C (changed) or D (deleted), and the path
        relative to the root.
        """
        from pathlib import Path

        from rootless.rootfs.read import mountpoints, open_container, reading

        record, span = self._container_in(name)
        directory = Path(self.paths.containers.directory(record.id))
        with (
            open_container(record, self.paths, self._store(), pause=False, span=span) as files,
            reading(record),
        ):
            return files.changes(mountpoints(directory))

    def changes(
        self, name: str, paths: Sequence[str] = (), *, directory: str = "/", since: str = ""
    ) -> ContainerChanges:
        """The changes of a container, or of its snapshot (`NAME@TAG`), at or below `paths`, or all if there are
        none: against its image, the directory that it was made of, or its snapshot `since`. A relative path
        begins at the root, or at `directory` where the container's root is the host's.

        Raises NotFoundError, and UsageError if the one state was not made from the other.
        """
        from pathlib import Path

        from rootless.changes.container_changes import ContainerChanges
        from rootless.changes.parts import paths_in

        record, span = self._container_in(name, since)
        place = Path(self.paths.containers.directory(record.id))
        wanted = paths_in(record, place, paths, directory)
        return ContainerChanges(record, self.paths, self._store(), wanted, span)

    def applying(self, name: str) -> Applying:
        """An object that applies the changes of a container to the host's files that it was made of. Raises
        NotFoundError, and UsageError for a container that was not made of files of the host.
        """
        from rootless.applying.apply import Applying

        return Applying(self._container(name), self.paths, self._store())

    def snapshot(self, name: str, tag: str = "") -> Snapshot:
        """Freeze the files of a container, also while it runs, as the snapshot `tag`, by default the next free
        number. The caller must have one thread.

        Raises NotFoundError, UsageError if the tag is none, ExistsError if it is taken, and RootlessError if the
        container's writable layer cannot be frozen.
        """
        from rootless.engine.snapshots import take_snapshot

        record = self._container(name)
        return take_snapshot(record, self.paths, self._store(), tag, _open_volumes)

    def snapshots(self, name: str) -> list[Snapshot]:
        """The snapshots of a container, oldest first. Raises NotFoundError."""
        from rootless.engine.snapshots import list_snapshots

        return list_snapshots(self._container(name, anywhere=True), self.paths)

    def remove_snapshots(self, name: str, tags: Sequence[str]) -> None:
        """Remove snapshots of a container, which may be running. The container, its other snapshots and its branches keep
        their files. Raises NotFoundError, and then removes none, if one is not there.
        """
        from rootless.engine.snapshots import remove_snapshots

        remove_snapshots(self._container(name), self.paths, tags)

    def branch(self, name: str, new_name: str, tag: str = "") -> ContainerRecord:
        """Make a container with the options of another one and the files of its snapshot `tag`, by default of a
        new snapshot. No file is copied. The new container has the status created. The caller must have one
        thread.

        Raises NotFoundError, ExistsError if the new name is taken, and as `snapshot`.
        """
        from rootless.engine import snapshots

        record = self._container(name)
        self.paths.containers.require_free(new_name)
        if tag:
            snapshot = snapshots.find_snapshot(record, self.paths, tag)
        else:
            snapshot = self.snapshot(record.id)
        return snapshots.branch(record, self.paths, snapshot, new_name)

    def copy_in(self, name: str, source: str | int, path: str, *, follow: bool = False) -> int:
        """Copy a file or directory of the host, by path, or a tar archive, by descriptor, into a
        container. With `follow` a symbolic link at `source` is followed. Returns the bytes of the
        archive that holds the same. The caller must have one thread.
        """
        from rootless.rootfs.copying.into_container import copy_in

        record = self._container(name)
        size = copy_in(
            record,
            self.paths,
            self._store(),
            source,
            path,
            follow=follow,
            open_volumes=_open_volumes,
        )
        self._report(record, "extract-to-dir")
        return size

    def copy_out(self, name: str, path: str, target: str | int, *, follow: bool = False) -> int:
        """Copy a file or directory out of a container: to a path of the host, or as a tar archive to a
        descriptor. With `follow` a symbolic link at `path` is followed. Returns and needs what
        `copy_in` does.
        """
        from rootless.rootfs.copying.out_of_container import copy_out

        record = self._container(name)
        size = copy_out(
            record,
            self.paths,
            self._store(),
            path,
            target,
            follow=follow,
            open_volumes=_open_volumes,
        )
        self._report(record, "archive-path")
        return size

    def prune_containers(self, filters: PruneFilters | None = None) -> PrunedContainers:
        """Remove every container that has ended and passes the filters."""
        from rootless.engine.upkeep import prune_containers

        return prune_containers(self.paths, self.containers(), filters)

    def copy_up_report(self, name: str) -> CopyUpReport:
        """The copy-ups of a container, up to now if it runs. Raises NotFoundError."""
        from pathlib import Path

        from rootless.supervisor.file_servers.copy_up_report import read_report

        record = self._container(name)
        return read_report(record, Path(self.paths.containers.directory(record.id)))

    def trace(self, name: str, paths: Sequence[str] = (), *, directory: str = "/") -> Trace:
        """The files that a traced container has read, listed and looked for, up to now if it runs: at and below
        `paths`, or all. For a container over the host's files paths may be relative to `directory`.

        Raises NotFoundError, UsageError if it is not traced.
        """
        from rootless.tracing.document import read_trace

        document = self.trace_document(name, paths, directory=directory)
        return read_trace(document, f"the trace of container {name}")

    def trace_document(
        self, name: str, paths: Sequence[str] = (), *, directory: str = "/"
    ) -> dict[str, Any]:
        """As `trace`, as a document of the schema trace.schema.json."""
        from pathlib import Path

        from rootless.changes.parts import paths_in
        from rootless.supervisor.file_servers.access_trace import read_document
        from rootless.tracing.document import selected

        record, options = self._container_and_options(name)
        place = Path(self.paths.containers.directory(record.id))
        wanted = [b"/" + path for path in paths_in(record, place, paths, directory)]
        return selected(read_document(record, options, place), wanted)

    def _container_and_options(self, name: str) -> tuple[ContainerRecord, ContainerOptions]:
        from pathlib import Path

        from rootless.containers.inspection.document import read_options

        record = self._container(name)
        return record, read_options(record, Path(self.paths.containers.directory(record.id)))

    def _image_config(self, record: ContainerRecord) -> Mapping[str, Any]:
        """The `config` object of a container's image; empty if the image is gone."""
        from rootless.oci.image_config import read_image_config

        if not record.image_id:
            return {}
        try:
            data = self._store().read_document(record.image_id, "image config")
            return read_image_config(data, record.image_id).config
        except RootlessError:
            return {}

    def _report(
        self, record: ContainerRecord, action: str, attributes: Mapping[str, str] | None = None
    ) -> None:
        """Write the event of a container."""
        from rootless.containers.events import report

        report(self.paths.containers.runtime, record, action, attributes or {})

    def with_podman_fields(self, document: Mapping[str, Any]) -> Mapping[str, Any]:
        """A document of `inspect` with podman's further fields, which only that of a container has. Raises
        NotFoundError if the container has been removed meanwhile.
        """
        if "HostConfig" not in document:
            return document
        from pathlib import Path

        from rootless.containers.config import read_spec
        from rootless.containers.inspection.document import read_options
        from rootless.containers.inspection.podman_fields import with_podman_fields

        record = self.paths.containers.read(document["Id"])
        directory = self.paths.containers.directory(record.id)
        options = read_options(record, Path(directory))
        return with_podman_fields(document, record, options, read_spec(directory), directory)

    def _container_in(self, name: str, since: str = "") -> tuple[ContainerRecord, Span]:
        """A container, and the span to its snapshot if `name` is NAME@TAG. Raises as `_container`, UsageError."""
        from rootless.snapshots.record import WHOLE

        name, at, tag = name.partition("@")
        record = self._container(name)
        if not at and not since:
            return record, WHOLE
        from rootless.engine.snapshots import span_of

        return record, span_of(record, self.paths, since, tag)

    def _container(self, name: str, *, anywhere: bool = False) -> ContainerRecord:
        """A container by name or id, after a look at whether its monitor still lives.

        Raises NotFoundError, and ConflictError if it runs on another machine and `anywhere` is not set.
        """
        from rootless.containers.process_identity import require_here
        from rootless.containers.reconcile import reconcile

        reconcile(self.paths.containers)
        record = self.paths.containers.find(name)
        if not anywhere:
            require_here(record)
        return record


def _open_volumes(description: LaunchDescription) -> VolumeMounts:
    from rootless.supervisor.file_servers.volume_mounts import open_volumes_at_rest

    return open_volumes_at_rest(description)
