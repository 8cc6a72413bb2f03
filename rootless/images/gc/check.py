"""image verify and system check: verify every object of the store against its digest, and find unused objects.

A repair only does what loses nothing. A damaged or missing layer is made again from its tar or its blob,
a merged index from its layers; a damaged one is replaced once the new one is whole. What cannot be made
again stays as it is, for the image may still work, unless `force` asks to remove the images that
need it. Unused objects and what killed commands left (rootless.images.gc.leftovers) are removed. A
partial blob of the last week is no fault: the next pull resumes it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import NamedTuple

from rootless.errors import (
    IntegrityError,
    InUseError,
    InvalidDocumentError,
    NotFoundError,
    RootlessError,
)
from rootless.images.gc.leftovers import abandoned, unused
from rootless.images.gc.references import Objects, delete_objects, objects_of_entry
from rootless.images.gc.remove import Records, remove, remove_entry
from rootless.oci.digest import chain_id
from rootless.store.chains import CHAIN_INDEX, chain_index
from rootless.store.image import Image, all_manifests, manifest_of
from rootless.store.layers import remake_layer
from rootless.store.layout import Store

_PIECE = 1 << 20


class Kind(Enum):
    """The kind of a fault."""

    DAMAGED = "damaged"
    MISSING = "missing"
    UNUSED = "unused"
    LEFT_OVER = "left over"


class Outcome(Enum):
    """The result of a repair."""

    NONE = ""
    REPAIRED = "repaired"
    REMOVED = "removed"
    KEPT = "kept: it cannot be made again here"


class Finding(NamedTuple):
    """One fault of the store, and its repair."""

    kind: Kind
    what: str
    outcome: Outcome = Outcome.NONE

    @property
    def repaired(self) -> bool:
        """Whether the fault was repaired."""
        return self.outcome in (Outcome.REPAIRED, Outcome.REMOVED)

    def __str__(self) -> str:
        outcome = f" ({self.outcome.value})" if self.outcome.value else ""
        return f"{self.kind.value}: {self.what}{outcome}"


def verify(store: Store, image: Image) -> list[Finding]:
    """Hash everything that an image consists of. Blobs as they came, layers as they are read."""
    found: list[Finding] = []
    try:
        manifest = manifest_of(store, image)
        store.read_document(image.id, "image config")
    except NotFoundError as error:
        return [Finding(Kind.MISSING, error.message)]
    except (IntegrityError, InvalidDocumentError) as error:
        return [Finding(Kind.DAMAGED, error.message)]
    for layer in manifest.layers:
        found += _check_file(
            Path(store.blob_to_read(layer.digest)), layer.digest, "blob", layer.size
        )
    for diff_id in dict.fromkeys(image.diff_ids):
        found += _check_layer(store, diff_id)
    if len(image.diff_ids) > 1:
        path = Path(store.chain_to_read(chain_id(image.diff_ids))) / CHAIN_INDEX
        # It is made when it is first needed, so that a missing one is no fault.
        if path.exists():
            found += _check_index(path, f"merged index {image.chain_id}")
    return found


def check(
    store: Store, containers: Records, *, repair: bool = False, force: bool = False
) -> list[Finding]:
    """Check every image, and look for what is not in use. `repair` does what loses nothing; with `force`
    it also removes each image that it cannot repair, unless a container uses it."""
    try:
        store.read_index()
    except InvalidDocumentError as error:
        # Without it nothing is known of any image, and so nothing is touched.
        return [Finding(Kind.DAMAGED, error.message)]
    found = _layout_file(store, repair)
    found += _documents(store, containers, repair=repair, force=force)
    for image in all_manifests(store, shared=False):
        found += _check_image(store, image, containers, repair=repair, force=force)
    found += _lists(store, repair)
    removed = Outcome.REMOVED if repair else Outcome.NONE
    # Leftovers first: objects in a leftover directory would count as being brought in.
    found += [
        Finding(Kind.LEFT_OVER, each.name, removed) for each in abandoned(store, remove=repair)
    ]
    objects = unused(store, containers, remove=repair)
    for kind, digests in zip(("blob", "layer", "merged index"), objects, strict=True):
        found += [Finding(Kind.UNUSED, f"{kind} {digest}", removed) for digest in sorted(digests)]
    return list(dict.fromkeys(found))


def _layout_file(store: Store, repair: bool) -> list[Finding]:
    """oci-layout, without which other tools do not take the store for a layout."""
    if store.has_layout_file():
        return []
    if not repair:
        return [Finding(Kind.DAMAGED, "oci-layout")]
    store.write_layout_file()
    return [Finding(Kind.DAMAGED, "oci-layout", Outcome.REPAIRED)]


def _documents(store: Store, containers: Records, *, repair: bool, force: bool) -> list[Finding]:
    """Entries of index.json whose documents cannot be read: no command lists them as images."""
    found = []
    for entry in store.read_index().manifests:
        try:
            objects_of_entry(store, entry, strict=True)
        except NotFoundError as error:
            finding = Finding(Kind.MISSING, error.message)
        except (IntegrityError, InvalidDocumentError) as error:
            finding = Finding(Kind.DAMAGED, error.message)
        else:
            continue
        if repair and force:
            remove_entry(store, entry.digest, containers)
            finding = finding._replace(outcome=Outcome.REMOVED)
        elif repair:
            finding = finding._replace(outcome=Outcome.KEPT)
        found.append(finding)
    return found


def _check_image(
    store: Store, image: Image, containers: Records, *, repair: bool, force: bool
) -> list[Finding]:
    found = verify(store, image)
    if not repair:
        return found
    found = [_repaired(store, image, finding) for finding in found]
    if not force or all(finding.repaired for finding in found):
        return found
    try:
        remove(store, image.id, containers, force=True)
    except InUseError:
        return found
    return [
        finding if finding.repaired else finding._replace(outcome=Outcome.REMOVED)
        for finding in found
    ]


def _check_file(path: Path, digest: str, kind: str, size: int | None = None) -> list[Finding]:
    import hashlib

    hashed = hashlib.sha256()
    try:
        with path.open("rb", buffering=0) as stream:
            if size is not None and os.fstat(stream.fileno()).st_size != size:
                return [Finding(Kind.DAMAGED, f"{kind} {digest}")]
            while piece := stream.read(_PIECE):
                hashed.update(piece)
    except FileNotFoundError:
        return [Finding(Kind.MISSING, f"{kind} {digest}")]
    except OSError:
        return [Finding(Kind.DAMAGED, f"{kind} {digest}")]
    intact = f"sha256:{hashed.hexdigest()}" == digest
    return [] if intact else [Finding(Kind.DAMAGED, f"{kind} {digest}")]


def _check_layer(store: Store, diff_id: str) -> list[Finding]:
    files = store.layer_files(diff_id)
    found = _check_file(Path(files.tar), diff_id, "layer")
    return found or _check_index(Path(files.index), f"layer {diff_id}")


def _check_index(path: Path, what: str) -> list[Finding]:
    import sqlite3

    from unionfs.tar.index import IndexFormatError, open_index

    try:
        database = open_index(path)
    except FileNotFoundError:
        return [Finding(Kind.MISSING, what)]
    except IndexFormatError:
        return [Finding(Kind.DAMAGED, what)]
    try:
        intact = database.execute("PRAGMA quick_check").fetchone()[0] == "ok"
    except sqlite3.DatabaseError:
        intact = False
    finally:
        database.close()
    return [] if intact else [Finding(Kind.DAMAGED, what)]


def _repaired(store: Store, image: Image, finding: Finding) -> Finding:
    if _repair(store, image, finding):
        return finding._replace(outcome=Outcome.REPAIRED)
    kind, _, digest = finding.what.rpartition(" ")
    if kind in ("blob", "layer"):
        store.mark_damaged(digest)
    return finding._replace(outcome=Outcome.KEPT)


def _repair(store: Store, image: Image, finding: Finding) -> bool:
    """Make a layer, a merged index, or a blob that is a layer's tar again. A container that has the
    damaged one open keeps it."""
    kind, _, digest = finding.what.rpartition(" ")
    if kind == "layer" or (kind == "blob" and digest in image.diff_ids):
        return remake_layer(store, image, digest)
    if kind != "merged index":
        return False
    with store.lock():
        delete_objects(store, Objects(frozenset(), frozenset(), frozenset({digest})))
    try:
        chain_index(store, image)
    except RootlessError:
        return False
    return True


def _lists(store: Store, repair: bool) -> Iterator[Finding]:
    """Lists of `manifest create` that cannot be parsed, or lie under another name's file. Either is in
    the way of a new one, which is made of what registries have."""
    directory = Path(store.root) / "manifests"
    if not any(directory.glob("*.json")):
        return
    from rootless.store.manifest_lists import parse_list, path_of_list

    with store.lock():
        for path in sorted(directory.glob("*.json")):
            kind = None
            outcome = Outcome.REMOVED if repair else Outcome.NONE
            try:
                if path_of_list(store, parse_list(path.read_bytes(), str(path)).name) != path:
                    kind = Kind.UNUSED
            except RootlessError:
                kind = Kind.DAMAGED
            except OSError:
                kind = Kind.DAMAGED
                outcome = Outcome.KEPT if repair else Outcome.NONE
            if kind is not None:
                if outcome is Outcome.REMOVED:
                    path.unlink(missing_ok=True)
                yield Finding(kind, f"manifest list {path.stem}", outcome)
