"""The slow path: one method per operation, from a decoded request to the payload of its reply, over a `FileSystem`.
fast_data.py and fast_names.py have the frequent requests, transfers.py those that wait for a disk.

An OSError is the reply's errno. An operation that is in no table is answered ENOSYS, and that is meant
(include/uapi/linux/fuse.h, fs/fuse/file.c, fs/fuse/dir.c):

* OPEN, OPENDIR: the kernel stops asking, keeps file data and listings cached, and sends no
  RELEASE. I/O is by node.
* FLUSH, unless the upper is on a file system that defers errors: write(2) has reported each.
* ACCESS: permissions are the kernel's own to check, under default_permissions.
* GETLK, SETLK, SETLKW, POLL, BMAP, SETUPMAPPING, REMOVEMAPPING: the kernel's own answer for a
  local file is right.
"""

from __future__ import annotations

from errno import EINVAL, EOPNOTSUPP, ERANGE
from os import strerror
from stat import S_IFDIR, S_IMODE, S_ISBLK, S_ISCHR, S_ISGID, S_ISUID

from unionfs.filesystem import Entry, Files, Listings, Mount, Names, Nodes, Xattrs
from unionfs.model import Attributes, Caller, NodeId, SetAttributes
from unionfs.session import replies, requests, wire
from unionfs.session.copies import Copies
from unionfs.session.replies import DOT_COOKIES, Valid
from unionfs.session.requests import Header
from unionfs.session.wire import Opcode
from unionfs.syscalls.files import RENAME_EXCHANGE
from unionfs.xattr_names import ACLS, ADOPT, NODE, OWNER, USER_NODE, USER_OWNER

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeAlias

    from unionfs.light_types import Protocol

    class _FileSystem(Nodes, Names, Files, Listings, Xattrs, Mount, Protocol): ...


Handler: TypeAlias = "Callable[[Header, Any], bytes | None]"
"""From a request to the payload of its reply; None if the reply is sent later. May raise MustWait and
OSError."""


_NO_ID = 0xFFFFFFFF
"""INVALID_UID_AS_FUID of the kernel: (uid_t)-1."""


class Handlers:
    """`valid`: for how long the kernel may keep names and attributes. `acls`: whether there are POSIX
    ACLs. `records_owners`, `writeback`: as in ServeOptions. `table` is by opcode."""

    def __init__(
        self,
        filesystem: _FileSystem,
        valid: Valid,
        copies: Copies,
        *,
        acls: bool,
        records_owners: bool = False,
        writeback: bool = True,
    ) -> None:
        self._fs = filesystem
        self._acls = acls
        self._records_owners = records_owners
        self._kernel_keeps_ctime = writeback
        self._valid = valid
        self._require_copied = copies.require_copied
        self.table: dict[int, Handler] = {
            Opcode.STATX: self._statx,
            Opcode.READLINK: self._readlink,
            Opcode.MKNOD: self._mknod,
            Opcode.RENAME2: self._rename,
            Opcode.LINK: self._link,
            Opcode.TMPFILE: self._tmpfile,
            Opcode.FALLOCATE: self._fallocate,
            Opcode.LSEEK: self._lseek,
            Opcode.READDIR: self._readdir,
            Opcode.LISTXATTR: self._listxattr,
            Opcode.SETXATTR: self._setxattr,
            Opcode.REMOVEXATTR: self._removexattr,
            Opcode.STATFS: self._statfs,
            Opcode.DESTROY: self._nothing,
        }

    # ---- names and nodes -------------------------------------------------------------------------

    def _readlink(self, header: Header, _request: requests.Empty) -> bytes:
        return self._fs.readlink(NodeId(header.nodeid))

    def _mknod(self, header: Header, request: requests.Mknod) -> bytes:
        caller = _caller(header, request.umask)
        return self._entry(
            self._fs.mknod(NodeId(header.nodeid), request.name, request.mode, request.rdev, caller)
        )

    def _rename(self, header: Header, request: requests.Rename) -> bytes:
        parent = NodeId(header.nodeid)
        new_parent = NodeId(request.new_parent)
        moved = [self._fs.known(parent, request.name)]
        if request.flags & RENAME_EXCHANGE:
            moved.append(self._fs.known(new_parent, request.new_name))
        for node in moved:
            if node:
                self._require_copied(node)
        self._fs.rename(parent, request.name, new_parent, request.new_name, request.flags)
        return b""

    def _link(self, header: Header, request: requests.Link) -> bytes:
        self._require_copied(NodeId(request.nodeid))
        return self._entry(
            self._fs.link(NodeId(request.nodeid), NodeId(header.nodeid), request.new_name)
        )

    # ---- attributes ------------------------------------------------------------------------------

    def _statx(self, header: Header, _request: requests.Statx) -> bytes:
        return replies.statx_out(*self._fs.statx(NodeId(header.nodeid)), self._valid)

    # ---- file content ----------------------------------------------------------------------------

    def _tmpfile(self, header: Header, request: requests.Create) -> bytes:
        caller = _caller(header, request.umask)
        entry = self._fs.tmpfile(NodeId(header.nodeid), request.mode, request.flags, caller)
        return replies.create_out(self._entry(entry), wire.FOPEN_KEEP_CACHE)

    def _fallocate(self, header: Header, request: requests.Fallocate) -> bytes:
        nodeid = NodeId(header.nodeid)
        self._require_copied(nodeid)
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

    def _dots(self, nodeid: NodeId, offset: int) -> list[tuple[int, bytes, Attributes]]:
        """`.` and `..` with the positions after them, as far as they lie beyond `offset`."""
        if offset >= DOT_COOKIES:
            return []
        dots = [(2, b"..", self._fs.parent(nodeid))]
        if offset == 0:
            dots.insert(0, (1, b".", self._fs.getattr(nodeid)))
        return dots

    # ---- extended attributes ---------------------------------------------------------------------

    def _listxattr(self, header: Header, request: requests.Listxattr) -> bytes:
        names = self._fs.listxattr(NodeId(header.nodeid))
        shown = [name + b"\0" for name in names if self._acls or name not in ACLS]
        return sized(b"".join(shown), request.size)

    def _setxattr(self, header: Header, request: requests.Setxattr) -> bytes:
        nodeid = NodeId(header.nodeid)
        if not self._acls and request.name in ACLS:
            raise OSError(EOPNOTSUPP, strerror(EOPNOTSUPP))
        if request.name == ADOPT:
            prepared, _, name = request.value.partition(b"/")
            self._fs.adopt(nodeid, prepared, name)
            return b""
        if self._records_owners and request.name in {OWNER, USER_OWNER}:
            self._record_owner(nodeid, request.value)
            return b""
        if self._records_owners and request.name in {NODE, USER_NODE}:
            self._make_device(header, request.value)
            return b""
        self._require_copied(nodeid)
        self._fs.setxattr(nodeid, request.name, request.value, request.flags)
        if request.acl_flags & wire.SETXATTR_ACL_KILL_SGID:
            mode = self._fs.getattr(nodeid).mode
            self._fs.setattr(nodeid, SetAttributes(mode=S_IMODE(mode) & ~0o2000))
        return b""

    def _record_owner(self, nodeid: NodeId, value: bytes) -> None:
        """Of a file that has this owner already, as most files that a package manager unpacks, only the time of the
        change is another, and with a writeback cache the kernel sets that by a request of its own (fuse_update_ctime)."""
        change = recorded_owner(value)
        if (
            self._kernel_keeps_ctime
            and not self._fs.getattr(nodeid).mode & (S_ISUID | S_ISGID)
            and self._fs.lacks_capabilities(nodeid)
            and self._fs.getxattr(nodeid, OWNER) == value
        ):
            return
        self._require_copied(nodeid)
        self._fs.setattr(nodeid, change)

    def _make_device(self, header: Header, value: bytes) -> None:
        name, mode, rdev, umask = recorded_device(value)
        caller = _caller(header, umask)
        entry = self._fs.mknod(NodeId(header.nodeid), name, mode, rdev, caller)
        # No reply has brought it to the kernel.
        self._fs.forget(entry.nodeid, 1)

    def _removexattr(self, header: Header, request: requests.Name) -> bytes:
        nodeid = NodeId(header.nodeid)
        self._require_copied(nodeid)
        self._fs.removexattr(nodeid, request.name)
        return b""

    # ---- the rest --------------------------------------------------------------------------------

    def _statfs(self, _header: Header, _request: requests.Empty) -> bytes:
        return replies.statfs_out(self._fs.statfs())

    def _entry(self, entry: Entry) -> bytes:
        return replies.entry_out(entry.nodeid, entry.attributes, self._valid)

    def _nothing(self, _header: Header, _request: object) -> bytes:
        return b""


