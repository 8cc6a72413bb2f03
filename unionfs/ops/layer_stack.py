"""The layers of a union, and their entries for a name: no nodes, no attributes as shown."""

from __future__ import annotations

import errno
import os
import stat

from unionfs.layer import Layer, LayerEntry, Ref, SupportsPlainListing, UpperLayer
from unionfs.merge import Found, merge_entries
from unionfs.nodes import UPPER, Directory

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from unionfs.directory.chain import UpperChain
    from unionfs.model import Attributes


class LayerStack:
    """`upper` takes the writes; None: every change is EROFS. `lowers` are read-only, top first. `frozen`: the former
    uppers, which lie between the two. A position is `UPPER`, the index in `lowers` plus one, or `frozen_at`, which is
    one more than all those."""

    def __init__(
        self, lowers: Sequence[Layer], upper: UpperLayer | None, frozen: UpperChain | None = None
    ) -> None:
        self.upper = upper
        self.lowers = tuple(lowers)
        self.frozen_at = len(self.lowers) + 1
        self._below_upper: list[Layer] = list(self.lowers)
        """By position less one."""
        self.plain_listings: list[SupportsPlainListing | None] = [
            layer if isinstance(layer, SupportsPlainListing) else None for layer in self.lowers
        ]
        """By position less one: the layer, if it lists directories in the faster way."""
        self._frozen: UpperChain | None = None
        if frozen is not None:
            self.add_frozen(frozen)

    @property
    def frozen(self) -> UpperChain | None:
        """The former uppers; None: there are none."""
        return self._frozen

    def add_frozen(self, frozen: UpperChain) -> None:
        """The upper has been frozen for the first time."""
        self._frozen = frozen
        self._below_upper.append(frozen)
        self.plain_listings.append(None)

    def refresh_frozen(self, ref: Ref | None, known: Attributes) -> Attributes:
        """`known`, of an object of the former uppers, brought up to date."""
        return known if self._frozen is None or ref is None else self._frozen.refresh(ref, known)

    def layer(self, position: int) -> Layer:
        if position == UPPER:
            return self.writable()
        return self._below_upper[position - 1]

    def writable(self) -> UpperLayer:
        """The upper. Raises EROFS if there is none."""
        if self.upper is None:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))
        return self.upper

    def roots(self) -> Found:
        """The root directory of each layer."""
        found = self._roots_below(UPPER)
        if self.upper is not None:
            found.insert(0, (UPPER, self.upper.root()))
        return found

    def _roots_below(self, position: int) -> Found:
        """The root directories of the layers below this position."""
        first = 0 if position == self.frozen_at else position
        found: Found = [(i + 1, self.lowers[i].root()) for i in range(first, len(self.lowers))]
        if position == UPPER and self._frozen is not None:
            found.insert(0, (self.frozen_at, self._frozen.root()))
        return found

    def find(self, directory: Directory, name: bytes) -> Found:
        """The contributions of the layers to a name of a directory."""
        return merge_entries(self._entries(directory, name), self.resolve)

    def _entries(self, directory: Directory, name: bytes) -> Iterator[tuple[int, LayerEntry]]:
        if directory.upper is not None:
            entry = self.writable().lookup(directory.upper, name)
            if entry is not None:
                yield UPPER, entry
        yield from self._lower_entries(directory.lowers, name)

    def _lower_entries(
        self, lowers: Iterable[tuple[int, Ref]], name: bytes
    ) -> Iterator[tuple[int, LayerEntry]]:
        for position, ref in lowers:
            entry = self._below_upper[position - 1].lookup(ref, name)
            if entry is not None:
                yield position, entry

    def below(self, directory: Directory, name: bytes) -> LayerEntry | None:
        """The entry of the lowers alone under this name."""
        if not directory.lowers:
            return None
        if directory.below is not None and name not in directory.below:
            return None
        found = self.find_in(directory.lowers, name)
        return found[0][1] if found else None

    def find_in(self, lowers: Iterable[tuple[int, Ref]], name: bytes) -> Found:
        """The contributions of the lowers to a name, in a directory that consists of these."""
        return merge_entries(self._lower_entries(lowers, name), self.resolve)

    def resolve(self, path: bytes, position: int) -> Found:
        """The entry at the absolute `path` in the layers below `position`."""
        found = self._roots_below(position)
        for name in path.split(b"/"):
            if name:
                lowers = [(number, entry.ref) for number, entry in found]
                found = merge_entries(self._lower_entries(lowers, name), self.resolve)
                if not found or not stat.S_ISDIR(found[0][1].attributes.mode):
                    return []
        return found

    def find_below(self, path: bytes) -> tuple[int, LayerEntry] | None:
        """The entry of the lowers alone at `path`, absolute in them: (position, entry)."""
        above, _, name = path.rpartition(b"/")
        lowers = [(number, entry.ref) for number, entry in self.resolve(above, UPPER)]
        found = merge_entries(self._lower_entries(lowers, name), self.resolve)
        return found[0] if found else None

    def close(self) -> None:
        """Close every layer. Idempotent."""
        if self.upper is not None:
            self.upper.close()
        for layer in self._below_upper:
            layer.close()
