"""The interface between the union and its layers.

A layer is a tree that does not change while it is mounted (a lower), or that only the union
changes (the upper). It answers in terms of the container: owner, mode and device number have been
read from wherever the layer stores them, whiteouts and opaque directories are marks, not names,
and bookkeeping attributes are hidden. A `Ref` is a layer's own name for one of its objects: opaque
to the union, hashable, valid until the layer is closed.

Every call is synchronous and raises OSError with the errno a file system would give, and nothing
else. A lower may be read from several threads at once.
"""

from __future__ import annotations

from unionfs.light_types import Enum, NamedTuple, Protocol, runtime_checkable
from unionfs.model import Attributes, StatFs
from unionfs.ownership import Owner

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Hashable, Iterator, Mapping, Sequence
    from typing import TypeAlias

Ref: TypeAlias = "Hashable"


class Mark(Enum):
    """The mark of an entry: what it hides in the layers below."""

    NONE = 0
    WHITEOUT = 1
    """The name is gone: nothing of this name below is visible. Such an entry has no attributes
    worth reading."""
    OPAQUE = 2
    """A directory whose counterpart below is hidden whole."""


class LayerEntry(NamedTuple):
    """The object of one layer under one name.

    `attributes.ino` is stable as long as the layer exists, and unique in it: see
    `Layer.number_from`.
    """

    ref: Ref
    attributes: Attributes
    mark: Mark = Mark.NONE
    redirect: bytes | None = None
    """Of a directory: the path, absolute in the layers below, where its counterpart is. None: at
    the directory's own path."""
    origin: int | None = None
    """The `st_ino` in the union before the object was copied up; set by an upper only."""
    lazy: bytes | None = None
    """The mark of a file whose data are not all copied up: `lazy.parse_mark`."""


class Extent(NamedTuple):
    """A run of data in a file: `length` bytes from `offset` on. Between runs there are holes."""

    offset: int
    length: int


class OpenFile(Protocol):
    """An open regular file of a layer. Positions are explicit; there is no file offset."""

    def read(self, offset: int, size: int) -> bytes:
        """Return up to `size` bytes at `offset`; fewer only at the end of the file. Raises EIO
        if the layer is shorter than its index says."""

    def extents(self) -> Sequence[Extent]:
        """The runs of data, in ascending order (lseek(2), SEEK_DATA)."""

    def backing(self) -> tuple[int, int] | None:
        """(file descriptor, position of byte 0 in it) if the whole content lies in one run of a
        real file, so that copy_file_range(2) or FICLONERANGE can copy it; None otherwise. The
        descriptor belongs to this object."""

    def close(self) -> None:
        """Close the descriptor. Idempotent."""


class Layer(Protocol):
    """A read-only tree. Implementations: directory, tar, merged chain index, memory."""

    def number_from(self, tag: int) -> None:
        """Make `attributes.ino` unique in the union, by `merge.compose_ino`. Called at most once,
        before anything is read; a layer shows its own numbers otherwise."""

    def root(self) -> LayerEntry:
        """The top directory. An opaque mark on it is meaningless and ignored."""

    def lookup(self, directory: Ref, name: bytes) -> LayerEntry | None:
        """The entry of this name, whiteouts included; None if the layer has none."""

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


PlainListing: TypeAlias = "dict[bytes, Attributes]"
"""Attributes of objects by name."""


# Capabilities that only some layers have. The union tests for them once, when it is made.


@runtime_checkable
class SupportsPlainListing(Protocol):
    """A layer that lists a directory faster than one entry at a time."""

    def plain_listing(self, directory: Ref) -> tuple[PlainListing, list[tuple[bytes, LayerEntry]]]:
        """`listing` in two parts: the non-directories with one name and no mark, and the rest."""

    def plain_ref(self, directory: Ref, name: bytes, attributes: Attributes) -> Ref:
        """The ref of an object of the first part."""


@runtime_checkable
class SupportsStatfs(Protocol):
    """A layer that is stored in a file system."""

    def statfs(self) -> StatFs:
        """statfs(2) of that file system."""


@runtime_checkable
class SupportsRelease(Protocol):
    """A layer that caches descriptors or memory."""

    def release_memory(self) -> None:
        """Drop the caches. The next request fills them again."""


@runtime_checkable
class SupportsBtime(Protocol):
    """A layer that knows the birth time of its objects."""

    def btime(self, ref: Ref | None, fd: int) -> int | None:
        """Birth time in nanoseconds of the object named by `ref`, or open as `fd` if that is not
        -1; None if the file system records none."""


@runtime_checkable
class SupportsXattrSearch(Protocol):
    """A layer that can tell whether any of its objects has an extended attribute."""

    def has_xattrs(self) -> bool:
        """False if none has, True if one has or it would take long to find out."""


