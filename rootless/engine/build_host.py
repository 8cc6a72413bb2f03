"""The engine's side of a build: finds images, runs the containers of steps, reads their changes."""

from __future__ import annotations

from rootless.build.request import BuildHost
from rootless.engine.pull_in_child import find_or_fetch
from rootless.images.gc.remove import remove_entry
from rootless.images.platforms import entry_named, join_platforms
from rootless.spec.options import PullPolicy

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from contextlib import AbstractContextManager

    from rootless.containers.storage_paths import StoragePaths
    from rootless.images.events import ImageEvents
    from rootless.oci.platform import Platform
    from rootless.spec.options import ContainerOptions
    from rootless.store.image import Image
    from rootless.store.layout import Store


def build_host(
    store: Store,
    paths: StoragePaths,
    environ: Mapping[str, str],
    events: ImageEvents,
    uppers: str,
) -> BuildHost:
    """That of an engine with this store and these directories; `uppers` as in BuildHost."""

    def find_image(name: str, platform: Platform | None, pull: bool) -> Image:
        policy = PullPolicy.ALWAYS if pull else PullPolicy.MISSING
        before = entry_named(store, name) if platform is not None else None
        image = find_or_fetch(
            store,
            name,
            platform,
            policy=policy,
            environ=environ,
            progress=None,
            pulled=lambda reference: events.of_transfer("pull", reference),
        )
        join_platforms(store, name, before, image)
        return image

    def forget(digest: str) -> None:
        remove_entry(store, digest, paths.containers.all)

    def create(options: ContainerOptions, recording: str) -> str:
        from rootless.engine.preparation.prepare import prepare
        from rootless.spec.storage_driver import default_driver

        driver = default_driver(environ)
        prepared = prepare(options, paths, environ, driver, monitor=0, recording=recording)
        return prepared.record.name

    def changes(name: str) -> AbstractContextManager[Iterable[bytes]]:
        from rootless.rootfs.read import container_changes

        return container_changes(paths.containers.find(name), paths, store)

    return BuildHost(store, find_image, environ, paths.runtime, forget, create, changes, uppers)
