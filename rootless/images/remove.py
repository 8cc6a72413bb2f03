"""rmi: take a name away, and the image with its last one.

Crash consistency. With the store's lock held: (1) index.json is replaced by one without the name
or image, (2) what only that image needed is renamed into a directory under tmp/ and (3) deleted
there. Killed after 1: objects that nothing names, which `system check` finds. Killed after 2: a
directory under tmp/ that the next ingest sweeps.

Only objects of the removed image are candidates: what another process has just put in place, or
what a pull left half done, is never touched.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from enum import Enum
from typing import NamedTuple

from rootless.durable import locked, remove_tree
from rootless.errors import InUseError, InvalidDocumentError, NotFoundError, UsageError
from rootless.oci import media_types
from rootless.oci.digest import chain_id
from rootless.oci.image_config import read_image_config
from rootless.oci.manifest import Descriptor, read_index, read_manifest
from rootless.oci.reference import Reference, parse_reference
from rootless.state.record import ContainerRecord
from rootless.state.status import Status
from rootless.store import names
from rootless.store.image import Image, resolve
from rootless.store.layout import Store

Records = Callable[[], Iterable[ContainerRecord]]


class Action(Enum):
    """Docker's words, in front of what they happened to."""

    UNTAGGED = "Untagged"
    DELETED = "Deleted"


class Removal(NamedTuple):
    """One line of what `rmi` says."""

    action: Action
    what: str

    def __str__(self) -> str:
        return f"{self.action.value}: {self.what}"


class _Objects(NamedTuple):
    blobs: frozenset[str]
    layers: frozenset[str]
    chains: frozenset[str]

    def minus(self, other: _Objects) -> _Objects:
        return _Objects(
            self.blobs - other.blobs, self.layers - other.layers, self.chains - other.chains
        )

    def plus(self, other: _Objects) -> _Objects:
        return _Objects(
            self.blobs | other.blobs, self.layers | other.layers, self.chains | other.chains
        )


_NOTHING = _Objects(frozenset(), frozenset(), frozenset())


def remove(store: Store, name: str, containers: Records, *, force: bool = False) -> list[Removal]:
    """Remove a name, or an image by id; returns what was done, in order.

    A name of several is only taken away; the last one takes the image with it. `containers` is
    asked with the store's lock held. Raises NotFoundError, and InUseError where a container uses
    the image (`force` overrides that unless the container runs; its layers stay until it is gone)
    or an id has several names (`force` removes them all).
    """
    with store.lock():
        image = resolve(store, name)
        index = store.read_index()
        reference = _named(image, name)
        if reference is not None and len(image.tags) > 1:
            rest = names.untagged(index.manifests, reference)
            store.write_index(index.with_manifests(rest))
            return [Removal(Action.UNTAGGED, reference.familiar)]
        users = [each for each in containers() if each.image_id == image.id]
        _check_conflicts(image, name, reference, users, force)
        rest = names.without(index.manifests, image.entry.digest)
        kept = _objects_of_containers(store, users)
        for entry in rest:
            kept = kept.plus(_objects_of_entry(store, entry))
        doomed = _objects_of_entry(store, image.entry).minus(kept)
        store.write_index(index.with_manifests(rest))
        _bury(store, doomed)
    return [
        *(Removal(Action.UNTAGGED, tag.familiar) for tag in image.tags),
        *(Removal(Action.UNTAGGED, text) for text in familiar_digests(image)),
        Removal(Action.DELETED, image.id),
        *(
            Removal(Action.DELETED, diff_id)
            for diff_id in reversed(image.diff_ids)
            if diff_id in doomed.layers
        ),
    ]


def familiar_digests(image: Image) -> list[str]:
    """NAME@DIGEST as Docker shows it."""
    return [parse_reference(text).familiar for text in image.repo_digests]


def _named(image: Image, name: str) -> Reference | None:
    """The tag of the image that the user wrote; None if it was an id or a digest."""
    try:
        reference = parse_reference(name).with_default_tag()
    except UsageError:
        return None
    return reference if reference in image.tags else None


def _check_conflicts(
    image: Image,
    name: str,
    reference: Reference | None,
    users: Sequence[ContainerRecord],
    force: bool,
) -> None:
    short = image.id.removeprefix("sha256:")[:12]
    for user in users:
        if user.status is Status.RUNNING:
            raise InUseError(
                f"conflict: unable to delete {name} (cannot be forced) - "
                f"image {short} is being used by running container {user.id[:12]}",
                hint=f"stop the container first: rootless stop {user.name}",
            )
    if force:
        return
    for user in users:
        raise InUseError(
            f"conflict: unable to delete {name} (must be forced) - "
            f"image {short} is being used by stopped container {user.id[:12]}",
            hint=f"remove the container (rootless rm {user.name}) or use -f",
        )
    if reference is None and len(image.tags) > 1:
        raise InUseError(
            f"conflict: unable to delete {short} (must be forced) - "
            "image is referenced in multiple repositories",
            hint="remove the names one by one, or use -f",
        )


def _objects_of_config(store: Store, digest: str) -> _Objects:
    config = read_image_config(store.read_document(digest, "image config"), digest)
    chains = {chain_id(config.diff_ids[: i + 1]) for i in range(len(config.diff_ids))}
    return _Objects(frozenset({digest}), frozenset(config.diff_ids), frozenset(chains))


def _objects_of_entry(store: Store, entry: Descriptor) -> _Objects:
    """Everything that an entry of an index needs. What is missing or damaged needs nothing more."""
    found = _Objects(frozenset({entry.digest}), frozenset(), frozenset())
    try:
        data = store.read_document(entry.digest, "manifest")
        if entry.media_type in media_types.INDEXES:
            for inner in read_index(data, entry.digest).manifests:
                found = found.plus(_objects_of_entry(store, inner))
            return found
        manifest = read_manifest(data, entry.digest)
        blobs = frozenset(layer.digest for layer in manifest.layers)
        found = found.plus(_Objects(blobs | {manifest.config.digest}, frozenset(), frozenset()))
        return found.plus(_objects_of_config(store, manifest.config.digest))
    except (NotFoundError, InvalidDocumentError):
        return found


def _objects_of_containers(store: Store, users: Sequence[ContainerRecord]) -> _Objects:
    """A container keeps the config and the layers of its image, though not its blobs."""
    kept = _NOTHING
    for image_id in {user.image_id for user in users}:
        try:
            kept = kept.plus(_objects_of_config(store, image_id))
        except (NotFoundError, InvalidDocumentError):
            continue
    return kept


def _bury(store: Store, doomed: _Objects) -> None:
    """Move objects out of sight, in one directory, and delete that; called with the lock held."""
    grave = f"{store.root}/tmp/removed-{os.urandom(8).hex()}"
    victims = [
        *(store.blob_path(digest) for digest in doomed.blobs),
        *(store.layer_directory(diff_id) for diff_id in doomed.layers),
        *(store.chain_directory(chain) for chain in doomed.chains),
    ]
    # Sweepers hold this lock too.
    with locked(f"{store.root}/tmp/.lock"):
        os.mkdir(grave)
        for i, victim in enumerate(victims):
            try:
                os.rename(victim, f"{grave}/{i}")
            except FileNotFoundError:
                continue
        remove_tree(grave)
