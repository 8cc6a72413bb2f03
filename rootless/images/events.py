"""The events of images, with docker's words and attributes."""

from __future__ import annotations

import time

from rootless.containers.storage_paths import StoragePaths
from rootless.errors import RootlessError
from rootless.events.event import Event, EventType
from rootless.events.log import EventLog
from rootless.images.gc.remove import Action

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from rootless.images.gc.prune import Pruned
    from rootless.images.gc.remove import Removal
    from rootless.images.new_image import LoadedImage
    from rootless.oci.reference import Reference
    from rootless.store.layout import Store


class ImageEvents:
    """Writes the events of the images of one store."""

    def __init__(self, paths: StoragePaths, store: Store) -> None:
        self._paths = paths
        self._log = EventLog(paths.runtime)
        self._store = store

    def of_image(self, action: str, image_id: str, name: str | None = None) -> None:
        """Something has happened to an image. `name`: the reference that it is about, by default the
        id.
        """
        attributes = {**self.labels(image_id), "name": name or image_id}
        self._write(action, image_id, attributes)

    def of_transfer(self, action: str, reference: Reference) -> None:
        """A pull or a push, whose actor is the reference."""
        actor = reference.familiar
        attributes = {**self.labels(actor), "name": reference.familiar_name}
        self._write(action, actor, attributes)

    def untagged(self, image_id: str, names: int) -> None:
        """An image that stays has lost this many names."""
        for _ in range(names):
            self.of_image("untag", image_id)

    def labels(self, name: str) -> Mapping[str, str]:
        """The labels of an image; none if it cannot be read."""
        from rootless.store.image import resolve

        try:
            found = resolve(self._store, name).config.get("Labels")
        except (OSError, RootlessError):
            return {}
        return found if isinstance(found, dict) else {}

    def imported(self, image_id: str, tags: Iterable[Reference]) -> None:
        """An image has been made of an archive."""
        for tag in tags:
            self.of_image("tag", image_id, tag.familiar)
        self.of_image("import", image_id)

    def committed(self, image: LoadedImage, message: str) -> Mapping[str, str]:
        """An image has been made of a container; returns the attributes of that container's event."""
        self.of_image("create", image.id)
        for tag in image.tags:
            self.of_image("tag", image.id, tag.familiar)
        reference = image.tags[0].familiar if image.tags else ""
        return {"comment": message, "imageID": image.id, "imageRef": reference}

    def remove(self, name: str, remove: Callable[[], list[Removal]]) -> list[Removal]:
        """Remove an image by `remove`, and write the events of it."""
        from rootless.store.image import resolve

        try:
            image_id = resolve(self._store, name).id
        except RootlessError:
            image_id = name  # `remove` also removes what cannot be read
        attributes = {**self.labels(name), "name": image_id}
        removals = remove()
        for each in removals:
            if each.action is Action.UNTAGGED:
                self._write("untag", image_id, attributes)
            elif each.what == image_id:
                self._write("delete", image_id, attributes)
        return removals

    def prune(self, prune: Callable[[], Pruned]) -> Pruned:
        """Remove unused images by `prune`, and write the events of it."""
        from rootless.store.image import all_images

        ids = {image.id for image in all_images(self._store, shared=False)}
        pruned = prune()
        for each in pruned.removals:
            if each.action is Action.DELETED and each.what in ids:
                self._write("delete", each.what, {"name": each.what})
        report_prune(self._paths, EventType.IMAGE, pruned.reclaimed)
        return pruned

    def _write(self, action: str, actor: str, attributes: Mapping[str, str]) -> None:
        self._log.append(Event(time.time_ns(), EventType.IMAGE, action, actor, attributes))


def report_prune(paths: StoragePaths, kind: EventType, reclaimed: int) -> None:
    """Unused objects of a kind have been removed; `reclaimed` is the bytes on disk."""
    event = Event(time.time_ns(), kind, "prune", "", {"reclaimed": str(reclaimed)})
    EventLog(paths.runtime).append(event)
