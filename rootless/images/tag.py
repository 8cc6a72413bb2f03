"""tag: one more name for an image."""

from __future__ import annotations

from rootless.errors import UsageError
from rootless.oci.reference import Reference, parse_reference
from rootless.store import names
from rootless.store.image import resolve
from rootless.store.layout import Store


def tag(store: Store, source: str, target: str) -> Reference:
    """Give the image `source` the name `target`, which it takes from whatever image had it; returns
    the name.

    Raises NotFoundError for the source, UsageError for a target that is no name or has a digest.
    """
    reference = parse_reference(target).with_default_tag()
    if reference.digest is not None:
        raise UsageError(f"refusing to create a tag with a digest reference: {target}")
    with store.lock():
        # Resolved with the lock held: a removal at the same time comes before or after, not
        # between.
        image = resolve(store, source)
        index = store.read_index()
        table = names.tagged(index.manifests, image.entry, [reference])
        store.write_index(index.with_manifests(table))
    return reference
