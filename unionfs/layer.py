"""The seam everything is tested through: what the union asks of a layer.

A layer is a tree that never changes under us (a lower) or that only we change (the upper). It
answers in terms of the container: owner, mode and device number have been read from wherever the
layer keeps them, whiteouts and opaque directories are marks, not names, and bookkeeping
attributes are gone. A `Ref` is a layer's own name for one of its objects: opaque to the union,
hashable, valid until the layer is closed.

Every call is synchronous and raises OSError with the errno a file system would give; nothing
else. A lower may be read from several threads at once.
"""

from __future__ import annotations

from unionfs.light_types import Enum, NamedTuple, Protocol
from unionfs.model import Attributes, StatFs
from unionfs.ownership import Owner

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator, Mapping, Sequence
    from typing import TypeAlias

Ref: TypeAlias = "Hashable"


class Mark(Enum):
    """How an entry of a layer bears on the layers below it."""

    NONE = 0
    WHITEOUT = 1
    """The name is gone: nothing of this name below is visible. Such an entry has no attributes
    worth reading."""
    OPAQUE = 2
    """A directory whose counterpart below is hidden whole."""


class LayerEntry(NamedTuple):
    """What one layer says about one name.

    `attributes.ino` is stable as long as the layer exists, and unique in it: see
    `Layer.number_from`.
    """

    ref: Ref
    attributes: Attributes
    mark: Mark = Mark.NONE
    redirect: bytes | None = None
    """A directory whose counterpart in the layers below is not at its own path but at this one,
    absolute in those layers."""
    origin: int | None = None
    """The `st_ino` in the union before it was copied up; only an upper says."""
    lazy: bytes | None = None
    """A file of which not all data have been copied up, and where they are: `lazy.parse_mark`."""


class Extent(NamedTuple):
    """A run of data in a file: bytes from `offset` on, `length` long; what lies between runs is
    a hole."""

    offset: int
    length: int


class OpenFile(Protocol):
    """An open regular file of a layer. Positions are explicit; there is no file offset."""

    def read(self, offset: int, size: int) -> bytes:
        """Return up to `size` bytes at `offset`; fewer only at the end of the file. Raises EIO
        if the layer is shorter than its index says."""

    def extents(self) -> Sequence[Extent]:
        """Where there is data, in ascending order; the rest are holes (lseek(2) SEEK_DATA)."""

    def backing(self) -> tuple[int, int] | None:
        """(file descriptor, position of byte 0 in it) if the whole content lies in one run of a
        real file, so that copy_file_range(2) or FICLONERANGE can copy it; None otherwise. The
        descriptor belongs to this object."""

    def close(self) -> None:
        """Give the descriptor back. Idempotent."""


class Layer(Protocol):
    """A read-only tree. Implementations: directory, tar, merged chain index, memory."""

    def number_from(self, tag: int) -> None:
        """From now on `attributes.ino` is unique in the union, by `merge.compose_ino`. Until this
        is called, once and before anything is read, it is the layer's own."""

    def root(self) -> LayerEntry:
        """The top directory. An opaque mark on it is meaningless and ignored."""

    def lookup(self, directory: Ref, name: bytes) -> LayerEntry | None:
        """The entry of this name, whiteouts included; None if the layer says nothing about it."""

    def listing(self, directory: Ref) -> Iterator[tuple[bytes, LayerEntry]]:
        """Every entry with its attributes, whiteouts included, without `.` and `..`, in no
        particular order.

        This is the cold-walk path: one pass, no per-entry probing of other names."""

    def readlink(self, ref: Ref) -> bytes:
        """The target of a symbolic link, as stored."""

    def xattrs(self, ref: Ref) -> dict[bytes, bytes]:
        """All extended attributes that the container may see."""

    def open(self, ref: Ref) -> OpenFile:
        """Open a regular file for reading."""

    def close(self) -> None:
        """Release descriptors and maps. Idempotent."""


Plain: TypeAlias = "dict[bytes, Attributes]"
"""Objects by name."""


