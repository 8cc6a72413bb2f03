"""The lists of images for several platforms, as part of the Python API."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rootless.images.manifest_lists import PlatformChanges
    from rootless.oci.document import Json
    from rootless.oci.reference import Reference
    from rootless.registry.configuration import ClientEnv
    from rootless.registry.remote import RemoteOptions
    from rootless.store.layout import Store
    from rootless.store.manifest_lists import ManifestList


class ManifestListStore:
    """The lists of one engine (`rootless.engine.engine.Engine.manifest_lists`)."""

    def __init__(self, store: Store, env: ClientEnv) -> None:
        self._store = store
        self._env = env

    def create(
        self,
        name: str,
        images: Sequence[str],
        *,
        amend: bool = False,
        options: RemoteOptions | None = None,
    ) -> ManifestList:
        """Make a list of images that are at registries; `amend` adds to an existing one."""
        from rootless.images.manifest_lists import create

        return create(self._store, name, images, self._env, amend=amend, options=options)

    def annotate(self, name: str, image: str, changes: PlatformChanges) -> None:
        """Set the platform of an image in a list."""
        from rootless.images.manifest_lists import annotate

        annotate(self._store, name, image, changes)

    def push(
        self,
        name: str,
        *,
        purge: bool = False,
        options: RemoteOptions | None = None,
        pushed: Callable[[Reference], None] | None = None,
    ) -> str:
        """Push a list and its images to its registry; returns its digest. `pushed` is called after each image."""
        from rootless.images.manifest_lists import push_list

        return push_list(self._store, name, self._env, purge=purge, options=options, pushed=pushed)

    def inspect(
        self,
        name: str,
        *,
        within: str | None = None,
        verbose: bool = False,
        options: RemoteOptions | None = None,
    ) -> Json | list[Json]:
        """A list, a manifest at a registry, or a manifest that the list `within` names."""
        from rootless.images.manifest_lists import inspect

        return inspect(self._store, name, self._env, options, within=within, verbose=verbose)

    def remove(self, name: str) -> None:
        """Remove a list; the images it names stay where they are."""
        from rootless.images.manifest_lists import remove

        remove(self._store, name)
