"""Frozen uppers merged into one layer: what each wrote over those below it, and what they hide of the layers below
them all.

A name of a directory is looked for in the uppers that have the directory; of a directory that many of them have, all
names are read once and kept, so that a lookup costs the same however many there are.
"""

from __future__ import annotations

import os
import stat

from unionfs.directory.dirfds import PathNode
from unionfs.directory.upper_readonly import ReadOnlyUpper
from unionfs.layer import LayerEntry, Mark, Ref
from unionfs.light_types import NamedTuple
from unionfs.whiteouts import is_device_whiteout

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence
    from typing import TypeAlias

    from unionfs.directory.lower import DirectoryLayer
    from unionfs.layer import Layer, OpenFile
    from unionfs.model import Attributes

_MAX_PROBES = 3
"""Uppers that are asked for each name of a directory; of more, all names are read."""

Parts: TypeAlias = "tuple[tuple[int, Ref], ...]"
"""Where an object is: the upper, counted from the oldest, and its ref there; of a directory all of them, newest
first."""


class ChainRef:
    """An object of a chain. Compared by identity."""

    __slots__ = ("is_made", "names", "parts")

    def __init__(self, parts: Parts, *, is_made: bool = False) -> None:
        self.parts = parts
        self.is_made = is_made
        """A directory that one of the uppers made, where the layers below had none."""
        self.names: dict[bytes, list[tuple[int, LayerEntry]]] | None = None
        """What the uppers have under each name of a directory, newest first; None: not read."""

    def above(self, serial: int, ref: Ref) -> ChainRef:
        """The same directory with what a newer upper has of it."""
        return ChainRef(((serial, ref), *self.parts))


class _Place(NamedTuple):
    """What a chain has at a path: the uppers' parts of a directory, and the path where the layers below the chain have
    the rest of it; None if they have none that is visible."""

    parts: Parts
    below: bytes | None


_HIDDEN = _Place((), None)