@runtime_checkable
class SupportsFingerprint(Protocol):
    """A layer that can be recognized at a later mount. Files are copied up lazily only from such
    layers."""

    def fingerprint(self) -> Sequence[bytes]:
        """The identity of the layer among all layers; one item for each layer it is made of."""


class Creation(NamedTuple):
    """The properties of a new object of the upper, in terms of the container.

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


class Namespace(Protocol):
    """The names of an upper: objects that are made whole in one step, and moved."""

    leaves_names: bool
    """Whether a file that is removed while it is open leaves another name behind, as on NFS: it is stashed instead."""
    defers_errors: bool
    """Whether write(2) of a file may succeed where there is no room, as on NFS: only fsync(2) or close(2) fail."""

    def create(
        self, directory: Ref, name: bytes, mode: int, uid: int, gid: int
    ) -> tuple[Ref, Attributes, int]:
        """Make a regular file; `mode` includes the type. The third value is a descriptor for
        reading and writing, which the caller closes."""

    def make(self, directory: Ref, name: bytes, creation: Creation) -> LayerEntry:
        """Make a directory, symbolic link, device, fifo or socket."""

    def link(self, ref: Ref | None, fd: int, directory: Ref, name: bytes) -> Ref:
        """Give one more name to a file, named by `ref`, or by `fd` if that is None."""

    def remove(self, directory: Ref, name: bytes, *, is_directory: bool, whiteout: bool) -> None:
        """Remove a name; leave a whiteout if asked. A directory may hold whiteouts and nothing
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
        directory); leave a whiteout if asked. Returns the object's ref at its new place."""

    def exchange(
        self, old: tuple[Ref, bytes], new: tuple[Ref, bytes], refs: tuple[Ref, Ref]
    ) -> tuple[Ref, Ref]:
        """Swap two names. Returns the refs of the two objects at their new places."""

    def set_opaque(self, directory: Ref) -> None: ...
    def set_redirect(self, directory: Ref, path: bytes) -> None:
        """Raises EXDEV if the path is too long to be stored."""


class Drafts(Protocol):
    """Regular files that are filled before they get a name, or that have lost every name."""

    def draft(self, length: int = 0) -> Draft:
        """Begin a regular file that is filled, with about `length` bytes, and then published."""

    def publish(self, draft: Draft, directory: Ref, name: bytes, creation: Creation) -> LayerEntry:
        """Give a draft its owner, mode, attributes, times and name, in this order."""

    def publish_unnamed(self, draft: Draft, creation: Creation) -> Attributes:
        """Give a draft its owner, mode, attributes and times, but no name: the file is unlinked
        already."""

    def discard(self, draft: Draft) -> None:
        """Close and forget a draft that will not be published. Never raises."""

    def new_stash(self) -> bytes:
        """A name for `stash` that is free."""

    def stash(self, ref: Ref | None, fd: int, name: bytes) -> Ref:
        """Give the stash name to a file about to lose its last, or to one without a name that is open
        as `fd`: no reader sees it, and the next mount removes it."""

    def move_to_stash(self, directory: Ref, name: bytes, stash: bytes, *, whiteout: bool) -> Ref:
        """`remove` of a file that keeps the stash name, in one step."""

    def stashed(self, name: bytes) -> LayerEntry | None:
        """The object with this stash name; None if nothing has."""

    def stash_name(self, ref: Ref) -> bytes:
        """The stash name of a file that has been stashed."""

    def drop_stash(self, ref: Ref) -> None:
        """Remove that name."""


class PreparedTrees(Protocol):
    """Directory trees that another process makes: see `unionfs.directory.prepared`."""

    takes_prepared_trees: bool

    def adopt(self, directory: Ref, prepared: bytes, name: bytes) -> LayerEntry:
        """Give such a tree a name that is free."""


