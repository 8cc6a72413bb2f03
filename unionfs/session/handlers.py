"""One method per FUSE operation: a request in, the payload of its reply out, over a `FileSystem`.
No I/O of its own. What waits for a disk is in transfers.py.

Nothing here knows of descriptors or threads. An OSError is the reply's errno. An operation that is
not in the table is answered ENOSYS, and that is meant (include/uapi/linux/fuse.h, fs/fuse/file.c,
fs/fuse/dir.c):

* OPEN, OPENDIR: the kernel stops asking, keeps file data and listings cached, and sends no
  RELEASE. I/O is by node.
* FLUSH, ACCESS: the kernel stops asking; permissions are its own to check, under
  default_permissions.
* GETLK, SETLK, SETLKW, POLL, BMAP, SETUPMAPPING, REMOVEMAPPING: the kernel's own answer for a
  local file is right.
"""

from __future__ import annotations

from errno import ENOTTY, EPERM, ERANGE
from os import strerror
from stat import S_IFDIR, S_IMODE, S_ISGID, S_ISREG, S_ISUID

from unionfs.filesystem import Entry, FileSystem
from unionfs.model import ROOT_NODE, Attributes, Caller, NodeId, SetAttributes, without_set_id
from unionfs.session import replies, requests, wire
from unionfs.session.counters import STATISTICS, Counters
from unionfs.session.requests import Header
from unionfs.session.wire import Opcode, SetattrValid

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeAlias

Handler: TypeAlias = "Callable[[Header, Any], bytes | None]"
"""The payload of the reply, or None where the kernel wants none."""


_VALID_MODE = int(SetattrValid.MODE)
_VALID_UID = int(SetattrValid.UID)
_VALID_GID = int(SetattrValid.GID)
_VALID_SIZE = int(SetattrValid.SIZE)
_VALID_ATIME = int(SetattrValid.ATIME)
_VALID_MTIME = int(SetattrValid.MTIME)
_VALID_CTIME = int(SetattrValid.CTIME)
# chown(2) drops these rights whoever calls; under HANDLE_KILLPRIV_V2 that is left to the server
# (fuse_setattr).
KILLS_PRIVILEGES = int(SetattrValid.KILL_SUIDGID | SetattrValid.UID | SetattrValid.GID)
CHANGES_SOMETHING = int(
    SetattrValid.MODE
    | SetattrValid.UID
    | SetattrValid.GID
    | SetattrValid.SIZE
    | SetattrValid.ATIME
    | SetattrValid.MTIME
)
"""A request with none of these is what becomes of chown(2) to the owner and group that there are
("-1"): it drops the rights all the same, and does not say so."""

DOT_COOKIES = 2
"""Listing positions 1 and 2 follow `.` and `..`; a file system's own cookie is that much less than
the kernel's."""


