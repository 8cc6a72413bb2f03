"""The images of one store, and the operations on them that concern no container."""

from __future__ import annotations

import os

from rootless.containers.storage_paths import read_configuration, storage_paths

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path
    from typing import Any

    from rootless.build.checking import CheckReport
    from rootless.build.progress import Progress as BuildProgress
    from rootless.build.request import BuildRequest, BuildSubject, BuiltImage
    from rootless.engine.manifest_lists import ManifestListStore
    from rootless.engine.pull_in_child import ShowProgress
    from rootless.filters import ImageFilters
    from rootless.images.events import ImageEvents
    from rootless.images.gc.check import Finding
    from rootless.images.inspect import HistoryEntry
    from rootless.images.listing import ListedImage
    from rootless.images.new_image import LoadedImage
    from rootless.images.save import Format
    from rootless.images.transfer.copy import CopyOptions
    from rootless.images.transfer.login import LoggedIn
    from rootless.images.transfer.progress import Progress
    from rootless.images.transfer.pull import Pulled
    from rootless.images.transfer.push import Pushed
    from rootless.oci.platform import Platform
    from rootless.registry.authorization import Credentials
    from rootless.registry.configuration import ClientEnv
    from rootless.registry.remote import RemoteOptions
    from rootless.rootfs.image_files import ImageFiles
    from rootless.spec.storage_driver import StorageDriver
    from rootless.store.counting import Moved
    from rootless.store.layout import Store


