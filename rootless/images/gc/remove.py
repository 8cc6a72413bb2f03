"""rmi: removes a name, and the image with its last name.

Crash consistency. With the store's lock held: (1) index.json is replaced by one without the name
or image, (2) what only that image needed is renamed into a directory under tmp/ and (3) deleted
there. Killed after 1: objects that nothing names, which `system check` finds. Killed after 2: a
directory under tmp/ that the next ingest sweeps.

Only objects of the removed image are candidates: what another process has just put in place, or
what a pull left half done, is never touched.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from rootless.containers.record import ContainerRecord
from rootless.containers.status import MONITORED
from rootless.errors import (
    IntegrityError,
    InUseError,
    InvalidDocumentError,
    NotFoundError,
    UsageError,
)
from rootless.images.gc.references import (
    NOTHING,
    Objects,
    delete_objects,
    objects_of_build_cache,
    objects_of_containers,
    objects_of_entry,
)
from rootless.oci.manifest import Descriptor, Index
from rootless.oci.reference import Reference, parse_reference
from rootless.store import names
from rootless.store.image import Image, refuse_shared, resolve
from rootless.store.layout import Store
from unionfs.light_types import Enum, NamedTuple

Records = Callable[[], Iterable[ContainerRecord]]


class Action(Enum):
    """Docker's word before the name or id."""

    UNTAGGED = "Untagged"
    DELETED = "Deleted"


class Removal(NamedTuple):
    """One line of the output of `rmi`."""

    action: Action
    what: str

    def __str__(self) -> str:
        return f"{self.action.value}: {self.what}"


def remove(store: Store, name: str, containers: Records, *, force: bool = False) -> list[Removal]:
    """Remove a name, or an image by id; returns what was done, in order.

    A name of several is only taken away; the last one takes the image with it. `containers` is
    asked with the store's lock held. Raises NotFoundError, and InUseError where a container uses
    the image (`force` overrides that unless the container runs; its layers stay until it is gone)
    or an id has several names (`force` removes them all).
    """
    with store.lock():
        index = store.read_index()
        try:
            image = resolve(store, name)
        except (NotFoundError, IntegrityError, InvalidDocumentError):
            entry = _unreadable(index.manifests, name)
            if entry is None:
                raise
            _drop(store, index, _entries_of(index, entry), containers())
            return [Removal(Action.UNTAGGED, name), Removal(Action.DELETED, entry.digest)]
        refuse_shared(store, index, image, name)
        reference = _named(image, name)
        if reference is not None and len(image.tags) > 1:
            rest = names.untagged(index.manifests, reference)
            store.write_index(index.with_manifests(rest))
            return [Removal(Action.UNTAGGED, reference.familiar)]
        records = list(containers())
        users = [each for each in records if image.id in each.used_images]
        _check_conflicts(image, name, reference, users, force)
        doomed = _drop(store, index, _entries_of(index, image.entry), records)
    return [
        *(Removal(Action.UNTAGGED, tag.familiar) for tag in image.tags),
        *(Removal(Action.UNTAGGED, text) for text in image.familiar_digests),
        Removal(Action.DELETED, image.id),
        *(
            Removal(Action.DELETED, diff_id)
            for diff_id in reversed(image.diff_ids)
            if diff_id in doomed.layers
        ),
    ]


def remove_entry(store: Store, digest: str, containers: Records) -> None:
    """Remove an entry of index.json by its digest, whatever can be read of it, and what only it
    needs."""
    with store.lock():
        index = store.read_index()
        gone = [each for each in index.manifests if each.digest == digest]
        if gone:
            _drop(store, index, gone, containers())


def _drop(
    store: Store, index: Index, gone: Sequence[Descriptor], records: Iterable[ContainerRecord]
) -> Objects:
    """Take entries out of the index, and delete what nothing else needs: no other image, and no
    container, whatever image it was made of; that may share layers with these."""
    rest = tuple(each for each in index.manifests if each not in gone)
    kept = objects_of_containers(store, records).plus(objects_of_build_cache(store))
    for entry in rest:
        kept = kept.plus(objects_of_entry(store, entry))
    doomed = NOTHING
    for entry in gone:
        doomed = doomed.plus(objects_of_entry(store, entry))
    doomed = doomed.minus(kept)
    store.write_index(index.with_manifests(rest))
    delete_objects(store, doomed)
    return doomed


def _entries_of(index: Index, image: Descriptor) -> list[Descriptor]:
    """Every entry of an image, one for each name."""
    return [each for each in index.manifests if names.same_image(each, image)]


def _unreadable(table: names.Table, name: str) -> Descriptor | None:
    """The entry of an image of which not even the config can be read: it has nothing left but its
    name."""
    try:
        return names.find_by_name(table, parse_reference(name))
    except UsageError:
        return None


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
    if users and not force and reference is not None and len(image.tags) == 1:
        user = users[0]
        raise InUseError(
            f'conflict: unable to remove repository reference "{name}" (must force) - '
            f"container {user.id[:12]} is using its referenced image {short}",
            hint=f"remove the container (rootless rm {user.name}) or use -f",
        )
    for user in users:
        if user.status in MONITORED:
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
