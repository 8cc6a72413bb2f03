"""The interface between sessions and the union: its operations as plain synchronous calls, independent of FUSE.

Every call takes and returns plain values and raises OSError with the errno for the caller. Calls are made from one thread at
a time; only `Copy.copy`, `Copy.sync` and `Transfer.run` may run in another thread meanwhile (unionfs/session/copies.py).

The operations are grouped by what they act on, so that each part of a session asks for the groups that it uses. `FileSystem`
is all of them, and `Union` is the implementation. `parent` is a directory's node, `name` one path component without a slash.

I/O is by node, never by the file that happened to be open at the time: there are no file handles. A session that does get
OPEN and RELEASE from the kernel calls `open` and `release` so that truncation and access modes are honoured, and reads and
writes by node all the same.

Lookup counts: every `Entry` returned by lookup, mknod, mkdir, symlink, link, create and tmpfile, every entry of `readdir` for
which the session calls `remember`, and every entry of `readdirplus`, counts one reference by the kernel, given back through
`forget`.
"""

from __future__ import annotations

from unionfs.light_types import NamedTuple, Protocol
from unionfs.model import Attributes, Caller, NodeId, SetAttributes, StatFs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from unionfs.copy_up_stats import CopyUpStats


class Entry(Protocol):
    """An object that the kernel knows or will know by its node. `attributes` is replaced, never changed in place."""

    @property
    def nodeid(self) -> NodeId: ...
    @property
    def attributes(self) -> Attributes: ...


class DirEntry(NamedTuple):
    """One name of a directory. `cookie` is where to go on after it (the `off` of fuse_dirent): it keeps its meaning while
    other names come and go. `.` and `..` are left to the session's kernel."""

    cookie: int
    name: bytes
    entry: Entry


class Copy(Protocol):
    """A copy-up under way: see `CopyUps.begin_copy`."""

    def copy(self, budget: int | None = None) -> bool:
        """Copy up to about `budget` bytes, all if None. True when nothing is left. May run in any thread, and touches
        only descriptors of its own."""

    def sync(self) -> None:
        """What has been copied to stable storage. May run in any thread."""

    def publish(self) -> None:
        """Put the complete copy in the place of the file."""

    def abandon(self) -> None:
        """Give the copy up: nothing of it remains."""


class Transfer(Protocol):
    """Bytes to be moved, or a disk to be waited for."""

    def run(self) -> int:
        """Do it, once. Returns the bytes moved; raises OSError. May run in any thread, and touches only descriptors of
        its own."""

    @property
    def done(self) -> int:
        """The bytes that `run` has moved."""

    @property
    def unsynced(self) -> int:
        """The bytes that a sync has to write, at most."""

    def finish(self) -> None:
        """To be called after `run`, whether it raised or not, and if it cannot be called."""


class CopyCompletion(Protocol):
    """Lazy copies being completed: `next`, `Transfer.run` in any thread, `done`, until there is no next."""

    @property
    def copied(self) -> int:
        """Bytes."""

    @property
    def failed(self) -> OSError | None:
        """The first of what went wrong."""

    def next(self) -> Transfer | None: ...
    def done(self, transfer: Transfer, raised: BaseException | None) -> None: ...


class Nodes(Protocol):
    """Objects by node, and their attributes."""

    def lookup(self, parent: NodeId, name: bytes) -> Entry | None: ...
    def remember(self, entry: Entry) -> None: ...
    def forget(self, nodeid: NodeId, count: int) -> None: ...
    def known(self, parent: NodeId, name: bytes) -> NodeId:
        """The node of the object of this name if the kernel has a reference to it, else 0."""

    def getattr(self, nodeid: NodeId) -> Attributes: ...
    def setattr(self, nodeid: NodeId, changes: SetAttributes) -> Attributes: ...
    def statx(self, nodeid: NodeId) -> tuple[Attributes, int | None]:
        """`getattr`, and the time of birth in nanoseconds, where it is kept: for an object of the upper that of its
        copy."""

    def readlink(self, nodeid: NodeId) -> bytes: ...


class Names(Protocol):
    """Changes of names: the operations on a directory."""

    def mknod(self, parent: NodeId, name: bytes, mode: int, rdev: int, caller: Caller) -> Entry: ...
    def mkdir(self, parent: NodeId, name: bytes, mode: int, caller: Caller) -> Entry: ...
    def symlink(self, parent: NodeId, name: bytes, target: bytes, caller: Caller) -> Entry: ...
    def link(self, nodeid: NodeId, new_parent: NodeId, new_name: bytes) -> Entry: ...
    def unlink(self, parent: NodeId, name: bytes) -> None: ...
    def rmdir(self, parent: NodeId, name: bytes) -> None: ...
    def rename(
        self, parent: NodeId, name: bytes, new_parent: NodeId, new_name: bytes, flags: int
    ) -> None:
        """`flags` are those of renameat2(2): NOREPLACE, EXCHANGE, WHITEOUT."""

    def create(self, parent: NodeId, name: bytes, mode: int, flags: int, caller: Caller) -> Entry:
        """Create a regular file, or open the existing one (O_EXCL refuses, O_TRUNC empties)."""

    def tmpfile(self, parent: NodeId, mode: int, flags: int, caller: Caller) -> Entry:
        """An unnamed regular file (O_TMPFILE) that `link` can give a name."""