class UpperChain:
    """`uppers`: oldest first; closed with the chain, which is read from when it has one. Inode numbers are those of the uppers,
    which lie on one file system with the upper over them, so that they are unique."""

    def __init__(self, uppers: Sequence[DirectoryLayer] = ()) -> None:
        self._uppers = list(uppers)
        for each in uppers:
            each.number_from(0)
        self._root: ChainRef | None = None
        self._pushed: DirectoryLayer | None = None

    def push(self, upper: DirectoryLayer) -> int:
        """Put one more upper over the others; returns its number. Refs go on meaning what they did, and so do those of the
        upper itself for what is not a directory: it finds all that was ever found in the upper whose place it has taken."""
        upper.number_from(0)
        self._uppers.append(upper)
        self._pushed = upper
        self._root = None
        return len(self._uppers) - 1

    def statuses(self) -> Iterator[os.stat_result]:
        """Of every object of the uppers but whiteouts, to count what they hold; of one with several names, several times."""
        for each in self._uppers:
            for _, directories, files, fd in os.fwalk(each.path, follow_symlinks=False):
                yield os.fstat(fd)
                # What is not a directory has its status here, a directory has it when it is walked.
                links = (name for name in directories if _is_link(name, fd))
                for name in (*files, *links):
                    status = os.stat(name, dir_fd=fd, follow_symlinks=False)
                    if not is_device_whiteout(status.st_mode, status.st_rdev):
                        yield status

    # As `layer.Layer`

    def number_from(self, tag: int) -> None:
        """The numbers are those of the upper, whose tag is 0."""

    def root(self) -> LayerEntry:
        entry = self._uppers[-1].root()
        return entry._replace(ref=self._root_ref(), mark=Mark.NONE, redirect=None)

    def _root_ref(self) -> ChainRef:
        if self._root is None:
            self._root = ChainRef(self._roots(len(self._uppers)))
        return self._root

    def _roots(self, below: int) -> Parts:
        """The top directories of the uppers older than this one."""
        return tuple((serial, self._uppers[serial].root().ref) for serial in reversed(range(below)))

    def lookup(self, directory: Ref, name: bytes) -> LayerEntry | None:
        return self._merged(self._entries(_chain_ref(directory), name))

    def _entries(self, ref: ChainRef, name: bytes) -> Iterable[tuple[int, LayerEntry]]:
        if len(ref.parts) <= _MAX_PROBES:
            return self._probed(ref.parts, name)
        return self._names(ref).get(name, ())

    def _probed(self, parts: Parts, name: bytes) -> Iterator[tuple[int, LayerEntry]]:
        for serial, ref in parts:
            entry = self._uppers[serial].lookup(ref, name)
            if entry is not None:
                yield serial, entry

    def _names(self, ref: ChainRef) -> dict[bytes, list[tuple[int, LayerEntry]]]:
        if ref.names is None:
            names: dict[bytes, list[tuple[int, LayerEntry]]] = {}
            for serial, part in ref.parts:
                for name, entry in self._uppers[serial].listing(part):
                    names.setdefault(name, []).append((serial, entry))
            ref.names = names
        return ref.names

    def listing(self, directory: Ref) -> Iterator[tuple[bytes, LayerEntry]]:
        ref = _chain_ref(directory)
        if len(ref.parts) == 1:
            serial, part = ref.parts[0]
            for name, entry in self._uppers[serial].listing(part):
                merged = self._merged([(serial, entry)])
                if merged is not None:
                    yield name, merged
            return
        for name, entries in list(self._names(ref).items()):
            merged = self._merged(entries)
            if merged is not None:
                yield name, merged

    def _merged(self, entries: Iterable[tuple[int, LayerEntry]]) -> LayerEntry | None:
        """What the uppers' entries of one name make together; newest first."""
        top: LayerEntry | None = None
        parts: Parts = ()
        mark, redirect = Mark.NONE, None
        oldest: LayerEntry | None = None
        for serial, entry in entries:
            is_directory = stat.S_ISDIR(entry.attributes.mode)
            if top is None:
                top = entry
                if entry.mark is Mark.WHITEOUT or not is_directory:
                    parts = ((serial, entry.ref),)
                    break
            elif entry.mark is Mark.WHITEOUT or not is_directory:
                mark = Mark.OPAQUE
                break
            parts += ((serial, entry.ref),)
            oldest = entry
            if entry.mark is Mark.OPAQUE:
                mark = Mark.OPAQUE
                break
            if entry.redirect is not None:
                place = self._resolve(entry.redirect, serial)
                parts += place.parts
                redirect = place.below
                mark = Mark.OPAQUE if redirect is None else Mark.NONE
                oldest = None
                break
        if top is None:
            return None
        if top.mark is Mark.WHITEOUT:
            mark = Mark.WHITEOUT
        attributes = top.attributes
        if top.origin is not None:
            attributes = attributes._replace(ino=top.origin)
        is_made = oldest is not None and oldest.origin is None
        ref = ChainRef(parts, is_made=is_made)
        return LayerEntry(ref, attributes, mark, redirect, top.origin, top.lazy)

    def _resolve(self, path: bytes, serial: int) -> _Place:
        """What the uppers older than `serial` have at a path, absolute, if that is a directory."""
        place = _Place(self._roots(serial), b"")
        for name in path.split(b"/"):
            if not name:
                continue
            parts, below = place
            entry = self._merged(self._probed(parts, name))
            if below is not None:
                below += b"/" + name
            if entry is None:
                place = _Place((), below)
                continue
            if not stat.S_ISDIR(entry.attributes.mode):  # or a whiteout
                return _HIDDEN
            ref = _chain_ref(entry.ref)
            if entry.mark is Mark.OPAQUE or ref.is_made:
                below = None
            elif entry.redirect is not None:
                below = entry.redirect
            place = _Place(ref.parts, below)
        return place._replace(below=b"/") if place.below == b"" else place

    def _only(self, ref: Ref) -> tuple[DirectoryLayer, Ref]:
        """The newest upper that has an object, and its ref there."""
        if isinstance(ref, PathNode) and self._pushed is not None:
            return self._pushed, ref
        serial, part = _chain_ref(ref).parts[0]
        return self._uppers[serial], part

    def readlink(self, ref: Ref) -> bytes:
        layer, part = self._only(ref)
        return layer.readlink(part)

    def xattrs(self, ref: Ref) -> dict[bytes, bytes]:
        layer, part = self._only(ref)
        return layer.xattrs(part)

    def open(self, ref: Ref) -> OpenFile:
        layer, part = self._only(ref)
        return layer.open(part)

    def refresh(self, ref: Ref, known: Attributes) -> Attributes:
        """`known`, attributes of an object that was written to before its upper was frozen, brought up to date."""
        layer, part = self._only(ref)
        return layer.refresh(part, -1, known)

    def btime(self, ref: Ref | None, fd: int) -> int | None:
        """As of `layer.SupportsBtime`."""
        if ref is None:
            return self._uppers[-1].btime(None, fd)
        layer, part = self._only(ref)
        return layer.btime(part, -1)

    def release_memory(self) -> None:
        """As of `layer.SupportsRelease`."""
        for each in self._uppers:
            each.release_memory()

    def close(self) -> None:
        for each in self._uppers:
            each.close()