class Handlers:
    def __init__(self, filesystem: FileSystem, timeout: float, counters: Counters) -> None:
        self._fs = filesystem
        self._counters = counters
        seconds = int(timeout)
        self._valid = (seconds, int((timeout - seconds) * 1_000_000_000))
        self._negative = replies.negative_entry(self._valid)
        self.table: dict[int, Handler] = {
            Opcode.LOOKUP: self._lookup,
            Opcode.FORGET: self._forget,
            Opcode.BATCH_FORGET: self._batch_forget,
            Opcode.GETATTR: self._getattr,
            Opcode.STATX: self._statx,
            Opcode.SETATTR: self._setattr,
            Opcode.READLINK: self._readlink,
            Opcode.SYMLINK: self._symlink,
            Opcode.MKNOD: self._mknod,
            Opcode.MKDIR: self._mkdir,
            Opcode.UNLINK: self._unlink,
            Opcode.RMDIR: self._rmdir,
            Opcode.RENAME: self._rename,
            Opcode.RENAME2: self._rename,
            Opcode.LINK: self._link,
            Opcode.CREATE: self._create,
            Opcode.TMPFILE: self._tmpfile,
            Opcode.READ: self._read,
            Opcode.WRITE: self._write,
            Opcode.RELEASE: self._nothing,
            Opcode.RELEASEDIR: self._nothing,
            Opcode.FALLOCATE: self._fallocate,
            Opcode.LSEEK: self._lseek,
            Opcode.READDIR: self._readdir,
            Opcode.READDIRPLUS: self._readdirplus,
            Opcode.GETXATTR: self._getxattr,
            Opcode.LISTXATTR: self._listxattr,
            Opcode.SETXATTR: self._setxattr,
            Opcode.REMOVEXATTR: self._removexattr,
            Opcode.STATFS: self._statfs,
            Opcode.IOCTL: self._ioctl,
            Opcode.DESTROY: self._nothing,
        }

    # ---- names and nodes -------------------------------------------------------------------------

    def _lookup(self, header: Header, request: requests.Name) -> bytes:
        entry = self._fs.lookup(NodeId(header.nodeid), request.name)
        return self._negative if entry is None else self._entry(entry)

    def _forget(self, header: Header, request: requests.Forget) -> None:
        self._fs.forget(NodeId(header.nodeid), request.lookups)

    def _batch_forget(self, _header: Header, request: requests.BatchForget) -> None:
        for nodeid, lookups in request.nodes:
            self._fs.forget(NodeId(nodeid), lookups)

    def _readlink(self, header: Header, _request: requests.Empty) -> bytes:
        return self._fs.readlink(NodeId(header.nodeid))

    def _symlink(self, header: Header, request: requests.Symlink) -> bytes:
        caller = _caller(header, 0)
        return self._entry(
            self._fs.symlink(NodeId(header.nodeid), request.name, request.target, caller)
        )

    def _mknod(self, header: Header, request: requests.Mknod) -> bytes:
        caller = _caller(header, request.umask)
        return self._entry(
            self._fs.mknod(NodeId(header.nodeid), request.name, request.mode, request.rdev, caller)
        )

    def _mkdir(self, header: Header, request: requests.Mkdir) -> bytes:
        caller = _caller(header, request.umask)
        return self._entry(
            self._fs.mkdir(NodeId(header.nodeid), request.name, request.mode, caller)
        )

    def _unlink(self, header: Header, request: requests.Name) -> bytes:
        self._fs.unlink(NodeId(header.nodeid), request.name)
        return b""

    def _rmdir(self, header: Header, request: requests.Name) -> bytes:
        self._fs.rmdir(NodeId(header.nodeid), request.name)
        return b""

    def _rename(self, header: Header, request: requests.Rename) -> bytes:
        self._fs.rename(
            NodeId(header.nodeid),
            request.name,
            NodeId(request.new_parent),
            request.new_name,
            request.flags,
        )
        return b""

    def _link(self, header: Header, request: requests.Link) -> bytes:
        return self._entry(
            self._fs.link(NodeId(request.nodeid), NodeId(header.nodeid), request.new_name)
        )

    # ---- attributes ------------------------------------------------------------------------------

    def _getattr(self, header: Header, _request: requests.Getattr) -> bytes:
        return replies.attr_out(self._fs.getattr(NodeId(header.nodeid)), self._valid)

    def _require_owner_of_rights(self, header: Header, valid: int) -> None:
        """chown(2) to the owner that there is: setattr_prepare (fs/attr.c) asks for the owner only
        where the mode is to change, and the kernel does not know that it is. Of a regular file whose
        times it does not keep (`nowriteback`) the same request follows a write, which needs no
        owner."""
        attributes = self._fs.getattr(NodeId(header.nodeid))
        mode = attributes.mode
        if without_set_id(mode) == mode or (not valid and S_ISREG(mode)):
            return
        if header.uid == wire.INVALID_ID:
            from unionfs.session.callers import may_be_owner

            may = may_be_owner(header.pid, attributes.uid)
        else:
            may = header.uid in (0, attributes.uid)
        if not may:
            raise PermissionError(EPERM, strerror(EPERM))

    def _statx(self, header: Header, _request: requests.Statx) -> bytes:
        return replies.statx_out(*self._fs.statx(NodeId(header.nodeid)), self._valid)

    def _setattr(self, header: Header, request: requests.Setattr) -> bytes:
        if not request.valid & ~_VALID_CTIME:
            self._require_owner_of_rights(header, request.valid)
        attributes = self._fs.setattr(NodeId(header.nodeid), changes_of(request))
        return replies.attr_out(attributes, self._valid)

    # ---- file content ----------------------------------------------------------------------------

    def _create(self, header: Header, request: requests.Create) -> bytes:
        caller = _caller(header, request.umask)
        entry = self._fs.create(
            NodeId(header.nodeid), request.name, request.mode, request.flags, caller
        )
        return replies.create_out(self._entry(entry), wire.FOPEN_KEEP_CACHE)

    def _tmpfile(self, header: Header, request: requests.Create) -> bytes:
        caller = _caller(header, request.umask)
        entry = self._fs.tmpfile(NodeId(header.nodeid), request.mode, request.flags, caller)
        return replies.create_out(self._entry(entry), wire.FOPEN_KEEP_CACHE)

    def _read(self, header: Header, request: requests.Read) -> bytes:
        return self._fs.read(NodeId(header.nodeid), request.offset, request.size)

    def _write(self, header: Header, request: requests.Write) -> bytes:
        written = self._fs.write(
            NodeId(header.nodeid),
            request.offset,
            request.data,
            kill_privileges=bool(request.write_flags & wire.WRITE_KILL_SUIDGID),
        )
        return replies.write_out(written)

    def _fallocate(self, header: Header, request: requests.Fallocate) -> bytes:
        nodeid = NodeId(header.nodeid)
        dropped = dropped_set_id(self._fs, nodeid, header.pid)
        self._fs.fallocate(
            nodeid, request.mode, request.offset, request.length, drop_set_id=dropped
        )
        return b""

    def _lseek(self, header: Header, request: requests.Lseek) -> bytes:
        return replies.lseek_out(
            self._fs.lseek(NodeId(header.nodeid), request.offset, request.whence)
        )

    # ---- listings --------------------------------------------------------------------------------

    def _readdir(self, header: Header, request: requests.Read) -> bytes:
        nodeid = NodeId(header.nodeid)
        listing = bytearray()
        for offset, name, attributes in self._dots(nodeid, request.offset):
            listing += replies.dirent(attributes.ino, offset, S_IFDIR, name)
        size = request.size
        used = len(listing)
        for cookie, name, entry in self._fs.readdir(nodeid, max(request.offset - DOT_COOKIES, 0)):
            used += replies.dirent_size(name)
            if used > size:
                break
            attributes = entry.attributes
            listing += replies.dirent(attributes.ino, cookie + DOT_COOKIES, attributes.mode, name)
        return bytes(listing)

    def _readdirplus(self, header: Header, request: requests.Read) -> bytes:
        nodeid = NodeId(header.nodeid)
        listing = bytearray()
        for offset, name, attributes in self._dots(nodeid, request.offset):
            listing += replies.direntplus(0, attributes, offset, name)
        try:
            told = self._fs.readdirplus(
                nodeid,
                max(request.offset - DOT_COOKIES, 0),
                request.size - len(listing),
                replies.direntplus_size(b""),
            )
        except OSError:
            # The error comes again with the next request.
            if not listing:
                raise
            told = ()
        for cookie, name, number, attributes in told:
            listing += replies.direntplus(
                number, attributes, cookie + DOT_COOKIES, name, self._valid
            )
        return bytes(listing)

    def _dots(self, nodeid: NodeId, offset: int) -> list[tuple[int, bytes, Attributes]]:
        """`.` and `..` with the positions after them, as far as they lie beyond `offset`."""
        if offset >= DOT_COOKIES:
            return []
        dots = [(2, b"..", self._fs.parent(nodeid))]
        if offset == 0:
            dots.insert(0, (1, b".", self._fs.getattr(nodeid)))
        return dots

    # ---- extended attributes ---------------------------------------------------------------------

    def _getxattr(self, header: Header, request: requests.Getxattr) -> bytes:
        if request.name == STATISTICS and header.nodeid == ROOT_NODE:
            from unionfs.session.callers import is_owner

            if is_owner(header.pid):
                return _sized(
                    self._counters.document("device", self._fs.copy_up_stats), request.size
                )
        return _sized(self._fs.getxattr(NodeId(header.nodeid), request.name), request.size)

    def _listxattr(self, header: Header, request: requests.Listxattr) -> bytes:
        names = self._fs.listxattr(NodeId(header.nodeid))
        return _sized(b"".join([name + b"\0" for name in names]), request.size)

    def _setxattr(self, header: Header, request: requests.Setxattr) -> bytes:
        nodeid = NodeId(header.nodeid)
        self._fs.setxattr(nodeid, request.name, request.value, request.flags)
        if request.acl_flags & wire.SETXATTR_ACL_KILL_SGID:
            mode = self._fs.getattr(nodeid).mode
            self._fs.setattr(nodeid, SetAttributes(mode=S_IMODE(mode) & ~0o2000))
        return b""

    def _removexattr(self, header: Header, request: requests.Name) -> bytes:
        self._fs.removexattr(NodeId(header.nodeid), request.name)
        return b""

    # ---- the rest --------------------------------------------------------------------------------

    def _statfs(self, _header: Header, _request: requests.Empty) -> bytes:
        return replies.statfs_out(self._fs.statfs())

    def _ioctl(self, _header: Header, _request: requests.Ioctl) -> bytes:
        # Not ENOSYS: before 5.16 that reached callers who ask for file flags and took it for a
        # failure.
        raise OSError(ENOTTY, strerror(ENOTTY))

    def _entry(self, entry: Entry) -> bytes:
        return replies.entry_out(entry.nodeid, entry.attributes, self._valid)

    def _nothing(self, _header: Header, _request: object) -> bytes:
        return b""