class ImageStore:
    """The methods of `rootless.engine.engine.Engine` about images and registries; its arguments are those of
    Engine.
    """

    def __init__(
        self,
        *,
        root: str | os.PathLike[str] | None = None,
        runroot: str | os.PathLike[str] | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self._environ = os.environ if environ is None else environ
        self.configuration = read_configuration(self._environ)
        """What rootless.toml sets; None if there is no such file."""
        self.paths = storage_paths(root, runroot, self._environ, self.configuration)

    def _uppers_directory(self) -> str:
        """Where writable layers are that are not in the store; else "". Raises HostSupportError."""
        if not self.paths.uppers[0]:
            return ""
        from rootless.containers.writable_layers.uppers import Uppers

        return Uppers(*self.paths.uppers).directory(self._environ)

    def _driver(self, asked: StorageDriver | None = None) -> StorageDriver:
        from rootless.spec.storage_driver import default_driver

        return asked or default_driver(self._environ)

    def images(
        self, name: str | None = None, filters: ImageFilters | None = None
    ) -> list[ListedImage]:
        """One row per name of every image that passes the filters, newest first. `name`: a
        repository, a name or a pattern. Raises NotFoundError for the image of before and since.
        """
        from rootless.images.listing import list_images

        return list_images(self._store(), name, filters)

    def build(self, request: BuildRequest, *, progress: BuildProgress | None = None) -> BuiltImage:
        """Build an image from a Dockerfile. The caller must have one thread. Raises BuildError, with the
        position in the Dockerfile.
        """
        from rootless.build.build import build
        from rootless.engine.build_host import build_host

        host = build_host(
            self._store(),
            self.paths,
            self._environ,
            self._image_events(),
            self._uppers_directory(),
        )
        built = build(request, host, progress)
        for output in request.outputs:
            if output.push:
                for tag in built.tags:
                    self.push(str(tag))
        return built

    def check_build(self, request: BuildRequest, *, as_json: bool = False) -> CheckReport:
        """Look for probable mistakes in a Dockerfile; the report is text or a JSON document. Raises BuildError for a
        context that cannot be read."""
        from rootless.build.checking import check_dockerfile
        from rootless.build.workspace import Workspace
        from rootless.store.ingest import Ingest

        store = self._store()
        with Ingest(store) as ingest:
            return check_dockerfile(request, Workspace(store, ingest, None), as_json=as_json)

    def describe_build(
        self, request: BuildRequest, subject: BuildSubject, *, as_json: bool = False
    ) -> str:
        """The stages of a Dockerfile, or what a build takes, as tables or as a JSON document. Raises BuildError."""
        from rootless.build.checking import describe
        from rootless.build.workspace import Workspace
        from rootless.store.ingest import Ingest

        store = self._store()
        with Ingest(store) as ingest:
            return describe(request, Workspace(store, ingest, None), subject, as_json=as_json)

    def load(
        self,
        source: Path | int,
        *,
        platform: Platform | None = None,
        moved: Moved | None = None,
    ) -> list[LoadedImage]:
        """Load every image of an archive, by path or by descriptor. `moved` is called with the size of
        each piece of a layer.
        """
        from rootless.images.load import load

        loaded = load(self._store(), source, platform=platform, moved=moved)
        for image in loaded:
            self._image_events().of_image("load", image.id)
        return loaded

    def import_rootfs(
        self,
        source: Path | int | str,
        *,
        reference: str | None = None,
        changes: Sequence[str] = (),
        message: str | None = None,
        platform: Platform | None = None,
        moved: Moved | None = None,
    ) -> LoadedImage:
        """Make an image of one layer of a root file system archive: a path, a descriptor, or, as a
        string, an http or https URL.
        """
        from rootless.containers.timestamps import time_of_making
        from rootless.images.import_tar import import_tar

        image = import_tar(
            self._store(),
            source,
            reference=reference,
            created=time_of_making(self._environ),
            changes=changes,
            message=message,
            platform=platform,
            moved=moved,
        )
        self._image_events().imported(image.id, image.tags)
        return image

    def save(
        self,
        names: Sequence[str],
        output: Path | int,
        *,
        form: Format | None = None,
        platform: Platform | None = None,
        moved: Moved | None = None,
    ) -> None:
        """Write images to one archive, by path or by descriptor; a docker-archive by default."""
        from rootless.images.save import Format, save
        from rootless.store.image import resolve

        store = self._store()
        save(
            store,
            names,
            output,
            form or Format.DOCKER_ARCHIVE,
            platform=platform,
            moved=moved,
        )
        for name in names:
            self._image_events().of_image("save", resolve(store, name, platform).id)

    def tag(self, source: str, target: str) -> None:
        """Give an image another name."""
        from rootless.images.tag import tag
        from rootless.store.image import resolve

        reference = tag(self._store(), source, target)
        image = resolve(self._store(), target)
        self._image_events().of_image("tag", image.id, reference.familiar)

    def untag(self, name: str, targets: Sequence[str] = ()) -> None:
        """Remove names of an image, all of them if none is given; the image stays."""
        from rootless.images.tag import untag
        from rootless.store.image import resolve

        image = resolve(self._store(), name)
        gone = untag(self._store(), name, targets)
        self._image_events().untagged(image.id, len(gone))

    def history(self, name: str, *, platform: Platform | None = None) -> list[HistoryEntry]:
        """The steps that made an image, newest first."""
        from rootless.images.inspect import history
        from rootless.store.image import resolve

        store = self._store()
        return history(store, resolve(store, name, platform))

    def inspect_image(self, name: str, *, platform: Platform | None = None) -> dict[str, Any]:
        """The document of `docker image inspect`. Raises NotFoundError."""
        from rootless.images.inspect import inspect
        from rootless.store.image import resolve

        store = self._store()
        return inspect(store, resolve(store, name, platform))

    def compare_images(self, old: str, new: str) -> list[tuple[str, bytes]]:
        """The changes from one image's files to the other's: A, C or D, and the path."""
        from rootless.rootfs.read import compare_images
        from rootless.store.image import resolve

        store = self._store()
        return compare_images(store, resolve(store, old), resolve(store, new))

    def verify_image(self, name: str) -> list[Finding]:
        """Hash all objects of an image; returns those that are damaged or missing."""
        from rootless.images.gc.check import verify
        from rootless.store.image import resolve

        store = self._store()
        return verify(store, resolve(store, name))

    def unpack_image(self, name: str) -> str:
        """Unpack an image's files to a directory, which containers of the overlay driver use in place of a
        union from their next start. Returns the directory, which may exist already. Raises RootlessError.
        """
        from rootless.rootfs.image.unpack import unpack_image
        from rootless.store.image import resolve

        store = self._store()
        return unpack_image(store, resolve(store, name))

    def write_image_file(
        self,
        name: str,
        path: Path,
        *,
        sif: bool = False,
        platform: Platform | None = None,
        compression: str = "gzip",
        replace: bool = False,
        progress: ShowProgress | None = None,
        moved: Moved | None = None,
    ) -> None:
        """Write an image to one file, squashfs or with `sif` SIF; pulls it if it is not in the store.

        Args:
            compression: gzip, zstd, lz4 or xz.
            replace: Replace an existing file; without it that is an ExistsError.
            moved: Called with the size of each piece.

        Raises RootlessError; then nothing is written.
        """
        from rootless.engine.pull_in_child import find_or_fetch
        from rootless.rootfs.image.single_file import write_image_file
        from rootless.spec.options import PullPolicy

        store = self._store()
        image = find_or_fetch(
            store,
            name,
            platform,
            policy=PullPolicy.MISSING,
            environ=self._environ,
            progress=progress,
            pulled=lambda reference: self._image_events().of_transfer("pull", reference),
        )
        write_image_file(
            store, image, path, sif=sif, compression=compression, replace=replace, moved=moved
        )

    def write_files(
        self,
        source: Path,
        path: Path,
        *,
        sif: bool = False,
        compression: str = "gzip",
        replace: bool = False,
        moved: Moved | None = None,
    ) -> None:
        """Write the files of a directory, or of a SIF or squashfs file, to one file, as `write_image_file` does.

        Raises RootlessError; then nothing is written.
        """
        from rootless.rootfs.image.single_file import write_files
        from rootless.rootfs.lower import lower_of_path

        lower_of_path(str(source), program="", hidden=())
        write_files(
            str(source), path, sif=sif, compression=compression, replace=replace, moved=moved
        )

    def image_files(self, name: str, path: str = "") -> ImageFiles:
        """The files of an image that is here, or of the directory or image file at `path`, to be read in `with`.
        Raises RootlessError.
        """
        from rootless.rootfs.image_files import ImageFiles
        from rootless.rootfs.lower import lower_of_image, lower_of_path
        from rootless.store.image import resolve

        if path:
            return ImageFiles(lower_of_path(path, program="", hidden=()))
        store = self._store()
        return ImageFiles(lower_of_image(store, resolve(store, name), name))

    def mount_image(self, name: str) -> Path:
        """Mount an image's files, read-only, on a directory that the whole machine sees and only this account
        may enter. An image that is mounted stays mounted. Raises RootlessError.
        """
        from rootless.rootfs.image.mounts import mount_image
        from rootless.store.image import resolve

        store = self._store()
        return mount_image(self.paths, store, resolve(store, name))

    def unmount_image(self, name: str) -> None:
        """Unmount an image. Raises NotFoundError if it is not mounted."""
        from rootless.rootfs.image.mounts import unmount_image
        from rootless.store.image import resolve

        unmount_image(self.paths, resolve(self._store(), name))

    def mounted_images(self) -> list[tuple[str, Path]]:
        """Id and directory of every image that is mounted."""
        from rootless.rootfs.image.mounts import mounted_images

        return mounted_images(self.paths)

    @property
    def manifest_lists(self) -> ManifestListStore:
        """The lists of images for several platforms."""
        from rootless.engine.manifest_lists import ManifestListStore

        return ManifestListStore(self._store(), self._client_env())

    # Registries.

    def pull(
        self,
        name: str,
        *,
        options: RemoteOptions | None = None,
        platform: Platform | None = None,
        all_tags: bool = False,
        progress: Progress | None = None,
    ) -> list[Pulled]:
        """Pull an image, or every tag of a repository."""
        from rootless.images.transfer.pull import pull

        pulled = pull(
            self._store(),
            name,
            self._client_env(),
            options=options,
            platform=platform,
            all_tags=all_tags,
            progress=progress,
        )
        for each in pulled:
            self._image_events().of_transfer("pull", each.reference)
        return pulled

    def push(
        self,
        name: str,
        *,
        options: RemoteOptions | None = None,
        all_tags: bool = False,
        progress: Progress | None = None,
    ) -> list[Pushed]:
        """Push an image, or every tag of a repository, to the registry in its name."""
        from rootless.images.transfer.push import push

        pushed = push(
            self._store(),
            name,
            self._client_env(),
            options=options,
            all_tags=all_tags,
            progress=progress,
        )
        for each in pushed:
            self._image_events().of_transfer("push", each.reference)
        return pushed

    def copy(
        self,
        source: str,
        destination: str,
        options: CopyOptions | None = None,
    ) -> str:
        """Copy an image between locations as skopeo spells them; returns its digest."""
        from rootless.images.transfer.copy import CopyOptions, copy

        env = self._client_env()
        return copy(self._store(), source, destination, env, options or CopyOptions())

    def login(
        self, host: str | None, account: Credentials, options: RemoteOptions | None = None
    ) -> LoggedIn:
        """Authenticate to a registry (None: Docker Hub) and store the credentials."""
        from rootless.images.transfer.login import login, registry_host
        from rootless.registry.remote import RemoteOptions

        env = self._client_env()
        return login(registry_host(host), account, env, options or RemoteOptions())

    def logout(self, host: str | None, options: RemoteOptions | None = None) -> bool:
        """Remove the stored credentials of a registry; returns whether there were any."""
        from rootless.images.transfer.login import logout
        from rootless.registry.remote import RemoteOptions

        return logout(host, self._client_env(), options or RemoteOptions())

    def account(self, host: str | None, options: RemoteOptions | None = None) -> Credentials | None:
        """The stored credentials of a registry, or None."""
        from rootless.images.transfer.login import known_account, registry_host
        from rootless.registry.remote import RemoteOptions

        env = self._client_env()
        return known_account(registry_host(host), env, options or RemoteOptions())

    def registry_tags(self, name: str, options: RemoteOptions | None = None) -> tuple[str, ...]:
        """Every tag of a repository at its registry."""
        from rootless.images.transfer.registry_tags import registry_tags

        return registry_tags(name, self._client_env(), options)

    def _image_events(self) -> ImageEvents:
        from rootless.images.events import ImageEvents

        return ImageEvents(self.paths, self._store())

    def _client_env(self) -> ClientEnv:
        from rootless.registry.configuration import ClientEnv

        return ClientEnv.of_caller(self._environ)

    def _store(self) -> Store:
        from rootless.store.layout import Store

        return Store.open(self.paths.store, self.paths.shared)
