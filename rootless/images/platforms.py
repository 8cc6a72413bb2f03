"""Merges the images that are pulled for several platforms under one name."""

from __future__ import annotations

from rootless.errors import RootlessError
from rootless.oci import media_types
from rootless.oci.manifest import Descriptor, empty_index
from rootless.oci.platform import choose_platform, host_platform
from rootless.oci.reference import parse_reference
from rootless.store import names
from rootless.store.image import Image, manifests_of_index, resolve
from rootless.store.ingest import Ingest, NewImage
from rootless.store.layout import Store


def entry_named(store: Store, name: str) -> Descriptor | None:
    """The entry with a name; None for an unused name, and for an id."""
    try:
        reference = parse_reference(name)
    except RootlessError:
        return None
    return names.find_by_name(store.all_entries(), reference)


def join_platforms(store: Store, name: str, before: Descriptor | None, image: Image) -> None:
    """After a pull has given `name` to an image for another platform than what had it before, name an index of both.
    Raises RootlessError, OSError."""
    if before is None or before.digest == image.entry.digest:
        return
    kept = [each for each in _images_of(store, before) if each.platform != image.platform]
    if not kept or image.entry.media_type in media_types.INDEXES:
        return
    new = image.entry._replace(annotations={}, platform=image.platform)
    manifests = (*(each._replace(annotations={}) for each in kept), new)
    own = choose_platform(host_platform(), [each.platform for each in manifests]) or 0
    data = empty_index().with_manifests(manifests).encode()
    with Ingest(store) as ingest:
        digest = ingest.add_document(data)
        entry = Descriptor(media_types.OCI_INDEX, digest, len(data))
        noted = {names.CONFIG_DIGEST: resolve(store, manifests[own].digest).id}
        if names.REPO_DIGEST in image.entry.annotations:
            noted[names.REPO_DIGEST] = image.entry.annotations[names.REPO_DIGEST]
        entry = entry._replace(annotations=noted)
        ingest.publish([NewImage(entry, (parse_reference(name).with_default_tag(),))])
    _drop_unnamed(store, {before.digest, *(each.digest for each in manifests)})


def _drop_unnamed(store: Store, digests: set[str]) -> None:
    """Remove the entries of manifests that an index has now, unless they have another name."""
    with store.lock():
        index = store.read_index()
        table = tuple(
            each
            for each in index.manifests
            if each.digest not in digests or names.name_of(each) is not None
        )
        store.write_index(index.with_manifests(table))


def _images_of(store: Store, entry: Descriptor) -> list[Descriptor]:
    """The manifests of an entry, each with its platform."""
    if entry.media_type in media_types.INDEXES:
        found = manifests_of_index(store, entry)
        return [
            each for each in found if each.platform is not None and each.platform.os != "unknown"
        ]
    return [entry._replace(platform=resolve(store, entry.digest).platform)]
