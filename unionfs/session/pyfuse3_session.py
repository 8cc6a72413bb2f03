"""The pyfuse3 session: the same `FileSystem` through libfuse's low-level interface, under trio.

A second, portable implementation, held to the same tests as the device session. pyfuse3 passes file handles and no node on to
READ and READDIR, so the handle given at OPEN is the node's number. It has no FALLOCATE, LSEEK,
COPY_FILE_RANGE, TMPFILE or STATX: the kernel answers those as for any file system that lacks them.
libfuse asks for FUSE_ASYNC_DIO and applies the umask before the server sees a mode, and pyfuse3 has no
option for either: buffered reads after asynchronous direct writes may be stale, and the umask counts in
directories with a default ACL.

One session per process: libfuse's and pyfuse3's state is global.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Coroutine, Sequence
from errno import EIO, ENOSYS, EOPNOTSUPP
from functools import wraps
from select import POLLIN, poll
from stat import S_IFDIR, S_IMODE
from time import perf_counter_ns
from typing import Any, ParamSpec, TypeVar

import pyfuse3
import trio

from unionfs.filesystem import Entry, FileSystem
from unionfs.model import ROOT_NODE, Attributes, Caller, NodeId, SetAttributes
from unionfs.session.callers import is_owner
from unionfs.session.counters import CONTROLS, FINISH, Counters
from unionfs.session.options import DEFAULTS, ServeOptions
from unionfs.session.replies import DIRECTORY_BLOCK_SIZE, FILE_BLOCK_SIZE
from unionfs.session.wire import Opcode
from unionfs.xattr_names import ACLS

_P = ParamSpec("_P")
_R = TypeVar("_R")
_Handler = Callable[_P, Coroutine[Any, Any, _R]]

_DOT_COOKIES = 2
_POLL_MS = 1
_REQUESTS_PER_TURN = 64


def _operation(
    opcode: Opcode,
) -> Callable[[_Handler[_P, _R]], _Handler[_P, _R]]:
    """Decorate a handler: exceptions become errnos, and requests are counted."""

    def decorate(method: _Handler[_P, _R]) -> _Handler[_P, _R]:
        @wraps(method)
        async def answer(*args: _P.args, **kwargs: _P.kwargs) -> _R:
            operations: Operations = args[0]  # type: ignore[assignment]
            counters = operations.counters
            # The context is the last argument, where there is one.
            operations.pid = getattr(args[-1], "pid", 0)
            started = perf_counter_ns()
            try:
                return await method(*args, **kwargs)
            except pyfuse3.FUSEError:
                raise
            except OSError as raised:
                counters.errors += 1
                # ENOSYS would tell the kernel never to ask again for any file.
                number = EOPNOTSUPP if raised.errno == ENOSYS else raised.errno or EIO
                raise pyfuse3.FUSEError(number) from None
            except Exception as raised:  # noqa: BLE001 - the server must outlive every request
                counters.faults += 1
                operations.log(opcode, raised)
                raise pyfuse3.FUSEError(EIO) from None
            finally:
                counters.count(opcode, perf_counter_ns() - started)

        return answer

    return decorate


class Operations(pyfuse3.Operations):
    """pyfuse3's handlers over a `FileSystem`."""

    supports_dot_lookup = False

    def __init__(self, filesystem: FileSystem, options: ServeOptions) -> None:
        super().__init__()
        self.counters = Counters()
        self._fs = filesystem
        self._options = options
        self.enable_writeback_cache = options.writeback
        self.enable_acl = options.posix_acl
        self.pid = 0
        """The process that made the request being answered; 0 where pyfuse3 does not report it."""
        filesystem.know_callers(lambda: self.pid)

    def log(self, opcode: Opcode, error: BaseException) -> None:
        from traceback import format_exception

        text = "".join(format_exception(error))
        try:
            sys.stderr.write(f"rootless-unionfs: {opcode.name.lower()}: {error!r}\n{text}")
            sys.stderr.flush()
        except (OSError, ValueError):
            # The reader of stderr has gone; the file system goes on.
            pass

    # ---- names and nodes ---------------------------------------------------------------------

    @_operation(Opcode.LOOKUP)
    async def lookup(
        self, parent: int, name: bytes, _ctx: pyfuse3.RequestContext
    ) -> pyfuse3.EntryAttributes:
        entry = self._fs.lookup(NodeId(parent), name)
        if entry is None:
            # Node 0 rather than ENOENT: the kernel may then remember that there is no such name.
            negative = pyfuse3.EntryAttributes()
            negative.st_ino = 0
            negative.entry_timeout = self._options.timeout
            return negative
        return self._entry(entry)

    async def forget(self, inodes: Sequence[tuple[int, int]]) -> None:
        for nodeid, lookups in inodes:
            self._fs.forget(NodeId(nodeid), lookups)

    @_operation(Opcode.READLINK)
    async def readlink(self, inode: int, _ctx: pyfuse3.RequestContext) -> bytes:
        return self._fs.readlink(NodeId(inode))

    @_operation(Opcode.MKNOD)
    async def mknod(
        self, parent: int, name: bytes, mode: int, rdev: int, ctx: pyfuse3.RequestContext
    ) -> pyfuse3.EntryAttributes:
        return self._entry(self._fs.mknod(NodeId(parent), name, mode, rdev, _caller(ctx)))

    @_operation(Opcode.MKDIR)
    async def mkdir(
        self, parent: int, name: bytes, mode: int, ctx: pyfuse3.RequestContext
    ) -> pyfuse3.EntryAttributes:
        return self._entry(self._fs.mkdir(NodeId(parent), name, mode, _caller(ctx)))

    @_operation(Opcode.SYMLINK)
    async def symlink(
        self, parent: int, name: bytes, target: bytes, ctx: pyfuse3.RequestContext
    ) -> pyfuse3.EntryAttributes:
        return self._entry(self._fs.symlink(NodeId(parent), name, target, _caller(ctx)))

    @_operation(Opcode.LINK)
    async def link(
        self, inode: int, new_parent: int, new_name: bytes, _ctx: pyfuse3.RequestContext
    ) -> pyfuse3.EntryAttributes:
        return self._entry(self._fs.link(NodeId(inode), NodeId(new_parent), new_name))

    @_operation(Opcode.UNLINK)
    async def unlink(self, parent: int, name: bytes, _ctx: pyfuse3.RequestContext) -> None:
        self._fs.unlink(NodeId(parent), name)

    @_operation(Opcode.RMDIR)
    async def rmdir(self, parent: int, name: bytes, _ctx: pyfuse3.RequestContext) -> None:
        self._fs.rmdir(NodeId(parent), name)

    @_operation(Opcode.RENAME2)
    async def rename(
        self,
        parent: int,
        name: bytes,
        new_parent: int,
        new_name: bytes,
        flags: int,
        _ctx: pyfuse3.RequestContext,
    ) -> None:
        self._fs.rename(NodeId(parent), name, NodeId(new_parent), new_name, flags)

    # ---- attributes --------------------------------------------------------------------------

    @_operation(Opcode.GETATTR)
    async def getattr(self, inode: int, _ctx: pyfuse3.RequestContext) -> pyfuse3.EntryAttributes:
        return self._attributes(inode, self._fs.getattr(NodeId(inode)))

    @_operation(Opcode.SETATTR)
    async def setattr(
        self,
        inode: int,
        attr: pyfuse3.EntryAttributes,
        fields: pyfuse3.SetattrFields,
        _fh: int | None,
        _ctx: pyfuse3.RequestContext,
    ) -> pyfuse3.EntryAttributes:
        changes = SetAttributes(
            mode=S_IMODE(attr.st_mode) if fields.update_mode else None,
            uid=attr.st_uid if fields.update_uid else None,
            gid=attr.st_gid if fields.update_gid else None,
            size=attr.st_size if fields.update_size else None,
            atime_ns=attr.st_atime_ns if fields.update_atime else None,
            mtime_ns=attr.st_mtime_ns if fields.update_mtime else None,
            ctime_ns=attr.st_ctime_ns if fields.update_ctime else None,
        )
        attributes = self._fs.setattr(NodeId(inode), changes)
        return self._attributes(inode, attributes)

    @_operation(Opcode.ACCESS)
    async def access(self, _inode: int, _mode: int, _ctx: pyfuse3.RequestContext) -> bool:
        # The kernel stops asking; permissions are its own to check, under default_permissions.
        raise pyfuse3.FUSEError(ENOSYS)

    # ---- file content ------------------------------------------------------------------------

    @_operation(Opcode.CREATE)
    async def create(
        self, parent: int, name: bytes, mode: int, flags: int, ctx: pyfuse3.RequestContext
    ) -> tuple[pyfuse3.FileInfo, pyfuse3.EntryAttributes]:
        entry = self._fs.create(NodeId(parent), name, mode, flags, _caller(ctx))
        self._fs.open(entry.nodeid, flags & ~(os.O_CREAT | os.O_EXCL | os.O_TRUNC))
        return self._open_file(entry.nodeid), self._entry(entry)

    @_operation(Opcode.OPEN)
    async def open(self, inode: int, flags: int, _ctx: pyfuse3.RequestContext) -> pyfuse3.FileInfo:
        self._fs.open(NodeId(inode), flags)
        return self._open_file(inode)

    @_operation(Opcode.RELEASE)
    async def release(self, fh: int) -> None:
        self._fs.release(NodeId(fh))

    @_operation(Opcode.FLUSH)
    async def flush(self, fh: int) -> None:
        if not self._fs.defers_errors:
            raise pyfuse3.FUSEError(ENOSYS)
        self._fs.flush(NodeId(fh))

    @_operation(Opcode.READ)
    async def read(self, fh: int, offset: int, size: int) -> bytes:
        data = self._fs.read(NodeId(fh), offset, size)
        self.counters.bytes[Opcode.READ] += len(data)
        return data

    @_operation(Opcode.WRITE)
    async def write(self, fh: int, offset: int, data: bytes) -> int:
        written = self._fs.write(NodeId(fh), offset, data)
        self.counters.bytes[Opcode.WRITE] += written
        return written

    @_operation(Opcode.FSYNC)
    async def fsync(self, fh: int, datasync: bool) -> None:
        if not self._options.fsync:
            raise pyfuse3.FUSEError(ENOSYS)
        self._fs.fsync(NodeId(fh), datasync)

    # ---- directories -------------------------------------------------------------------------

    @_operation(Opcode.OPENDIR)
    async def opendir(self, inode: int, _ctx: pyfuse3.RequestContext) -> int:
        return inode

    @_operation(Opcode.RELEASEDIR)
    async def releasedir(self, _fh: int) -> None:
        return

    @_operation(Opcode.FSYNCDIR)
    async def fsyncdir(self, fh: int, datasync: bool) -> None:
        if not self._options.fsync:
            raise pyfuse3.FUSEError(ENOSYS)
        self._fs.fsync(NodeId(fh), datasync)

    @_operation(Opcode.READDIRPLUS)
    async def readdir(self, fh: int, start: int, token: pyfuse3.ReaddirToken) -> None:
        nodeid = NodeId(fh)
        if start == 0:
            attributes = self._fs.getattr(nodeid)
            if not pyfuse3.readdir_reply(token, b".", self._attributes(fh, attributes), 1):
                return
        if start <= 1:
            attributes = self._fs.parent(nodeid)
            above = self._attributes(attributes.ino, attributes)
            if not pyfuse3.readdir_reply(token, b"..", above, 2):
                return
        for cookie, name, entry in self._fs.readdir(nodeid, max(start - _DOT_COOKIES, 0)):
            # Remembered first: that is what numbers the node, and the reply has to say the number.
            self._fs.remember(entry)
            if not pyfuse3.readdir_reply(token, name, self._entry(entry), cookie + _DOT_COOKIES):
                self._fs.forget(entry.nodeid, 1)
                return

    # ---- extended attributes, statfs ---------------------------------------------------------

    @_operation(Opcode.GETXATTR)
    async def getxattr(self, inode: int, name: bytes, ctx: pyfuse3.RequestContext) -> bytes:
        self._need_xattrs()
        if name in CONTROLS and inode == ROOT_NODE and is_owner(ctx.pid):
            if name == FINISH:
                return b"%d" % self._fs.complete_copies()
            return self.counters.document("pyfuse3", self._fs.copy_up_stats)
        self._need_acls(name)
        return self._fs.getxattr(NodeId(inode), name)

    @_operation(Opcode.LISTXATTR)
    async def listxattr(self, inode: int, _ctx: pyfuse3.RequestContext) -> list[bytes]:
        self._need_xattrs()
        names = self._fs.listxattr(NodeId(inode))
        return [name for name in names if self._options.posix_acl or name not in ACLS]

    @_operation(Opcode.SETXATTR)
    async def setxattr(
        self, inode: int, name: bytes, value: bytes, _ctx: pyfuse3.RequestContext
    ) -> None:
        self._need_xattrs()
        self._need_acls(name)
        self._fs.setxattr(NodeId(inode), name, value, 0)

    @_operation(Opcode.REMOVEXATTR)
    async def removexattr(self, inode: int, name: bytes, _ctx: pyfuse3.RequestContext) -> None:
        self._need_xattrs()
        self._fs.removexattr(NodeId(inode), name)

    @_operation(Opcode.STATFS)
    async def statfs(self, _ctx: pyfuse3.RequestContext) -> pyfuse3.StatvfsData:
        s = self._fs.statfs()
        data = pyfuse3.StatvfsData()
        data.f_bsize = s.bsize
        data.f_frsize = s.frsize
        data.f_blocks = s.blocks
        data.f_bfree = s.bfree
        data.f_bavail = s.bavail
        data.f_files = s.files
        data.f_ffree = s.ffree
        data.f_favail = s.ffree
        data.f_namemax = s.namelen
        return data

    # ---- values ------------------------------------------------------------------------------

    def _need_xattrs(self) -> None:
        if not self._options.xattrs:
            raise pyfuse3.FUSEError(ENOSYS)

    def _need_acls(self, name: bytes) -> None:
        if name in ACLS and not self._options.posix_acl:
            raise pyfuse3.FUSEError(EOPNOTSUPP)

    def _open_file(self, nodeid: int) -> pyfuse3.FileInfo:
        return pyfuse3.FileInfo(fh=nodeid, keep_cache=True)

    def _entry(self, entry: Entry) -> pyfuse3.EntryAttributes:
        return self._attributes(entry.nodeid, entry.attributes)

    def _attributes(self, nodeid: int, a: Attributes) -> pyfuse3.EntryAttributes:
        """pyfuse3 ties st_ino to the node, so that is the number callers see."""
        e = pyfuse3.EntryAttributes()
        e.st_ino = nodeid
        e.entry_timeout = e.attr_timeout = self._options.timeout
        e.st_mode = a.mode
        e.st_nlink = a.nlink
        e.st_uid = a.uid
        e.st_gid = a.gid
        e.st_rdev = a.rdev
        e.st_size = a.size
        e.st_blocks = a.blocks
        is_directory = a.mode & 0o170000 == S_IFDIR
        e.st_blksize = DIRECTORY_BLOCK_SIZE if is_directory else FILE_BLOCK_SIZE
        e.st_atime_ns = a.atime_ns
        e.st_mtime_ns = a.mtime_ns
        e.st_ctime_ns = a.ctime_ns
        return e


