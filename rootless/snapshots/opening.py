"""Opens the frozen layers of a container."""

from __future__ import annotations

import os

from rootless.snapshots.layers import chain_of, layer_path
from rootless.snapshots.steps import UPPER, WORK, lock_record, read_record, settle, write_record
from unionfs.directory.frozen import FrozenUpper
from unionfs.directory.work import METADATA_LOG, read_log
from unionfs.ownership import Ownership

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from rootless.snapshots.record import Span
    from unionfs.directory.chain import ChainedUpper, UpperChain
    from unionfs.directory.upper_readonly import ReadOnlyUpper
    from unionfs.union import Union


def open_frozen(store: str, head: str, base_owner: tuple[int, int]) -> list[FrozenUpper]:
    """A layer and all below it, the oldest first. Raises OSError, InvalidDocumentError."""
    return [
        FrozenUpper(
            os.fsencode(f"{layer_path(store, each)}/{UPPER}"),
            os.fsencode(f"{layer_path(store, each)}/{WORK}"),
            base_owner=base_owner,
        )
        for each in chain_of(store, head)
    ]


def frozen_trees(directory: str) -> list[str]:
    """The trees of all layers that a container has frozen, or shares. Raises OSError, InvalidDocumentError."""
    store = os.path.dirname(os.path.dirname(directory))
    record = read_record(directory)
    layers = {each for head in record.layers for each in chain_of(store, head)}
    return [f"{layer_path(store, each)}/{UPPER}" for each in sorted(layers)]


def open_chain(directory: str, store: str, base_owner: tuple[int, int]) -> UpperChain | None:
    """What lies between the upper that a server is about to open and the layers of the image; None: nothing. Completes
    what was begun. Raises OSError, InvalidDocumentError."""
    from unionfs.directory.chain import UpperChain

    layers = frozen_below(directory, store, base_owner)
    return UpperChain(layers) if layers else None


def open_span(
    directory: str,
    store: str,
    base_owner: tuple[int, int],
    span: Span,
    open_top: Callable[[], ReadOnlyUpper],
) -> tuple[UpperChain | None, ReadOnlyUpper | ChainedUpper, bytes]:
    """The changes of a container in a span, to be read as one upper; the frozen layers below that; and the log of
    metadata (`unionfs.layer.MetadataLog`) of these. `open_top` opens the writable layer as it is.

    Raises OSError, InvalidDocumentError.
    """
    from unionfs.directory.chain import ChainedUpper, UpperChain
    from unionfs.directory.upper_readonly import ReadOnlyUpper

    with lock_record(directory):
        head = settle(directory, store).head
    chain = chain_of(store, span.newer or head)
    first = chain.index(span.older) + 1 if span.older else 0
    layers = open_frozen(store, span.newer or head, base_owner)
    if span.newer:
        layers.pop().close()
        place = layer_path(store, span.newer)
        paths = os.fsencode(f"{place}/{UPPER}"), os.fsencode(f"{place}/{WORK}")
        top = ReadOnlyUpper(*paths, ownership=Ownership.DATA, base_owner=base_owner)
    else:
        top = open_top()
    below, own = layers[:first], layers[first:]
    known = read_state_log(layer_path(store, span.older)) if span.older else b""
    return UpperChain(below) if below else None, ChainedUpper(own, top) if own else top, known


def read_state_log(place: str) -> bytes:
    """The log of metadata of a frozen layer. Raises OSError."""
    work = os.open(f"{place}/{WORK}", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        return read_log(work, METADATA_LOG)
    finally:
        os.close(work)


def finish_opening(union: Union, directory: str) -> None:
    """Give a new upper the attributes of the top directory below it, once. Raises OSError."""
    with lock_record(directory):
        record = read_record(directory)
        if record.is_fresh:
            union.take_root()
            write_record(directory, record._replace(is_fresh=False))


def frozen_below(directory: str, store: str, base_owner: tuple[int, int]) -> list[FrozenUpper]:
    """The frozen layers below the writable layer of a container, the oldest first, to be read. Completes what was begun.
    Raises OSError, InvalidDocumentError."""
    with lock_record(directory):
        record = settle(directory, store)
    return open_frozen(store, record.head, base_owner)
