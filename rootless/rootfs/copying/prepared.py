"""A new directory in a container, made whole in the work directory of the container's upper
(`unionfs.directory.prepared`) and then adopted by the file server: no file of it is a request.

What only the server can make, such as devices and extended attributes, is left to the caller.
"""

from __future__ import annotations

import errno
import os
import stat

from rootless.containers.writable_layers.place import WORK, layer_of
from rootless.rootfs.copying.data import copy_data
from rootless.rootfs.copying.object import has_xattrs
from rootless.spec.storage_driver import StorageDriver
from unionfs.directory.prepared import PreparedTree, adopts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from rootless.containers.record import ContainerRecord
    from rootless.runtime.idmap import IdMaps

_LIST = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# O_NONBLOCK: a FIFO that has taken the place of the file does not block.
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_DEFAULT_ACL = "system.posix_acl_default"
_BLOCK = 512


class Workspace:
    """Where new directories of one container are prepared. `root` is a descriptor of the container's
    root directory, `work` the work directory of its upper.
    """

    def __init__(self, root: int, work: str, base_owner: tuple[int, int]) -> None:
        self._device = os.fstat(root).st_dev
        self._work = work
        self._base_owner = base_owner
        self._is_usable: bool | None = None

    def begin(self, parent: int) -> PreparedTree | None:
        """A tree for a new directory below this one; None if it has to be made by requests: in a volume,
        in a read-only file system, below a directory that gives its ACL to what is made in it, or with
        a server that does not adopt trees.
        """
        if self._is_usable is False or os.fstat(parent).st_dev != self._device:
            return None
        if os.fstatvfs(parent).f_flag & os.ST_RDONLY or _gives_acl(parent):
            return None
        try:
            if self._is_usable is None:
                self._is_usable = adopts(parent)
            tree = PreparedTree(self._work, self._base_owner) if self._is_usable else None
        except OSError:
            self._is_usable = False
            return None
        if tree is None or tree.is_own():
            return tree
        tree.close()
        self._is_usable = False
        return None


def workspace_of(
    record: ContainerRecord, directory: str, root: int, maps: IdMaps, caller: tuple[int, int]
) -> Workspace | None:
    """That of the container with this directory; None with kernel overlayfs. `caller`: uid and gid on the
    host of the user who runs it.
    """
    if record.storage_driver == StorageDriver.OVERLAY.value:
        return None
    return Workspace(root, f"{layer_of(record, directory)}/{WORK}", maps.inside(*caller))


class PreparedCopy:
    """The copy of one directory into `tree`. `owner_of`: the owner in the container.

    `size` is as in `TreeCopy`; `links` has a path in the tree of each file that may have further names, by
    device and inode; `left` has the names, by directory, of what the caller has to make, and a directory
    without names if only its extended attributes are left. `failure`: why the copy is not whole.
    """

    def __init__(
        self, tree: PreparedTree, owner_of: Callable[[os.stat_result], tuple[int, int]]
    ) -> None:
        self._tree = tree
        self._owner_of = owner_of
        self.size = 0
        self.links: dict[tuple[int, int], bytes] = {}
        self.left: dict[bytes, list[bytes]] = {}
        self.failure: Exception | None = None

    def fill(self, source: int) -> None:
        """Copy what is in an open directory, and what it is itself. Raises OSError."""
        self._fill(source, self._tree.top, b"")

    def _fill(self, source: int, directory: int, path: bytes) -> None:
        found = os.fstat(source)
        if has_xattrs(source):
            self.left[path] = []
        try:
            with os.scandir(source) as entries:
                for entry in entries:
                    self._copy(source, directory, entry, path)
        finally:
            self._tree.set_directory(directory, stat.S_IMODE(found.st_mode), self._owner_of(found))
            os.utime(directory, ns=(found.st_atime_ns, found.st_mtime_ns))

    def _copy(self, source: int, directory: int, entry: os.DirEntry[str], path: bytes) -> None:
        name = os.fsencode(entry.name)
        try:
            if entry.is_symlink():
                self._copy_symlink(source, directory, name, path)
                return
            is_directory = entry.is_dir(follow_symlinks=False)
            if not is_directory and not entry.is_file(follow_symlinks=False):
                self._leave(path, name)
                return
            entered = os.open(name, _LIST if is_directory else _READ, dir_fd=source)
        except FileNotFoundError:
            return  # it was removed meanwhile
        try:
            if is_directory:
                self._copy_directory(entered, directory, name, path)
            else:
                self._copy_file(entered, directory, name, path)
        finally:
            os.close(entered)

    def _copy_directory(self, source: int, directory: int, name: bytes, path: bytes) -> None:
        copied = self._tree.make_directory(directory, name)
        try:
            self._fill(source, copied, b"%b%b/" % (path, name))
        finally:
            os.close(copied)
        self.size += _BLOCK

    def _copy_file(self, source: int, directory: int, name: bytes, path: bytes) -> None:
        found = os.fstat(source)
        if not stat.S_ISREG(found.st_mode):
            return  # something else has taken its place
        key = (found.st_dev, found.st_ino)
        first = self.links.get(key) if found.st_nlink > 1 else None
        if first is not None:
            os.link(first, name, src_dir_fd=self._tree.top, dst_dir_fd=directory)
            self.size += _BLOCK
            return
        if has_xattrs(source):
            self._leave(path, name)
            return
        mode = stat.S_IMODE(found.st_mode)
        copied = self._tree.make_file(directory, name, mode, self._owner_of(found))
        try:
            copy_data(source, found, copied)
            os.utime(copied, ns=(found.st_atime_ns, found.st_mtime_ns))
        except BaseException:
            os.unlink(name, dir_fd=directory)
            raise
        finally:
            os.close(copied)
        if found.st_nlink > 1:
            self.links[key] = path + name
        self.size += _BLOCK + -(-found.st_size // _BLOCK) * _BLOCK

    def _copy_symlink(self, source: int, directory: int, name: bytes, path: bytes) -> None:
        found = os.stat(name, dir_fd=source, follow_symlinks=False)
        target = os.readlink(name, dir_fd=source)
        if found.st_nlink > 1:
            self._leave(path, name)
            return
        self._tree.make_symlink(directory, name, target, self._owner_of(found))
        times = (found.st_atime_ns, found.st_mtime_ns)
        os.utime(name, ns=times, dir_fd=directory, follow_symlinks=False)
        self.size += _BLOCK

    def _leave(self, path: bytes, name: bytes) -> None:
        self.left.setdefault(path, []).append(name)


def _gives_acl(directory: int) -> bool:
    """Whether what is made in a directory gets an ACL of it."""
    try:
        return _DEFAULT_ACL in os.listxattr(directory)
    except OSError as error:
        if error.errno != errno.EOPNOTSUPP:
            raise
        return False