class Listed(Protocol):
    """A layer that reads a directory faster than one entry after another has this besides."""

    def plain_listing(self, directory: Ref) -> tuple[Plain, list[tuple[bytes, LayerEntry]]]:
        """`listing` in two parts: what is no directory, has one name and no mark, and the rest."""

    def plain_ref(self, directory: Ref, name: bytes, attributes: Attributes) -> Ref:
        """What names an object of the first part."""


class Stored(Protocol):
    """A layer that is kept in a file system has this besides."""

    def statfs(self) -> StatFs:
        """statfs(2) of that file system."""


class Relaxing(Protocol):
    """A layer that keeps something to be quicker by has this besides."""

    def relax(self) -> None:
        """Give it back: nothing is asked of the layer for now."""


class Born(Protocol):
    """A layer that knows when its objects were made has this besides."""

    def btime(self, ref: Ref | None, fd: int) -> int | None:
        """Time of birth in nanoseconds, of the object named by `ref`, or open as `fd` if that is
        not -1; None where the file system keeps none."""


class Creation(NamedTuple):
    """What a new object of the upper is to be, in terms of the container.

    `mode` includes the type of file; `target` is a symbolic link's. Times are set if `mtime_ns`
    is not None.
    """

    mode: int
    uid: int
    gid: int
    rdev: int = 0
    target: bytes = b""
    xattrs: Mapping[bytes, bytes] = {}
    atime_ns: int | None = None
    mtime_ns: int | None = None
    origin: int | None = None
    nlink: int | None = None
    opaque: bool = False


class Draft(Protocol):
    """A regular file in the making: without a name, or with one that no reader sees. Gone after
    a crash."""

    @property
    def fd(self) -> int:
        """Open for reading and writing. Stays open when the draft is published."""