def recorded_owner(value: bytes) -> SetAttributes:
    """The change of owner that a value of OWNER asks for. Raises OSError: EINVAL."""
    uid, colon, gid = value.partition(b":")
    for each in (uid, gid):
        if each and not (each.isdigit() and len(each) <= 10 and int(each) < _NO_ID):
            raise OSError(EINVAL, strerror(EINVAL))
    if not colon:
        raise OSError(EINVAL, strerror(EINVAL))
    return SetAttributes(
        uid=int(uid) if uid else None, gid=int(gid) if gid else None, kill_privileges=True
    )


def recorded_device(value: bytes) -> tuple[bytes, int, int, int]:
    """Name, mode, number and umask of the device that a value of NODE asks for. Raises OSError: EINVAL."""
    numbers, _, name = value.partition(b"/")
    fields = numbers.split(b":")
    if len(fields) == 3 and all(each.isdigit() and len(each) <= 10 for each in fields):
        mode, rdev, umask = map(int, fields)
        is_device = S_ISCHR(mode) or S_ISBLK(mode)
        is_name = name not in {b"", b".", b".."} and not (b"/" in name or b"\0" in name)
        if is_device and is_name and mode < 1 << 16 and rdev < 1 << 32 and umask < 1 << 12:
            return name, mode, rdev, umask
    raise OSError(EINVAL, strerror(EINVAL))


def sized(value: bytes, size: int) -> bytes:
    """The reply to GETXATTR and LISTXATTR; `size` 0 asks for the length (getxattr(2)). Raises
    OSError: ERANGE."""
    if size == 0:
        return replies.getxattr_out(len(value))
    if len(value) > size:
        raise OSError(ERANGE, strerror(ERANGE))
    return value


def dropped_set_id(fs: Nodes, nodeid: NodeId, pid: int) -> int:
    """The set-id bits that a change of the file's data by process `pid` drops. FALLOCATE and
    COPY_FILE_RANGE do not say, as WRITE does."""
    attributes = fs.getattr(nodeid)
    if not attributes.mode & (S_ISUID | S_ISGID):
        return 0
    from unionfs.session.callers import set_id_to_drop

    return set_id_to_drop(pid, attributes.mode, attributes.gid)


def _caller(header: Header, umask: int) -> Caller:
    return Caller(header.uid, header.gid, header.pid, umask)
