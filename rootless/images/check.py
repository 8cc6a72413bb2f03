"""image verify and system check: is everything in the store what its name says, and does everything
there belong to something?

A repair only does what loses nothing: a layer that is damaged or missing is made again from its
blob, a merged index from its layers, and what nothing refers to is taken away. With the store's lock
held an object that neither index.json nor a container needs belongs to nobody: whoever brings
something in makes it in a directory of their own and names it under the same lock.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from enum import Enum
from pathlib import Path
from typing import NamedTuple

from rootless.durable import acquire_lock, locked, remove_tree
from rootless.errors import IntegrityError, InvalidDocumentError, NotFoundError, RootlessError
from rootless.images.objects import Objects, bury, objects_of_containers, objects_of_entry
from rootless.images.remove import Records
from rootless.oci.digest import chain_id
from rootless.store.chains import CHAIN_INDEX, chain_index
from rootless.store.image import Image, all_images, layer_files, manifest_of
from rootless.store.layout import Store

_PIECE = 1 << 20
_HEX = re.compile(r"[0-9a-f]{64}")


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
    found: list[Finding] = []
    for image in all_images(store):
        for finding in verify(store, image):
            mended = repair and _repair(store, image, finding)
            found.append(finding._replace(repaired=mended))
    # What the dead left first: what lies there would count as being brought in.
    found += _left_over(store, repair)
    found += _unused(store, containers, repair)
    return list(dict.fromkeys(found))


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

    from unionfs.layer_index import IndexFormatError, open_index

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
        bury_one = Objects(frozenset(), frozenset(), frozenset({digest}))
    elif kind == "layer":
        bury_one = Objects(frozenset(), frozenset({digest}), frozenset())
    else:
        return False
    # A container that has it open keeps what it has.
    with store.lock():
        bury(store, bury_one)
    try:
        layer_files(store, image)
        chain_index(store, image)
    except RootlessError:
        return False
    return True


def _unused(store: Store, containers: Records, repair: bool) -> Iterator[Finding]:
    with store.lock():
        needed = objects_of_containers(store, containers())
        for entry in store.read_index().manifests:
            needed = needed.plus(objects_of_entry(store, entry))
        doomed = _present(store).minus(needed).minus(_being_brought_in(store))
        if repair:
            bury(store, doomed)
    for kind, digests in zip(("blob", "layer", "merged index"), doomed, strict=True):
        for digest in sorted(digests):
            yield Finding(Kind.UNUSED, f"{kind} {digest}", repair)


def _being_brought_in(store: Store) -> Objects:
    """What pulls and loads have ready and name only at their end; parts of it may be in place."""
    blobs, layers = (
        frozenset(f"sha256:{path.name}" for path in (Path(store.root) / "tmp").glob(f"*/{kind}/*"))
        for kind in ("blobs", "layers")
    )
    return Objects(blobs, layers, frozenset())


def _present(store: Store) -> Objects:
    return Objects(
        *(
            frozenset(
                f"sha256:{name}" for name in os.listdir(f"{store.root}/{place}") if _is_hex(name)
            )
            for place in ("blobs/sha256", "layers", "chains")
        )
    )


def _is_hex(name: str) -> bool:
    return _HEX.fullmatch(name) is not None


def _left_over(store: Store, repair: bool) -> Iterable[Finding]:
    """Directories under tmp/ whose maker is dead: its lock is free."""
    found = []
    tmp = Path(store.root) / "tmp"
    # Those who bring something in make their directory and lock it under this one.
    with locked(tmp / ".lock"):
        for entry in sorted(os.scandir(tmp), key=lambda entry: entry.name):
            if not entry.is_dir(follow_symlinks=False):
                continue
            lock = acquire_lock(Path(entry.path) / ".lock", wait=False)
            if lock is None:
                continue
            if repair:
                remove_tree(Path(entry.path))
            lock.release()
            found.append(Finding(Kind.LEFT_OVER, f"tmp/{entry.name}", repair))
    return found
