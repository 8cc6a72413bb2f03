"""image verify and system check: is everything in the store what its name says, and does everything
there belong to something?

A repair only does what loses nothing: a layer that is damaged or missing is made again from its
blob, a merged index from its layers, and what belongs to nobody (rootless.images.gc.leftovers) or cannot
be read by anybody is taken away. A partial blob of the last days is no fault: the next pull goes on
with it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import NamedTuple

from rootless.errors import IntegrityError, InvalidDocumentError, NotFoundError, RootlessError
from rootless.images.gc.leftovers import abandoned, unused
from rootless.images.gc.references import Objects, delete_objects, objects_of_entry
from rootless.images.gc.remove import Records
from rootless.oci.digest import chain_id
from rootless.store.chains import CHAIN_INDEX, chain_index
from rootless.store.image import Image, all_images, manifest_of
from rootless.store.layers import layer_files
from rootless.store.layout import Store

_PIECE = 1 << 20


class Kind(Enum):
    """What can be wrong."""

    DAMAGED = "damaged"
    MISSING = "missing"
    UNUSED = "unused"
    LEFT_OVER = "left over"


class Finding(NamedTuple):
    """One thing that is wrong. `repaired`: not any more."""

    kind: Kind
    what: str
    repaired: bool = False

    def __str__(self) -> str:
        return f"{self.kind.value}: {self.what}{' (repaired)' if self.repaired else ''}"


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
        found += _check_file(Path(store.blob_path(layer.digest)), layer.digest, "blob", layer.size)
    for diff_id in dict.fromkeys(image.diff_ids):
        found += _check_layer(store, diff_id)
    if len(image.diff_ids) > 1:
        path = Path(store.chain_directory(chain_id(image.diff_ids))) / CHAIN_INDEX
        # It is made when it is first needed, so that a missing one is no fault.
        if path.exists():
            found += _check_index(path, f"merged index {image.chain_id}")
    return found


def check(store: Store, containers: Records, *, repair: bool = False) -> list[Finding]:
    """Check every image, and look for what belongs to nothing."""
    found = list(_documents(store))
    for image in all_images(store):
        for finding in verify(store, image):
            mended = repair and _repair(store, image, finding)
            found.append(finding._replace(repaired=mended))
    found += _lists(store, repair)
    # What the dead left first: what lies there would count as being brought in.
    found += [
        Finding(Kind.LEFT_OVER, each.name, repair) for each in abandoned(store, remove=repair)
    ]
    objects = unused(store, containers, remove=repair)
    for kind, digests in zip(("blob", "layer", "merged index"), objects, strict=True):
        found += [Finding(Kind.UNUSED, f"{kind} {digest}", repair) for digest in sorted(digests)]
    return list(dict.fromkeys(found))


def _documents(store: Store) -> Iterator[Finding]:
    """What index.json names and cannot be read, so that it is not even listed as an image."""
    for entry in store.read_index().manifests:
        try:
            objects_of_entry(store, entry, strict=True)
        except NotFoundError as error:
            yield Finding(Kind.MISSING, error.message)
        except (IntegrityError, InvalidDocumentError) as error:
            yield Finding(Kind.DAMAGED, error.message)


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


def _repair(store: Store, image: Image, finding: Finding) -> bool:
    """Make a layer or a merged index again. A blob cannot be made again here."""
    kind, _, digest = finding.what.rpartition(" ")
    if kind == "merged index":
        objects = Objects(frozenset(), frozenset(), frozenset({digest}))
    elif kind == "layer":
        objects = Objects(frozenset(), frozenset({digest}), frozenset())
    else:
        return False
    # A container that has it open keeps what it has.
    with store.lock():
        delete_objects(store, objects)
    try:
        layer_files(store, image)
        chain_index(store, image)
    except RootlessError:
        return False
    return True


def _lists(store: Store, repair: bool) -> Iterator[Finding]:
    """Lists of `manifest create` that cannot be read, or not found under their name. Either is in the
    way of a new one, and is made again of what is at registries."""
    directory = Path(store.root) / "manifests"
    if not any(directory.glob("*.json")):
        return
    from rootless.store.manifest_lists import parse_list, path_of_list

    with store.lock():
        for path in sorted(directory.glob("*.json")):
            kind = None
            try:
                if path_of_list(store, parse_list(path.read_bytes(), str(path)).name) != path:
                    kind = Kind.UNUSED
            except (RootlessError, OSError):
                kind = Kind.DAMAGED
            if kind is not None:
                if repair:
                    path.unlink(missing_ok=True)
                yield Finding(kind, f"manifest list {path.stem}", repair)