class ChainedUpper(UpperChain):
    """The same of an upper and the frozen ones below it, to be read as one upper is: `upper_readonly`. `top` is the
    newest; with its work directory it has the index and the logs of all."""

    leaves_names = False  # nothing is removed
    defers_errors = False

    def __init__(self, frozen: Sequence[DirectoryLayer], top: ReadOnlyUpper) -> None:
        super().__init__([*frozen, top])
        self._top = top

    def root(self) -> LayerEntry:
        """A new upper gets the attributes of the one below it when it is first mounted."""
        serial = len(self._uppers) - 1
        if self._top.is_bare_root() and serial:
            serial -= 1
        entry = self._uppers[serial].root()
        return entry._replace(ref=self._root_ref(), mark=Mark.NONE, redirect=None)

    def index(self) -> dict[int, int | None]:
        """As of `layer.LinkIndex`."""
        return self._top.index()

    def indexed(self, origin: int) -> LayerEntry:
        """As of `layer.LinkIndex`."""
        entry = self._top.indexed(origin)
        return entry._replace(ref=ChainRef(((len(self._uppers) - 1, entry.ref),)))

    def refuse_overlap(self, lowers: Sequence[Layer]) -> None:
        """Nothing is written, so nothing can be written through."""

    def clean(self, kept: Collection[bytes] = ()) -> None:
        """What is left in the work directory may be another server's."""

    def required_lowers(self) -> bytes | None:
        """As of `layer.LazyMarks`. Only the newest has files that are not copied up whole."""
        return self._top.required_lowers()

    def metadata_log(self) -> bytes:
        """As of `layer.MetadataLog`."""
        return self._top.metadata_log()

    def first_seen(self) -> bytes:
        """As of `ReadOnlyUpper`."""
        return self._top.first_seen()

    def bases(self) -> bytes:
        """As of `ReadOnlyUpper`."""
        return self._top.bases()

    def place(self, ref: Ref) -> bytes:
        """As of `ReadOnlyUpper`."""
        layer, part = self._only(ref)
        if isinstance(layer, ReadOnlyUpper):
            return layer.place(part)
        names: list[bytes] = []
        at = part
        while isinstance(at, PathNode) and at.parent is not None:
            names.append(at.name)
            at = at.parent
        return b"/".join([layer.path, *reversed(names)])

    def open_incomplete(self, ref: Ref) -> int:
        """As of `ReadOnlyUpper`."""
        return self._top.open_incomplete(_chain_ref(ref).parts[0][1])

    def is_bare_root(self) -> bool:
        """As of `ReadOnlyUpper`."""
        return self._top.is_bare(self.root().attributes)


def _is_link(name: bytes, directory: int) -> bool:
    return stat.S_ISLNK(os.stat(name, dir_fd=directory, follow_symlinks=False).st_mode)


def _chain_ref(ref: Ref) -> ChainRef:
    if not isinstance(ref, ChainRef):
        raise TypeError("not an object of a chain of uppers")
    return ref