def _caller(ctx: pyfuse3.RequestContext) -> Caller:
    return Caller(ctx.uid, ctx.gid, ctx.pid, ctx.umask)


class _PollingLowlevel:
    """trio.lowlevel, but polls for a request before it suspends the task: a turn of trio costs more than
    most requests do."""

    def __init__(self) -> None:
        self._polls: dict[int, Any] = {}
        self._turns = 0

    def __getattr__(self, name: str) -> object:
        return getattr(trio.lowlevel, name)

    async def wait_readable(self, fd: int) -> None:
        polling = self._polls.get(fd)
        if polling is None:
            polling = self._polls[fd] = poll()
            polling.register(fd, POLLIN)
        self._turns += 1
        if self._turns % _REQUESTS_PER_TURN and polling.poll(_POLL_MS):
            return
        await trio.lowlevel.wait_readable(fd)


class _PollingTrio:
    """Replaces the module attribute `pyfuse3.trio`, as pyfuse3's own asyncio support does."""

    lowlevel = _PollingLowlevel()

    def __getattr__(self, name: str) -> object:
        return getattr(trio, name)


def serve(device: int, filesystem: FileSystem, options: ServeOptions = DEFAULTS) -> Counters:
    """Serve a descriptor that is already mounted until it is unmounted; then
    `filesystem.destroy()`.

    libfuse takes a mount point named /dev/fd/N for such a descriptor.
    """
    operations = Operations(filesystem, options)
    try:
        os.set_inheritable(device, False)
        pyfuse3.trio = _PollingTrio()  # type: ignore[attr-defined]
        pyfuse3.init(operations, f"/dev/fd/{device}", set())
        try:
            trio.run(_main)
        finally:
            # The mount is the caller's: libfuse was given a descriptor and knows no mount point.
            pyfuse3.close(unmount=False)
    finally:
        filesystem.destroy()
    return operations.counters


async def _main() -> None:
    # More tasks would only take turns at reading: a request waits for nothing but the disk.
    await pyfuse3.main(max_tasks=1)
