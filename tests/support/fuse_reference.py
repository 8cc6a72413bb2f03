"""The frequent FUSE requests, answered plainly: a decoder to values, a handler for each operation, an
encoder of replies. What the tests hold the fast methods of the device session against.

Nothing here is shared with those but the layouts of wire.py and the encoders of replies.py, which
test_codec.py holds against include/uapi/linux/fuse.h.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from typing import Any, NamedTuple

from unionfs.model import Attributes, Caller, NodeId, SetAttributes, without_set_id
from unionfs.session import replies, wire
from unionfs.session.counters import Counters
from unionfs.session.wire import Opcode, SetattrValid
from unionfs.xattr_names import ACCESS_ACL

LARGEST_READ = 1 << 20
BIG = 1 << 20
KERNEL_OWNED = (Opcode.FORGET, Opcode.BATCH_FORGET)
"""Requests without a reply."""


class Malformed(Exception):
    """The kernel could not have sent it."""


class Waits(Exception):
    """The request waits for the copy of this node."""

    def __init__(self, nodeid: int) -> None:
        super().__init__()
        self.nodeid = nodeid


class Asked(NamedTuple):
    """One request: its header and its body without extensions."""

    opcode: int
    unique: int
    nodeid: NodeId
    uid: int
    gid: int
    pid: int
    body: bytes

    def fixed(self, layout: Any) -> tuple[int, ...]:
        """All of the body, in a layout."""
        if len(self.body) != layout.size:
            raise Malformed
        return layout.unpack(self.body)

    def names(self, layout: Any, count: int) -> tuple[tuple[int, ...], list[bytes]]:
        """A layout, and `count` names that end the body."""
        if len(self.body) < layout.size:
            raise Malformed
        rest = self.body[layout.size :]
        if not rest.endswith(b"\0"):
            raise Malformed
        names = rest[:-1].split(b"\0")
        if len(names) != count or not all(names):
            raise Malformed
        return layout.unpack_from(self.body), names

    def caller(self, umask: int) -> Caller:
        return Caller(self.uid, self.gid, self.pid, umask)


def decode(message: bytes) -> Asked:
    _, opcode, unique, nodeid, uid, gid, pid, extensions, _ = wire.IN_HEADER.unpack_from(message)
    body = message[wire.IN_HEADER.size :]
    if extensions:
        if extensions * 8 > len(body):
            body = None  # type: ignore[assignment]
        else:
            body = body[: len(body) - extensions * 8]
    return Asked(opcode, unique, NodeId(nodeid), uid, gid, pid, body)


class Empty:
    size = 0

    @staticmethod
    def unpack_from(_body: bytes) -> tuple[int, ...]:
        return ()


class Reference:
    """Answers messages over `filesystem`. `replies` are whole, in the order in which they are sent.

    A request that waits for a copy is answered by `settle`.
    """

    def __init__(self, filesystem: Any, valid: replies.Valid = replies.HOLDS_FOREVER) -> None:
        self._fs = filesystem
        self._valid = valid
        self.counters = Counters()
        self.replies: list[bytes] = []
        self._waiting: dict[int, tuple[Any, list[bytes]]] = {}
        self._may_wait = True
        self.table: dict[int, Callable[[Asked], bytes | None]] = {
            Opcode.LOOKUP: self._lookup,
            Opcode.FORGET: self._forget,
            Opcode.BATCH_FORGET: self._batch_forget,
            Opcode.CREATE: self._create,
            Opcode.MKDIR: self._mkdir,
            Opcode.SYMLINK: self._symlink,
            Opcode.UNLINK: self._unlink,
            Opcode.RMDIR: self._rmdir,
            Opcode.RENAME: self._rename,
            Opcode.GETATTR: self._getattr,
            Opcode.SETATTR: self._setattr,
            Opcode.READ: self._read,
            Opcode.WRITE: self._write,
            Opcode.RELEASE: self._release,
            Opcode.RELEASEDIR: self._release,
            Opcode.GETXATTR: self._getxattr,
            Opcode.READDIRPLUS: self._readdirplus,
            Opcode.IOCTL: self._ioctl,
        }

    def handle(self, message: bytes) -> None:
        (length,) = wire.FORGET_IN.unpack(message[:4] + bytes(4))
        if length != len(message):
            self.counters.faults += 1
            return
        asked = decode(message)
        error = 0
        payload: bytes | None = b""
        try:
            if asked.body is None:
                raise Malformed
            payload = self.table[asked.opcode](asked)
        except Malformed:
            error = errno.EIO
            self.counters.faults += 1
        except Waits as waits:
            try:
                self._wait(waits.nodeid, message)
            except OSError as failed:
                error = failed.errno or errno.EIO
            else:
                return
        except OSError as raised:
            # ENOSYS would tell the kernel never to ask again for any file.
            error = errno.EOPNOTSUPP if raised.errno == errno.ENOSYS else raised.errno or errno.EIO
        self.counters.count(asked.opcode, 0)
        self.counters.errors += bool(error)
        if asked.opcode in KERNEL_OWNED:
            return
        if error:
            self.replies.append(replies.error(asked.unique, error))
        else:
            self.replies.append(replies.reply(asked.unique, payload or b""))
        if asked.opcode in (
            Opcode.CREATE, Opcode.MKDIR, Opcode.SYMLINK, Opcode.UNLINK, Opcode.RMDIR, Opcode.RENAME,
        ):  # fmt: skip
            self._fs.after_reply()

    # ---- requests that wait for a copy -----------------------------------------------------------

    def _require_copied(self, nodeid: int, *, times_only: bool = False) -> None:
        pending = self._fs.pending_copy(nodeid, times_only=times_only) >= BIG
        if (pending or nodeid in self._waiting) and self._may_wait:
            raise Waits(nodeid)

    def _wait(self, nodeid: int, message: bytes) -> None:
        if nodeid not in self._waiting:
            self._waiting[nodeid] = (self._fs.begin_copy(nodeid), [])
        self._waiting[nodeid][1].append(message)

    def settle(self) -> None:
        """Make the copies, and answer the requests that waited for them."""
        while self._waiting:
            nodeid = next(iter(self._waiting))
            copy, messages = self._waiting[nodeid]
            published = False
            try:
                try:
                    copy.copy()
                    copy.sync()
                except OSError:
                    copy.abandon()
                else:
                    copy.publish()
                    published = True
            except OSError:
                pass
            del self._waiting[nodeid]
            for message in messages:
                self._may_wait = published
                self.handle(message)
                self._may_wait = True

    # ---- names -----------------------------------------------------------------------------------

    def _entry(self, entry: Any) -> bytes:
        return replies.entry_out(entry.nodeid, entry.attributes, self._valid)

    def _lookup(self, asked: Asked) -> bytes:
        _, (name,) = asked.names(Empty, 1)
        entry = self._fs.lookup(asked.nodeid, name)
        if entry is None:
            seconds, nsec = self._valid
            return wire.ENTRY_OUT.pack(0, 0, seconds, 0, nsec, 0, *(0,) * 16)
        return self._entry(entry)

    def _forget(self, asked: Asked) -> None:
        self._fs.forget(asked.nodeid, *asked.fixed(wire.FORGET_IN))

    def _batch_forget(self, asked: Asked) -> None:
        if len(asked.body) < wire.BATCH_FORGET_IN.size:
            raise Malformed
        count, _ = wire.BATCH_FORGET_IN.unpack_from(asked.body)
        pairs = asked.body[wire.BATCH_FORGET_IN.size :]
        if len(pairs) != count * wire.FORGET_ONE.size:
            raise Malformed
        for nodeid, lookups in wire.FORGET_ONE.iter_unpack(pairs):
            self._fs.forget(nodeid, lookups)

    def _create(self, asked: Asked) -> bytes:
        (flags, mode, umask, _), (name,) = asked.names(wire.CREATE_IN, 1)
        entry = self._fs.create(asked.nodeid, name, mode, flags, asked.caller(umask))
        return replies.create_out(self._entry(entry), wire.FOPEN_KEEP_CACHE)

    def _mkdir(self, asked: Asked) -> bytes:
        (mode, umask), (name,) = asked.names(wire.MKDIR_IN, 1)
        return self._entry(self._fs.mkdir(asked.nodeid, name, mode, asked.caller(umask)))

    def _symlink(self, asked: Asked) -> bytes:
        _, (name, target) = asked.names(Empty, 2)
        return self._entry(self._fs.symlink(asked.nodeid, name, target, asked.caller(0)))

    def _unlink(self, asked: Asked) -> bytes:
        _, (name,) = asked.names(Empty, 1)
        self._fs.unlink(asked.nodeid, name)
        return b""

    def _rmdir(self, asked: Asked) -> bytes:
        _, (name,) = asked.names(Empty, 1)
        self._fs.rmdir(asked.nodeid, name)
        return b""

    def _rename(self, asked: Asked) -> bytes:
        (parent,), (old, new) = asked.names(wire.RENAME_IN, 2)
        moved = self._fs.known(asked.nodeid, old)
        if moved:
            self._require_copied(moved)
        self._fs.rename(asked.nodeid, old, parent, new, 0)
        return b""

    # ---- attributes ------------------------------------------------------------------------------

    def _getattr(self, asked: Asked) -> bytes:
        asked.fixed(wire.GETATTR_IN)
        return replies.attr_out(self._fs.getattr(asked.nodeid), self._valid)

    def _setattr(self, asked: Asked) -> bytes:
        (
            bits, _, _, size, _, atime, mtime, ctime, atime_nsec, mtime_nsec, ctime_nsec, mode, _,
            uid, gid, _,
        ) = asked.fixed(wire.SETATTR_IN)  # fmt: skip
        valid = bits
        if bits & ~SetattrValid.CTIME == 0:
            self._require_owner_of_rights(asked, bits)
        privileges = SetattrValid.KILL_SUIDGID | SetattrValid.UID | SetattrValid.GID
        data = SetattrValid.MODE | SetattrValid.SIZE
        times = SetattrValid.ATIME | SetattrValid.MTIME
        if not (valid & SetattrValid.SIZE and size < BIG):
            self._require_copied(asked.nodeid, times_only=not valid & (data | privileges))

        def when(bit: SetattrValid, seconds: int, nanoseconds: int) -> int | None:
            if seconds >= 1 << 63:
                seconds -= 1 << 64
            return seconds * 10**9 + nanoseconds if valid & bit else None

        changes = SetAttributes(
            mode=stat.S_IMODE(mode) if valid & SetattrValid.MODE else None,
            uid=uid if valid & SetattrValid.UID else None,
            gid=gid if valid & SetattrValid.GID else None,
            size=size if valid & SetattrValid.SIZE else None,
            atime_ns=when(SetattrValid.ATIME, atime, atime_nsec),
            mtime_ns=when(SetattrValid.MTIME, mtime, mtime_nsec),
            ctime_ns=when(SetattrValid.CTIME, ctime, ctime_nsec),
            kill_privileges=bool(valid & privileges)
            or not valid & (data | times | SetattrValid.UID | SetattrValid.GID),
        )
        return replies.attr_out(self._fs.setattr(asked.nodeid, changes), self._valid)

    def _require_owner_of_rights(self, asked: Asked, bits: int) -> None:
        known: Attributes = self._fs.getattr(asked.nodeid)
        drops_nothing = without_set_id(known.mode) == known.mode
        if drops_nothing or (bits == 0 and stat.S_ISREG(known.mode)):
            return
        if asked.uid not in (0, known.uid):
            raise OSError(errno.EPERM, "not the owner")

    def _getxattr(self, asked: Asked) -> bytes:
        (size, _), (name,) = asked.names(wire.GETXATTR_IN, 1)
        if name == b"security.capability" and self._fs.lacks_capabilities(asked.nodeid):
            raise OSError(errno.ENODATA, "none")
        if name == ACCESS_ACL and self._fs.lacks_acl(asked.nodeid):
            raise OSError(errno.ENODATA, "none")
        value = self._fs.getxattr(asked.nodeid, name)
        if size == 0:
            return replies.getxattr_out(len(value))
        if len(value) > size:
            raise OSError(errno.ERANGE, "too long")
        return value

    # ---- data and listings -----------------------------------------------------------------------

    def _asked_for(self, asked: Asked) -> tuple[int, int]:
        _, offset, size, _, _, _, _ = asked.fixed(wire.READ_IN)
        if size > LARGEST_READ:
            raise Malformed
        return offset, size

    def _read(self, asked: Asked) -> bytes:
        data = self._fs.read(asked.nodeid, *self._asked_for(asked))
        self.counters.bytes[Opcode.READ] += len(data)
        return data

    def _write(self, asked: Asked) -> bytes:
        if len(asked.body) < wire.WRITE_IN.size:
            raise Malformed
        _, offset, size, flags, _, _, _ = wire.WRITE_IN.unpack_from(asked.body)
        data = asked.body[wire.WRITE_IN.size :]
        if len(data) != size:
            raise Malformed
        self._require_copied(asked.nodeid)
        kills = bool(flags & wire.WRITE_KILL_SUIDGID)
        written = self._fs.write(asked.nodeid, offset, data, kill_privileges=kills)
        self.counters.bytes[Opcode.WRITE] += written
        if flags & wire.WRITE_CACHE:
            # Pages of the kernel's cache are written whole or answered with an error.
            rest = 0
            while written + rest < size:
                more = self._fs.write(asked.nodeid, offset + written + rest, data[written + rest :])
                if not more:
                    raise OSError(errno.EIO, "nothing is written")
                rest += more
            self.counters.bytes[Opcode.WRITE] += rest
            written += rest
        return replies.write_out(written)

    def _release(self, asked: Asked) -> bytes:
        asked.fixed(wire.RELEASE_IN)
        return b""

    def _ioctl(self, asked: Asked) -> bytes:
        if len(asked.body) < wire.IOCTL_IN.size:
            raise Malformed
        in_size = wire.IOCTL_IN.unpack_from(asked.body)[4]
        if len(asked.body) != wire.IOCTL_IN.size + in_size:
            raise Malformed
        raise OSError(errno.ENOTTY, os.strerror(errno.ENOTTY))

    def _readdirplus(self, asked: Asked) -> bytes:
        offset, size = self._asked_for(asked)
        listing = b""
        if offset < 2:
            above = self._fs.parent(asked.nodeid)
            if offset == 0:
                own = self._fs.getattr(asked.nodeid)
                listing += replies.direntplus(0, own, 1, b".")
            listing += replies.direntplus(0, above, 2, b"..")
        room = size - len(listing)
        try:
            entries = self._fs.readdirplus(
                asked.nodeid, max(offset - 2, 0), room, replies.direntplus_size(b"")
            )
        except OSError:
            # The error comes again with the next request.
            if not listing:
                raise
            entries = []
        for cookie, name, number, attributes in entries:
            listing += replies.direntplus(number, attributes, cookie + 2, name, self._valid)
        return listing
