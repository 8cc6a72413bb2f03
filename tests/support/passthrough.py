"""A `FileSystem` that shows one real directory: what the sessions are tested with where no union is
wanted.

Nodes are numbered as they are met and reached by path; hard links share the node of the first name
seen.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator

from unionfs.copy_up_stats import CopyUpStats
from unionfs.filesystem import Copy, CopyCompletion, DirEntry, Entry
from unionfs.model import Attributes, Caller, NodeId, SetAttributes, StatFs
from unionfs.ops.transfers import Transfer


class Node:
    def __init__(self, nodeid: int, key: tuple[int, int], path: bytes) -> None:
        self.nodeid = NodeId(nodeid)
        self.key = key
        self.path = path
        self.lookups = 0
        self.fd = -1
        self.listing: list[DirEntry] = []
        self.attributes: Attributes = None  # type: ignore[assignment]


def attributes_of(s: os.stat_result) -> Attributes:
    uid = 0 if s.st_uid == os.geteuid() else s.st_uid
    gid = 0 if s.st_gid == os.getegid() else s.st_gid
    return Attributes(
        s.st_ino, s.st_mode, s.st_nlink, uid, gid, s.st_rdev, s.st_size, s.st_blocks,
        s.st_atime_ns, s.st_mtime_ns, s.st_ctime_ns,
    )  # fmt: skip


class Passthrough:
    def __init__(self, root: str | os.PathLike[str]) -> None:
        path = os.fsencode(root)
        s = os.lstat(path)
        self._ids = 1
        self._nodes: dict[int, Node] = {}
        self._keys: dict[tuple[int, int], Node] = {}
        node = Node(1, (s.st_dev, s.st_ino), path)
        self._nodes[1] = self._keys[node.key] = node
        self._refresh(node)
        self.destroyed = False

    # ---- nodes

    def _refresh(self, node: Node) -> Node:
        node.attributes = attributes_of(os.fstat(node.fd) if node.fd >= 0 else os.lstat(node.path))
        return node

    def _path(self, parent: int, name: bytes) -> bytes:
        return self._nodes[parent].path + b"/" + name

    def _node(self, path: bytes, count: bool = True) -> Node:
        s = os.lstat(path)
        key = (s.st_dev, s.st_ino)
        node = self._keys.get(key)
        if node is None:
            self._ids += 1
            node = Node(self._ids, key, path)
            self._nodes[node.nodeid] = self._keys[key] = node
        elif node.fd < 0 and not os.path.lexists(node.path):
            node.path = path
        node.attributes = attributes_of(s)
        node.lookups += count
        return node

    def _file(self, nodeid: int) -> int:
        node = self._nodes[nodeid]
        if node.fd < 0:
            mode = stat.S_IMODE(os.lstat(node.path).st_mode)
            if mode & 0o600 != 0o600 and os.geteuid():
                os.chmod(node.path, mode | 0o600)
                node.fd = os.open(node.path, os.O_RDWR)
                os.fchmod(node.fd, mode)
            else:
                node.fd = os.open(node.path, os.O_RDWR)
        return node.fd

    def _keep(self, path: bytes) -> None:
        """Before a name goes: an open descriptor keeps the content for those who have the file
        open."""
        s = os.lstat(path)
        node = self._keys.get((s.st_dev, s.st_ino))
        if node is not None and stat.S_ISREG(node.attributes.mode):
            self._file(node.nodeid)

    def lookup(self, parent: NodeId, name: bytes) -> Entry | None:
        try:
            return self._node(self._path(parent, name))
        except FileNotFoundError:
            return None

    def remember(self, entry: Entry) -> None:
        self._nodes[entry.nodeid].lookups += 1

    def forget(self, nodeid: NodeId, count: int) -> None:
        node = self._nodes.get(nodeid)
        if node is None or nodeid == 1:
            return
        node.lookups -= count
        if node.lookups <= 0:
            if node.fd >= 0:
                os.close(node.fd)
            del self._nodes[nodeid]
            if self._keys.get(node.key) is node:
                del self._keys[node.key]

    def statx(self, nodeid: NodeId) -> tuple[Attributes, int | None]:
        return self.getattr(nodeid), None

    def getattr(self, nodeid: NodeId) -> Attributes:
        return self._refresh(self._nodes[nodeid]).attributes

    def setattr(self, nodeid: NodeId, changes: SetAttributes) -> Attributes:
        node = self._nodes[nodeid]
        where = node.fd if node.fd >= 0 else node.path
        follow = {} if isinstance(where, int) else {"follow_symlinks": False}
        if changes.size is not None:
            os.ftruncate(self._file(nodeid), changes.size)
        if changes.uid is not None or changes.gid is not None:
            uid = changes.uid or -1
            os.chown(where, uid, changes.gid or -1, **follow)
        if changes.mode is not None:
            os.chmod(where, changes.mode)
        if changes.atime_ns is not None or changes.mtime_ns is not None:
            old = self.getattr(nodeid)
            atime = old.atime_ns if changes.atime_ns is None else changes.atime_ns
            mtime = old.mtime_ns if changes.mtime_ns is None else changes.mtime_ns
            os.utime(where, ns=(atime, mtime), **follow)
        return self.getattr(nodeid)

    def readlink(self, nodeid: NodeId) -> bytes:
        return os.readlink(self._nodes[nodeid].path)

    # ---- names

    def mknod(self, parent: NodeId, name: bytes, mode: int, rdev: int, caller: Caller) -> Entry:
        path = self._path(parent, name)
        os.mknod(path, mode, rdev)
        os.chmod(path, stat.S_IMODE(mode))
        return self._node(path)

    def mkdir(self, parent: NodeId, name: bytes, mode: int, caller: Caller) -> Entry:
        path = self._path(parent, name)
        os.mkdir(path, mode)
        os.chmod(path, stat.S_IMODE(mode))
        return self._node(path)

    def symlink(self, parent: NodeId, name: bytes, target: bytes, caller: Caller) -> Entry:
        path = self._path(parent, name)
        os.symlink(target, path)
        return self._node(path)

    def link(self, nodeid: NodeId, new_parent: NodeId, new_name: bytes) -> Entry:
        node = self._nodes[nodeid]
        path = self._path(new_parent, new_name)
        if node.fd >= 0:
            # Only with a directory descriptor does os.link pass AT_SYMLINK_FOLLOW on.
            os.link(b"/proc/self/fd/%d" % node.fd, path, src_dir_fd=node.fd)
        else:
            os.link(node.path, path, follow_symlinks=False)
        if node.attributes.nlink == 0:
            node.path = path
        return self._node(path)

    def unlink(self, parent: NodeId, name: bytes) -> None:
        path = self._path(parent, name)
        self._keep(path)
        os.unlink(path)

    def rmdir(self, parent: NodeId, name: bytes) -> None:
        os.rmdir(self._path(parent, name))

    def rename(
        self, parent: NodeId, name: bytes, new_parent: NodeId, new_name: bytes, flags: int
    ) -> None:
        old, new = self._path(parent, name), self._path(new_parent, new_name)
        if flags & ~1:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        if os.path.lexists(new):
            if flags & 1:
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
            self._keep(new)
        os.rename(old, new)
        for node in self._nodes.values():
            if node.path == old or node.path.startswith(old + b"/"):
                node.path = new + node.path[len(old) :]

    def create(self, parent: NodeId, name: bytes, mode: int, flags: int, caller: Caller) -> Entry:
        path = self._path(parent, name)
        keep = os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW | (flags & (os.O_EXCL | os.O_TRUNC))
        fd = os.open(path, keep, mode)
        node = self._node(path)
        if node.fd < 0:
            os.fchmod(fd, stat.S_IMODE(mode))
            node.fd = fd
        else:
            os.close(fd)
        return self._refresh(node)

    def tmpfile(self, parent: NodeId, mode: int, flags: int, caller: Caller) -> Entry:
        fd = os.open(self._nodes[parent].path, os.O_TMPFILE | os.O_RDWR, mode)
        os.fchmod(fd, stat.S_IMODE(mode))
        s = os.fstat(fd)
        self._ids += 1
        node = Node(self._ids, (s.st_dev, s.st_ino), b"")
        node.fd, node.lookups = fd, 1
        self._nodes[node.nodeid] = self._keys[node.key] = node
        return self._refresh(node)

    # ---- content

    def open(self, nodeid: NodeId, flags: int) -> None:
        if flags & os.O_TRUNC:
            os.ftruncate(self._file(nodeid), 0)

    def release(self, nodeid: NodeId) -> None:
        pass

    def read(self, nodeid: NodeId, offset: int, size: int) -> bytes:
        return os.pread(self._file(nodeid), size, offset)

    def source(self, nodeid: NodeId, offset: int, size: int) -> None:
        return None

    ledger = CopyUpStats()

    def know_callers(self, ask: object) -> None: ...

    def lacks_capabilities(self, nodeid: NodeId) -> bool:
        return False

    def lacks_acl(self, nodeid: NodeId) -> bool:
        return False

    def after_reply(self) -> None:
        pass

    def read_into(self, nodeid: NodeId, offset: int, buffer: memoryview) -> int:
        data = self.read(nodeid, offset, len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def write(
        self,
        nodeid: NodeId,
        offset: int,
        data: bytes | memoryview,
        *,
        kill_privileges: bool = False,
    ) -> int:
        return os.pwrite(self._file(nodeid), data, offset)

    def fsync(self, nodeid: NodeId, datasync: bool) -> None:
        if stat.S_ISREG(self._nodes[nodeid].attributes.mode):
            os.fsync(self._file(nodeid))

    def fallocate(
        self, nodeid: NodeId, mode: int, offset: int, length: int, *, drop_set_id: int = 0
    ) -> None:
        if mode:
            raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))
        os.posix_fallocate(self._file(nodeid), offset, length)

    def lseek(self, nodeid: NodeId, offset: int, whence: int) -> int:
        return os.lseek(self._file(nodeid), offset, whence)

    def copy_file_range(
        self,
        source: NodeId,
        source_offset: int,
        target: NodeId,
        target_offset: int,
        length: int,
        *,
        drop_set_id: int = 0,
    ) -> int:
        return os.copy_file_range(
            self._file(source), self._file(target), length, source_offset, target_offset
        )

    # ---- directories

    def readdirplus(
        self, nodeid: NodeId, cookie: int, room: int, fixed: int
    ) -> list[tuple[int, bytes, NodeId, Attributes]]:
        told = []
        for each in self.readdir(nodeid, cookie):
            room -= (fixed + len(each.name) + 7) // 8 * 8
            if room < 0:
                break
            self.remember(each.entry)
            told.append((each.cookie, each.name, each.entry.nodeid, each.entry.attributes))
        return told

    def readdir(self, nodeid: NodeId, cookie: int) -> Iterator[DirEntry]:
        node = self._nodes[nodeid]
        if cookie == 0:
            names = [os.fsencode(name) for name in os.listdir(os.fsdecode(node.path))]
            node.listing = [
                DirEntry(position, name, self._node(node.path + b"/" + name, count=False))
                for position, name in enumerate(names, 1)
            ]
        for entry in node.listing[cookie:]:
            if entry.entry.nodeid in self._nodes:
                yield entry

    def parent(self, nodeid: NodeId) -> Attributes:
        return attributes_of(os.lstat(os.path.dirname(self._nodes[nodeid].path)))

    # ---- attributes

    def getxattr(self, nodeid: NodeId, name: bytes) -> bytes:
        return os.getxattr(self._nodes[nodeid].path, name, follow_symlinks=False)

    def listxattr(self, nodeid: NodeId) -> list[bytes]:
        names = os.listxattr(self._nodes[nodeid].path, follow_symlinks=False)
        return [os.fsencode(name) for name in names]

    def setxattr(self, nodeid: NodeId, name: bytes, value: bytes, flags: int) -> None:
        os.setxattr(self._nodes[nodeid].path, name, value, flags, follow_symlinks=False)

    def removexattr(self, nodeid: NodeId, name: bytes) -> None:
        os.removexattr(self._nodes[nodeid].path, name, follow_symlinks=False)

    def statfs(self) -> StatFs:
        s = os.statvfs(self._nodes[1].path)
        return StatFs(
            s.f_bsize, s.f_frsize, s.f_blocks, s.f_bfree, s.f_bavail, s.f_files, s.f_ffree,
            s.f_namemax )  # fmt: skip

    def destroy(self) -> None:
        self.destroyed = True

    def finish(self) -> int:
        return 0

    def begin_complete_copies(self) -> CopyCompletion:
        raise NotImplementedError

    def known(self, parent: NodeId, name: bytes) -> NodeId:
        return NodeId(0)

    def begin_fsync(self, nodeid: NodeId, datasync: bool) -> Transfer:
        def sync() -> int:
            self.fsync(nodeid, datasync)
            return 0

        return Transfer(sync)

    defers_errors = False

    def flush(self, nodeid: NodeId) -> None:
        raise NotImplementedError

    def begin_flush(self, nodeid: NodeId) -> Transfer | None:
        raise NotImplementedError

    def begin_syncfs(self) -> Transfer:
        return Transfer(lambda: 0)

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
        return Transfer(
            lambda: self.copy_file_range(source, source_offset, target, target_offset, length)
        )

    def pending_copy(self, nodeid: NodeId, *, times_only: bool = False) -> int:
        return 0

    def begin_copy(self, nodeid: NodeId) -> Copy:
        raise AssertionError("nothing is ever pending")