def changes_of(request: requests.Setattr) -> SetAttributes:
    """The changes that a SETATTR asks for.

    With ATIME_NOW and MTIME_NOW the kernel sends its own time of the request in the same fields
    (notify_change, iattr_to_fattr), which is the one that a local file system would store: both
    times are then equal, and no later than those of the writes that follow.
    """
    valid = request.valid
    return SetAttributes(
        mode=S_IMODE(request.mode) if valid & _VALID_MODE else None,
        uid=request.uid if valid & _VALID_UID else None,
        gid=request.gid if valid & _VALID_GID else None,
        size=request.size if valid & _VALID_SIZE else None,
        atime_ns=request.atime_ns if valid & _VALID_ATIME else None,
        mtime_ns=request.mtime_ns if valid & _VALID_MTIME else None,
        ctime_ns=request.ctime_ns if valid & _VALID_CTIME else None,
        kill_privileges=bool(valid & KILLS_PRIVILEGES) or not valid & CHANGES_SOMETHING,
    )


def dropped_set_id(fs: FileSystem, nodeid: NodeId, pid: int) -> int:
    """The set-id bits that a change of the file's data by process `pid` drops. FALLOCATE and
    COPY_FILE_RANGE do not say, as WRITE does."""
    attributes = fs.getattr(nodeid)
    if not attributes.mode & (S_ISUID | S_ISGID):
        return 0
    from unionfs.session.callers import set_id_to_drop

    return set_id_to_drop(pid, attributes.mode, attributes.gid)


def _caller(header: Header, umask: int) -> Caller:
    return Caller(header.uid, header.gid, header.pid, umask)


def _sized(value: bytes, size: int) -> bytes:
    """The convention of getxattr(2): size 0 asks for the length."""
    if size == 0:
        return replies.getxattr_out(len(value))
    if len(value) > size:
        raise OSError(ERANGE, strerror(ERANGE))
    return value