class UpperLayer(Layer, Protocol):
    """The layer that takes the writes. Only the union changes it.

    Creations put the object in place in one step, complete: after a kill at any instant a reader
    finds it as it was or as it is to be. A whiteout in the place of a new object is replaced by
    it. A `Ref` of a directory stays valid when the directory is renamed; one of anything else
    names the place where it was found.
    """

    @property
    def holds_device_zero(self) -> bool:
        """Whether an object can be a character device 0:0 without being a whiteout."""

    def refuse_overlap(self, lowers: Sequence[Layer]) -> None:
        """Raise OSError(EINVAL) with a message if a lower layer contains this one or lies in it."""

    def refresh(self, ref: Ref | None, fd: int, known: Attributes) -> Attributes:
        """`known` brought up to date after writes: from `fd` if it is not -1, else from `ref`.
        `ino` and, except for directories, `nlink` are left as they are."""

    def create(
        self, directory: Ref, name: bytes, mode: int, uid: int, gid: int
    ) -> tuple[Ref, Attributes, int]:
        """Make a regular file; `mode` includes the type. Returns also a descriptor for reading and
        writing, which is the caller's."""

    def make(self, directory: Ref, name: bytes, creation: Creation) -> LayerEntry:
        """Make a directory, symbolic link, device, fifo or socket."""

    def draft(self) -> Draft:
        """Begin a regular file that is filled and then published."""

    def publish(self, draft: Draft, directory: Ref, name: bytes, creation: Creation) -> LayerEntry:
        """Give a draft its owner, mode, attributes, times and name, in this order."""

    def finish(self, draft: Draft, creation: Creation) -> Attributes:
        """Give a draft its owner, mode, attributes and times, but no name: a file that is
        unlinked already."""

    def stash(self, ref: Ref) -> Ref:
        """One more name for a file about to lose its last: no reader sees it, and no restart."""

    def drop_stash(self, ref: Ref) -> None:
        """The end of a file that has been stashed."""

    def discard(self, draft: Draft) -> None:
        """Close and forget a draft that will not be published. Never raises."""

    def link(self, ref: Ref | None, fd: int, directory: Ref, name: bytes) -> Ref:
        """Give one more name to a file, named by `ref`, or by `fd` if that is None."""

    def remove(self, directory: Ref, name: bytes, *, is_directory: bool, whiteout: bool) -> None:
        """Remove a name, leaving a whiteout if asked. A directory may hold whiteouts and nothing
        else."""

    def whiteout(self, directory: Ref, name: bytes) -> None:
        """Put a whiteout where this layer has nothing."""

    def empty(self, directory: Ref, name: bytes) -> None:
        """Remove the whiteouts from a directory that holds nothing else, and make it opaque, in
        one step."""

    def rename(
        self,
        old: tuple[Ref, bytes],
        new: tuple[Ref, bytes],
        moved: Ref,
        *,
        is_directory: bool,
        whiteout: bool,
    ) -> Ref:
        """Move a name over whatever is at the new one (nothing, a whiteout, a file, an empty
        directory), leaving a whiteout if asked. Returns the object's ref at its new place."""

    def exchange(
        self, old: tuple[Ref, bytes], new: tuple[Ref, bytes], refs: tuple[Ref, Ref]
    ) -> tuple[Ref, Ref]:
        """Swap two names. Returns the refs of the two objects at their new places."""

    def set_opaque(self, directory: Ref) -> None: ...
    def set_redirect(self, directory: Ref, path: bytes) -> None:
        """Raises EXDEV if the path is too long to be kept."""

    def change(
        self,
        ref: Ref | None,
        fd: int,
        known: Owner,
        *,
        mode: int | None = None,
        uid: int | None = None,
        gid: int | None = None,
    ) -> Ref | None:
        """Change permission bits and owner, which are `known`. Returns the ref, which is another
        one if the object had to be replaced."""

    def set_times(self, ref: Ref | None, fd: int, atime_ns: int, mtime_ns: int) -> None: ...
    def set_xattr(self, ref: Ref | None, fd: int, name: bytes, value: bytes, flags: int) -> None:
        """`flags` as of setxattr(2). Raises ENOTSUP where the object cannot carry it."""

    def remove_xattr(self, ref: Ref | None, fd: int, name: bytes) -> None: ...
    def get_xattrs(self, ref: Ref | None, fd: int) -> dict[bytes, bytes]: ...
    def open_write(self, ref: Ref) -> int:
        """A descriptor of a regular file for reading and writing; the caller's to close."""

    def index(self) -> dict[int, int | None]:
        """What is remembered of files of lower layers that have several names, by their `st_ino`
        in the union: the number of names left, or None if there is a copy that they all stand
        for."""

    def indexed(self, origin: int) -> LayerEntry:
        """That copy."""

    def index_add(self, draft: Draft, creation: Creation) -> LayerEntry:
        """Make a finished copy the one that all names of `creation.origin` stand for. It has no
        name in the tree yet; `link` gives it one."""

    def index_links(self, origin: int, ref: Ref | None, nlink: int) -> None:
        """Remember how many names a file has left; with none it is dropped from the index."""

    def mark_lazy(self, fd: int, mark: bytes | None) -> None:
        """Say of an open file that its data are not all here, or that they are. Raises what the
        file system does if it cannot hold the mark."""

    def unfinished(self) -> Iterator[LayerEntry]:
        """Every file that says so."""

    def awaits(self) -> bytes | None:
        """The fingerprint of the lowers that unfinished files need; None if there are no such
        files."""

    def set_awaits(self, fingerprint: bytes | None) -> None:
        """Remember that, before the first such file, or forget it, after the last."""

    def statfs(self) -> StatFs: ...
    def btime(self, ref: Ref | None, fd: int) -> int | None: ...
    def open_directory(self, ref: Ref) -> int:
        """A descriptor of a directory, to sync it; the caller's to close."""

    def sync(self) -> None:
        """Everything to stable storage (syncfs(2))."""

    def clean(self) -> None:
        """Remove what an interrupted operation left behind. Called once, before the first
        change."""
