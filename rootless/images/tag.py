"""tag and untag: add and remove names of an image."""

from __future__ import annotations

from collections.abc import Sequence

from rootless.errors import NotFoundError
from rootless.oci.reference import Reference, parse_reference, parse_tag
from rootless.store import names
from rootless.store.image import refuse_shared, resolve
from rootless.store.layout import Store


def tag(store: Store, source: str, target: str) -> Reference:
    """Give the image `source` the name `target`, which it takes from whatever image had it; returns
    the name.

    Raises NotFoundError for the source, UsageError for a target that is no name or has a digest.
    """
    reference = parse_tag(target)
    with store.lock():
        # Resolved with the lock held: a removal at the same time comes before or after, not
        # between.
        image = resolve(store, source)
        index = store.read_index()
        table = names.tagged(index.manifests, image.entry, [reference])
        store.write_index(index.with_manifests(table))
    return reference


def untag(store: Store, source: str, targets: Sequence[str]) -> list[Reference]:
    """Take names from the image `source`, all of them if none is given; the image stays. Returns
    those taken.

    Raises NotFoundError, without taking any, for a name that the image does not have.
    """
    wanted = [parse_reference(target).with_default_tag() for target in targets]
    with store.lock():
        image = resolve(store, source)
        for reference in wanted:
            if reference not in image.tags:
                raise NotFoundError(f"{reference.familiar}: image {source} has no such name")
        index = store.read_index()
        refuse_shared(store, index, image, source)
        table = index.manifests
        gone = wanted or list(image.tags)
        for reference in gone:
            table = names.untagged(table, reference)
        store.write_index(index.with_manifests(table))
    return gone
