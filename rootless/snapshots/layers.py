"""The frozen layers of all containers of a store:

    frozen/<32 hex digits>/upper        the tree
    frozen/<32 hex digits>/work         what its work directory held (`unionfs.directory.frozen`)
    frozen/<32 hex digits>/layer.json   the id of the layer below it
    frozen/.lock                        held while layers are removed, and while a container is made over some
    frozen/.old-<id>/                   being removed

A layer is there as long as the record of a container names it, or a layer over it is there. A record names it before it is
made, so that `sweep` never removes one that is being made.
"""

from __future__ import annotations

import os

from rootless.durable import locked, remove_tree, write_atomically
from rootless.errors import InvalidDocumentError, RootlessError
from rootless.light_json import dumps, read_versioned
from rootless.light_stdlib import read_file
from rootless.snapshots import SNAPSHOTS
from rootless.snapshots.record import decode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

DIRECTORY = "frozen"
_DOCUMENT = "layer.json"
_FORMAT = 1
_MOST = 10_000


def new_layer_id() -> str:
    """32 random hex digits."""
    return os.urandom(16).hex()


def layer_path(store: str, layer: str) -> str:
    """The directory of a layer."""
    return f"{store}/{DIRECTORY}/{layer}"


def make_layer(store: str, layer: str, below: str) -> str:
    """Make the directory of a layer that will lie over `below`, which may be empty; returns it. Raises OSError."""
    os.makedirs(f"{store}/{DIRECTORY}", mode=0o700, exist_ok=True)
    path = layer_path(store, layer)
    os.mkdir(path, 0o700)
    document = dumps({"format": _FORMAT, "below": below}) + b"\n"
    write_atomically(f"{path}/{_DOCUMENT}", document, 0o600, durable=False)
    return path


def chain_of(store: str, head: str) -> list[str]:
    """The ids of a layer and of all below it, the oldest first. Raises InvalidDocumentError if one is not there."""
    chain: list[str] = []
    while head:
        path = f"{layer_path(store, head)}/{_DOCUMENT}"
        try:
            document = read_versioned(read_file(path), path, _FORMAT)
        except OSError as error:
            raise InvalidDocumentError(f"{path} cannot be read: {error.strerror}") from error
        chain.append(head)
        below: object = document.get("below")
        if not isinstance(below, str) or len(chain) > _MOST:
            raise InvalidDocumentError(f"{path} is damaged")
        head = below
    chain.reverse()
    return chain


def sweep(store: str, delete: Callable[[str], None] = remove_tree) -> None:
    """Remove the layers that no container needs. Layers stay if a record cannot be read. Raises OSError."""
    top = f"{store}/{DIRECTORY}"
    if not os.path.isdir(top):
        return
    with locked(f"{top}/.lock"):
        # First the layers, then the records: one that is made meanwhile is not among them.
        found = {each for each in os.listdir(top) if not each.startswith(".")}
        try:
            for head in _named(f"{store}/containers"):
                found.difference_update(_reached(store, head))
        except RootlessError:
            return
        for each in found:
            os.rename(f"{top}/{each}", f"{top}/.old-{each}")
    for name in os.listdir(top):
        if name.startswith(".old-"):
            delete(f"{top}/{name}")


def _reached(store: str, head: str) -> list[str]:
    if not os.path.isdir(layer_path(store, head)):
        return []  # one that was about to be made
    return chain_of(store, head)


def _named(containers: str) -> Iterator[str]:
    """The layers that the records of containers name."""
    for name in os.listdir(containers):
        if not name.startswith(".old-"):
            path = f"{containers}/{name}/{SNAPSHOTS}"
            try:
                data = read_file(path)
            except (FileNotFoundError, NotADirectoryError):
                continue
            except OSError as error:
                raise InvalidDocumentError(f"{path} cannot be read: {error.strerror}") from error
            yield from decode(data, path).layers