class Metadata(Protocol):
    """Attributes of the objects of an upper. Where a method takes both, `fd` names the object if
    it is not -1, else `ref`."""

    def refresh(self, ref: Ref | None, fd: int, known: Attributes) -> Attributes:
        """`known` brought up to date after writes. `ino` and, except for directories, `nlink` are
        left as they are."""

    def change(
        self,
        ref: Ref | None,
        fd: int,
        known: Owner,
        *,
        mode: int | None = None,
        uid: int | None = None,
        gid: int | None = None,
    ) -> None:
        """Change permission bits and owner, which are `known`. A symbolic link has to be stored by
        `make_ownable` first."""

    def make_ownable(self, ref: Ref, known: Owner, ino: int) -> None:
        """Store a symbolic link, with this owner and number, in a form whose owner can change and
        that can have several names. The ref stays valid, and so does the number: no other object
        gets it before `release_number`. Does nothing if it is stored so."""

    def set_times(self, ref: Ref | None, fd: int, atime_ns: int, mtime_ns: int) -> None: ...
    def set_xattr(self, ref: Ref | None, fd: int, name: bytes, value: bytes, flags: int) -> None:
        """`flags` as of setxattr(2). Raises ENOTSUP if the object cannot have the attribute."""

    def remove_xattr(self, ref: Ref | None, fd: int, name: bytes) -> None: ...
    def get_xattrs(self, ref: Ref | None, fd: int) -> dict[bytes, bytes]: ...
    def btime(self, ref: Ref | None, fd: int) -> int | None:
        """As of `SupportsBtime`."""

    def open_write(self, ref: Ref) -> int:
        """A descriptor of a regular file for reading and writing, which the caller closes."""

    def open_directory(self, ref: Ref) -> int:
        """A descriptor of a directory, to sync it, which the caller closes."""


class LinkIndex(Protocol):
    """An upper's records of files of the lowers that have several names."""

    def index(self) -> dict[int, int | None]:
        """By `st_ino` in the union: the number of names left, or None if the upper has a copy that
        all names stand for."""

    def indexed(self, origin: int) -> LayerEntry:
        """That copy."""

    def index_add(self, draft: Draft, creation: Creation) -> LayerEntry:
        """Make a complete copy the one that all names of `creation.origin` stand for. It has no
        name in the tree yet; `link` gives it one."""

    def index_make(self, creation: Creation) -> LayerEntry:
        """As `index_add`, for anything but a regular file or directory, made complete."""

    def index_links(self, origin: int, ref: Ref | None, nlink: int) -> None:
        """Record how many names a file has left; 0 removes it from the index. `ref`: its copy, if
        there is one."""

    def release_number(self, ino: int) -> None:
        """The last name of an object with this number is gone: see `Metadata.make_ownable`."""


class LazyMarks(Protocol):
    """The marks of incomplete files of an upper: see `unionfs.lazy.file`."""

    def mark_lazy(self, fd: int, mark: bytes | None) -> None:
        """Set or clear the incomplete-copy mark of an open file. Raises what the file system does
        if it cannot hold the mark."""

    def incomplete_files(self) -> Iterator[LayerEntry]:
        """Every file with the mark."""

    def required_lowers(self) -> bytes | None:
        """The fingerprint of the lowers that incomplete files need; None if there are no such
        files."""

    def set_required_lowers(self, fingerprint: bytes | None) -> None:
        """Record it, before the first such file is made, or remove it, after the last is
        complete."""


class MetadataLog(Protocol):
    """Where an upper keeps changes of metadata of files that only a lower has: see
    `unionfs.logs.metadata`. It outlives the mount."""

    def metadata_log(self) -> bytes:
        """All of it; empty if there is none."""

    def append_metadata_log(self, data: bytes) -> None:
        """Add to it. Raises OSError, and then it is as it was."""

    def replace_metadata_log(self, data: bytes) -> None:
        """Put another one in its place, in one step."""


class SeenLog(Protocol):
    """Where an upper keeps what was seen of lowers that can change: see `unionfs.logs.first_seen`. It outlives the
    mount."""

    def append_first_seen(self, data: bytes) -> None:
        """Add to it. Raises OSError."""

    def append_base(self, data: bytes) -> None:
        """Add to the log of contents. Raises OSError."""


class Freezing(Protocol):
    """An upper on which a new one is put."""

    def save_state(self, saved: bytes) -> None:
        """Save what the work directory holds, in the directory `saved`, which is made. To be called before `freeze`."""

    def freeze(self, frozen: bytes, path: bytes) -> Layer:
        """The tree of this upper has been moved to `frozen`: it takes the one at `path`, which is empty, in its place.
        Returns the layer of the former; refs of its objects go on meaning them."""


class UpperLayer(
    Layer,
    Namespace,
    Drafts,
    PreparedTrees,
    Metadata,
    LinkIndex,
    LazyMarks,
    MetadataLog,
    SeenLog,
    Freezing,
    Protocol,
):
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

    def announce_end(self) -> None:
        """The union is unmounted and about to complete its lazy copies: the next server of this layer
        waits until that is done."""

    def clean(self, kept: Collection[bytes] = ()) -> None:
        """Remove what an interrupted operation left behind, except what has these stash names.
        Called once, before the first change."""

    def statfs(self) -> StatFs: ...
    def sync(self) -> None:
        """Everything to stable storage (syncfs(2))."""

    def sync_attributes(self) -> None:
        """To stable storage, what fsync(2) of an object does not cover of its attributes. A thread may
        call it."""
