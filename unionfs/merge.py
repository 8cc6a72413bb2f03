"""The rules by which layers are merged into one tree: decisions only, no I/O."""

from __future__ import annotations

import stat

from unionfs.layer import LayerEntry, Mark

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

INO_BITS = 48
"""Of a number in the union those that are the layer's own."""
OWN_NUMBER = (1 << INO_BITS) - 1

Found = list[tuple[int, LayerEntry]]
"""What the layers contribute to one name: (position in the stack, entry), top first. More than
one only if all are directories."""


def merge_entries(
    entries: Iterable[tuple[int, LayerEntry]], resolve: Callable[[bytes, int], Found]
) -> Found:
    """The contributions that are visible, of all entries that the layers have under one name, from the top.

    A whiteout, an opaque directory and anything that is not a directory hide what is below; a
    redirected directory goes on with what `resolve(path, position)` finds at that path below
    that position.
    """
    found: Found = []
    for position, entry in entries:
        if entry.mark is Mark.WHITEOUT:
            break
        is_directory = stat.S_ISDIR(entry.attributes.mode)
        if found and not is_directory:
            break
        found.append((position, entry))
        if not is_directory or entry.mark is Mark.OPAQUE:
            break
        if entry.redirect is not None:
            below = resolve(entry.redirect, position)
            if below and stat.S_ISDIR(below[0][1].attributes.mode):
                found += below
            break
    return found


def merge_listings(
    listings: Iterable[tuple[int, Iterable[tuple[bytes, LayerEntry]]]], few: int
) -> tuple[dict[bytes, Found], set[bytes] | None]:
    """The entries of each name in the listings of the layers, from the top, as far as they can
    matter; and the names that the lowers have an entry for, None if these are more than `few`."""
    contributions: dict[bytes, Found] = {}
    final: set[bytes] = set()
    below: set[bytes] = set()
    for position, listing in listings:
        for name, entry in listing:
            if position and len(below) <= few:
                below.add(name)
            if name in final:
                continue
            have = contributions.get(name)
            if have is None:
                contributions[name] = [(position, entry)]
            else:
                have.append((position, entry))
            if is_final(entry):
                final.add(name)
    return contributions, below if len(below) <= few else None


def is_final(entry: LayerEntry) -> bool:
    """Whether nothing below `entry` matters to its name, whatever it is."""
    return (
        entry.mark is not Mark.NONE
        or entry.redirect is not None
        or not stat.S_ISDIR(entry.attributes.mode)
    )


def compose_ino(ino: int, tag: int) -> int:
    """A number unique in the union from one unique in a layer. `tag` is 0 for the upper, whose
    numbers stay as they are, and counts the lowers from the bottom, so that a layer more on top
    changes no number."""
    if ino >> INO_BITS:
        ino = (ino ^ (ino >> INO_BITS) * 0x9E3779B1) & OWN_NUMBER
    return ino | tag << INO_BITS


def split_ino(ino: int, lowers: int) -> tuple[int, int]:
    """The inverse of `compose_ino` in a stack of `lowers` lowers: (position, the layer's number,
    which is right if it was below 2^48)."""
    tag = ino >> INO_BITS
    return (lowers + 1 - tag if tag else 0), ino & OWN_NUMBER