class Files(Protocol):
    """The data of regular files."""

    def open(self, nodeid: NodeId, flags: int) -> None: ...
    def release(self, nodeid: NodeId) -> None: ...
    def read(self, nodeid: NodeId, offset: int, size: int) -> bytes: ...
    def read_into(self, nodeid: NodeId, offset: int, buffer: memoryview) -> int:
        """`read` into `buffer`, as much as it holds. Returns the number of bytes."""

    def source(self, nodeid: NodeId, offset: int, size: int) -> tuple[int, int, int] | None:
        """Where `read` would find the bytes: descriptor, position in it, and how many there are.
        None if they do not lie in one run of one file. Valid until the next call."""

    def write(
        self,
        nodeid: NodeId,
        offset: int,
        data: bytes | memoryview,
        *,
        kill_privileges: bool = False,
    ) -> int: ...
    def fallocate(
        self, nodeid: NodeId, mode: int, offset: int, length: int, *, drop_set_id: int = 0
    ) -> None:
        """`drop_set_id`: the mode bits (S_ISUID, S_ISGID) that this change of the data takes away."""

    def lseek(self, nodeid: NodeId, offset: int, whence: int) -> int:
        """SEEK_DATA and SEEK_HOLE only; ENXIO past the end and before the beginning, as lseek(2)."""


class Listings(Protocol):
    """The names of directories."""

    def readdir(self, nodeid: NodeId, cookie: int) -> Iterator[DirEntry]:
        """The names after `cookie` (0 from the beginning), lazily, without `.` and `..`."""

    def readdirplus(
        self, nodeid: NodeId, cookie: int, room: int, fixed: int
    ) -> Sequence[tuple[int, bytes, NodeId, Attributes]]:
        """The same, (cookie, name, node, attributes), for one reply to the kernel: each is remembered, and as many are given as
        fit into `room` bytes if each takes `fixed` and its length, rounded up to a multiple of eight. An error at another than
        the first ends the list."""

    def parent(self, nodeid: NodeId) -> Attributes:
        """Attributes of a directory's parent: the `..` of a listing."""


class Xattrs(Protocol):
    """Extended attributes."""

    def getxattr(self, nodeid: NodeId, name: bytes) -> bytes: ...
    def lacks_capabilities(self, nodeid: NodeId) -> bool:
        """Whether the object is known to have no `security.capability`: the kernel asks at the
        first write to each file, and this answers without raising."""

    def lacks_acl(self, nodeid: NodeId) -> bool:
        """Whether the object is known to have no access ACL, as `lacks_capabilities`: the kernel asks at every path
        that begins at the root, if the caller does not own it."""

    def listxattr(self, nodeid: NodeId) -> list[bytes]: ...
    def setxattr(self, nodeid: NodeId, name: bytes, value: bytes, flags: int) -> None: ...
    def removexattr(self, nodeid: NodeId, name: bytes) -> None: ...
    def adopt(self, parent: NodeId, prepared: bytes, name: bytes) -> None:
        """Give a directory tree that lies in the work directory a name in the union: see
        `unionfs.directory.prepared`. Raises EOPNOTSUPP if there is no upper that takes one, and then
        does not look at the names."""


class CopyUps(Protocol):
    """Copy-up by a session that makes copies in threads."""

    def pending_copy(self, nodeid: NodeId, *, times_only: bool = False) -> int:
        """How many bytes a change to this object, or only to its times, would copy first; 0 if none."""

    def begin_copy(self, nodeid: NodeId) -> Copy:
        """Begin the copy of which `pending_copy` gives the size: then `Copy.copy`, in a thread, then `publish` or
        `abandon`. Until then the object may be read, renamed and removed, but not changed."""


class Transfers(Protocol):
    """Operations that wait for a disk or move many bytes, in three steps: begin, `Transfer.run` in any thread,
    `Transfer.finish`.
    """

    def begin_fsync(self, nodeid: NodeId, datasync: bool) -> Transfer: ...
    def begin_flush(self, nodeid: NodeId) -> Transfer | None:
        """The transfer that close(2) of a file waits for where errors are deferred; None: none."""

    def begin_syncfs(self) -> Transfer: ...
    def begin_copy_range(
        self,
        source: NodeId,
        source_offset: int,
        target: NodeId,
        target_offset: int,
        length: int,
        *,
        drop_set_id: int = 0,
    ) -> Transfer:
        """copy_file_range(2). `drop_set_id` as of `Files.fallocate`, for the target."""

    def fsync(self, nodeid: NodeId, datasync: bool) -> None:
        """All three steps of `begin_fsync`."""

    def flush(self, nodeid: NodeId) -> None:
        """All three steps of `begin_flush`."""

    def begin_complete_copies(self) -> CopyCompletion:
        """Complete the files that have been copied up lazily, while other requests go on."""

    def complete_copies(self) -> int:
        """The same at once. Returns the bytes copied; raises the first error after all files that can be completed have
        been."""


class Mount(Protocol):
    """The file system as a whole."""

    def statfs(self) -> StatFs: ...
    @property
    def defers_errors(self) -> bool:
        """Whether what write(2) has taken may be lost for want of room, and only fsync(2) or close(2) fail."""

    def know_callers(self, ask: Callable[[], int]) -> None:
        """`ask` returns, while a request is being answered, the process that made it; 0 if that is not known."""

    @property
    def copy_up_stats(self) -> CopyUpStats:
        """The statistics of copy-up since the mount."""

    def request_freeze(self, request: bytes) -> None:
        """Freeze the tree as it is now, if its owner has prepared that under this word. To be called while no thread copies
        or syncs files. Raises OSError: EOPNOTSUPP if this file system cannot, ENODATA if nothing has been prepared."""

    def after_reply(self) -> None:
        """Do the work that the last change has left and that its reply need not wait for. A session calls it after the reply;
        nothing goes wrong where it does not. Raises nothing."""

    def destroy(self) -> None:
        """The mount is gone: finish what is pending, close everything. Idempotent."""


class FileSystem(Nodes, Names, Files, Listings, Xattrs, CopyUps, Transfers, Mount, Protocol):
    """All operations."""
