"""Removes the image of a container that has been removed (podman's --rmi)."""

from __future__ import annotations

import os

from rootless.containers.storage_paths import StoragePaths, read_configuration, shared_stores
from rootless.errors import NotFoundError, RootlessError
from rootless.images.events import ImageEvents
from rootless.images.gc.remove import remove
from rootless.store.image import resolve
from rootless.store.layout import Store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.containers.directory import Containers
    from rootless.containers.launch_description import LaunchDescription


def remove_image(description: LaunchDescription, containers: Containers) -> str:
    """Remove the name that the container was made of, and the image with its last one. Returns why it stays, and an empty
    text if it does not, or if the name is another image's by now.
    """
    name, image_id = description.record.image, description.record.image_id
    try:
        stores = shared_stores(description.store, os.environ, read_configuration(os.environ))
        store = Store.open(description.store, stores)
        if not image_id or resolve(store, name).id != image_id:
            return ""
        events = ImageEvents(StoragePaths(description.store, description.runtime), store)
        events.remove(name, lambda: remove(store, name, containers.all))
    except NotFoundError:
        return ""
    except (OSError, RootlessError) as error:
        reason = error.message if isinstance(error, RootlessError) else error.strerror
        return f"the image {name} is not removed: {reason}"
    return ""
