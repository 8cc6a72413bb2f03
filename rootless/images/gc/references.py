"""The objects of the store that an image needs, and the deletion of unreferenced ones."""

from __future__ import annotations

import os
from collections.abc import Iterable

from rootless.containers.record import ContainerRecord
from rootless.durable import NO_ROOM, locked, remove_tree
from rootless.errors import IntegrityError, InvalidDocumentError, NotFoundError
from rootless.images.gc.unpacked import drop_unpacked
from rootless.oci import media_types
from rootless.oci.digest import chain_id
from rootless.oci.image_config import read_image_config
from rootless.oci.manifest import Descriptor, read_index, read_manifest
from rootless.store.build_cache import all_steps
from rootless.store.layout import Store
from unionfs.light_types import NamedTuple


class Objects(NamedTuple):
    """Blobs by digest, layers by diffID, merged indexes by ChainID."""

    blobs: frozenset[str]
    layers: frozenset[str]
    chains: frozenset[str]

    def minus(self, other: Objects) -> Objects:
        return Objects(
            self.blobs - other.blobs, self.layers - other.layers, self.chains - other.chains
        )

    def plus(self, other: Objects) -> Objects:
        return Objects(
            self.blobs | other.blobs, self.layers | other.layers, self.chains | other.chains
        )


NOTHING = Objects(frozenset(), frozenset(), frozenset())


def objects_of_config(store: Store, digest: str) -> Objects:
    config = read_image_config(store.read_document(digest, "image config"), digest)
    chains = {chain_id(config.diff_ids[: i + 1]) for i in range(len(config.diff_ids))}
    return Objects(frozenset({digest}), frozenset(config.diff_ids), frozenset(chains))


def objects_of_entry(store: Store, entry: Descriptor, *, strict: bool = False) -> Objects:
    """Everything that an entry of index.json needs; of an index for several platforms what is there
    of each. What is missing or damaged needs nothing more, or, if `strict`, raises NotFoundError,
    IntegrityError, InvalidDocumentError."""
    found = Objects(frozenset({entry.digest}), frozenset(), frozenset())
    try:
        data = store.read_document(entry.digest, "image manifest")
        if entry.media_type in media_types.INDEXES:
            for inner in read_index(data, entry.digest).manifests:
                found = found.plus(objects_of_entry(store, inner))
            return found
        manifest = read_manifest(data, entry.digest)
        blobs = frozenset(layer.digest for layer in manifest.layers)
        found = found.plus(Objects(blobs | {manifest.config.digest}, frozenset(), frozenset()))
        if manifest.config.media_type in media_types.CONFIGS:
            # Else it is an artifact, as other tools put it there.
            found = found.plus(objects_of_config(store, manifest.config.digest))
    except (NotFoundError, IntegrityError, InvalidDocumentError):
        if strict:
            raise
    return found


def objects_of_containers(store: Store, users: Iterable[ContainerRecord]) -> Objects:
    """A container keeps the config and the layers of its image, though not its blobs."""
    kept = NOTHING
    for image_id in {image_id for user in users for image_id in user.used_images}:
        try:
            kept = kept.plus(objects_of_config(store, image_id))
        except (NotFoundError, IntegrityError, InvalidDocumentError):
            continue
    return kept


def objects_of_build_cache(store: Store) -> Objects:
    """The objects of the steps of earlier builds."""
    layers = [step.layer for step in all_steps(store)]
    return Objects(
        frozenset(layer.digest for layer in layers),
        frozenset(layer.diff_id for layer in layers),
        frozenset(),
    )


def delete_objects(store: Store, doomed: Objects) -> None:
    """Move objects to a temporary directory, and delete that; called with the lock held."""
    trash = f"{store.root}/tmp/removed-{os.urandom(8).hex()}"
    victims = [
        *(store.blob_path(digest) for digest in doomed.blobs),
        *(store.layer_directory(diff_id) for diff_id in doomed.layers),
        *(store.chain_directory(chain) for chain in doomed.chains),
    ]
    # Sweepers hold this lock too.
    with locked(f"{store.root}/tmp/.lock"):
        _make_trash(store, trash, doomed)
        for i, victim in enumerate(victims):
            try:
                os.rename(victim, f"{trash}/{i}")
            except FileNotFoundError:
                continue
        store.unmark_damaged((*doomed.blobs, *doomed.layers))
        remove_tree(trash)
    drop_unpacked(store, doomed.chains)


def _make_trash(store: Store, trash: str, doomed: Objects) -> None:
    """On a full disk blobs go first, to make room: one that is missing is as good as one in the trash."""
    try:
        os.mkdir(trash)
    except OSError as error:
        if error.errno not in NO_ROOM:
            raise
        for digest in doomed.blobs:
            try:
                os.unlink(store.blob_path(digest))
            except FileNotFoundError:
                continue
        os.mkdir(trash)
