"""Making objects in a directory tree, each complete when it appears: see `upper`."""

from __future__ import annotations

import errno
import os
import stat

from unionfs import whiteouts
from unionfs.directory.attribute_store import open_attributes
from unionfs.directory.dirfds import PathNode
from unionfs.directory.entries import resolved
from unionfs.directory.lower import DirectoryLayer
from unionfs.directory.metadata import MetadataWriter
from unionfs.directory.work import WorkDirectory, is_prepared, require_whiteout_or_nothing
from unionfs.layer import Creation, Draft, LayerEntry, Mark, Ref
from unionfs.model import Attributes, with_nlink
from unionfs.ownership import Owner, Ownership
from unionfs.syscalls.files import defers_errors

TYPE_CHECKING = False
if TYPE_CHECKING:
    from unionfs.directory.attribute_store import AttributeStore

_NEW_FILE = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class DirectoryDraft:
    """A regular file without a name, or with one in the work directory where there is no
    O_TMPFILE."""

    __slots__ = ("fd", "name")

    def __init__(self, fd: int, name: bytes | None) -> None:
        self.fd = fd
        self.name = name


class CreatingLayer(DirectoryLayer):
    """The tree at `path`, with a work directory on the same file system. Both are made if they
    do not exist.

    Args:
        path, ownership, base_owner, directory_limit: as of `DirectoryLayer`.
        work: the work directory; in use by one upper at a time (EBUSY).
        reserves_space: write(2) reports that the file system has no room, which cannot be seen by its type.
    """

    _store: AttributeStore

    def __init__(
        self,
        path: bytes,
        work: bytes,
        *,
        ownership: Ownership,
        base_owner: tuple[int, int] = (0, 0),
        directory_limit: int = 256,
        reserves_space: bool = False,
    ) -> None:
        os.makedirs(path, mode=0o755, exist_ok=True)
        super().__init__(
            path, ownership=ownership, base_owner=base_owner, directory_limit=directory_limit
        )
        self._has_bookkeeping = True
        self._stores_all = self._as_data
        self._work_path = resolved(work)
        if is_within(self._work_path, self.path) or is_within(self.path, self._work_path):
            raise OSError(errno.EINVAL, f"upper {path!r} and work directory {work!r} overlap")
        self._work = WorkDirectory(self._work_path, reserves_space=reserves_space)
        self.leaves_names = False
        self.defers_errors = not reserves_space and defers_errors(self._work.fd)
        if os.fstat(self._work.fd).st_dev != self._device:
            raise OSError(
                errno.EXDEV,
                f"upper {path!r} and work directory {work!r} are on different file systems",
            )
        self._set_index(self._work.index_fd)
        self._temporaries = self._dirs.add_root(os.dup(self._work.fd))
        self._store = open_attributes(self._work.lock_fd, self._work.fd)
        self._use_store(self._store)
        self.takes_prepared_trees = self._as_data and not self._store.is_index
        self._metadata = MetadataWriter(
            self._store, as_data=self._as_data, base_owner=base_owner, server=self._server
        )

    def create(
        self, directory: Ref, name: bytes, mode: int, uid: int, gid: int
    ) -> tuple[Ref, Attributes, int]:
        path_node = self._path_node(directory)
        if self._metadata.is_bare_file(mode, uid, gid):
            dir_fd = self._dirs.fd(path_node)
            try:
                fd = os.open(name, _NEW_FILE, mode & 0o7777, dir_fd=dir_fd)
            except FileExistsError:
                pass
            else:
                st = os.fstat(fd)
                if st.st_mode != mode:
                    os.fchmod(fd, mode & 0o7777)
                    st = os.fstat(fd)
                if not self._work.has_device_whiteouts:
                    self._drop_whiteout_file(dir_fd, name)
                return PathNode(path_node, name), self._attributes(st, None), fd
        draft = self.draft()
        try:
            entry = self.publish(draft, directory, name, Creation(mode, uid, gid))
        except BaseException:
            self.discard(draft)
            raise
        return entry.ref, entry.attributes, draft.fd

    def make(self, directory: Ref, name: bytes, creation: Creation) -> LayerEntry:
        path_node = self._path_node(directory)
        kind = stat.S_IFMT(creation.mode)
        if kind != stat.S_IFDIR and self._metadata.is_stored_as_file(creation):
            entry, fd = self._make_stored(directory, name, creation)
            os.close(fd)
            return entry
        dir_fd = self._dirs.fd(path_node)
        if self._metadata.is_bare(creation) and not creation.opaque:
            made = self._make_in_place(path_node, dir_fd, name, creation)
            if made is not None:
                return made
        temporary = self._work.temporary()
        self._make_bare(temporary, creation, self._work.fd)
        try:
            self._apply_to_temporary(temporary, creation)
            self._work.install(temporary, dir_fd, name, is_directory=kind == stat.S_IFDIR)
        except BaseException:
            self._work.discard(temporary)
            raise
        self._drop_whiteout_file(dir_fd, name)
        return self._found(PathNode(path_node, name))

    def _make_stored(
        self, directory: Ref, name: bytes, creation: Creation
    ) -> tuple[LayerEntry, int]:
        draft = self.draft()
        try:
            if creation.target:
                os.pwrite(draft.fd, creation.target, 0)
            return self.publish(draft, directory, name, creation), draft.fd
        except BaseException:
            self.discard(draft)
            raise

    def _make_in_place(
        self, path_node: PathNode, dir_fd: int, name: bytes, creation: Creation
    ) -> LayerEntry | None:
        """What one system call makes complete; None if there is a whiteout in its place."""
        try:
            self._make_bare(name, creation, dir_fd)
        except FileExistsError:
            return None
        mode = stat.S_IMODE(creation.mode)
        st = os.stat(name, dir_fd=dir_fd, follow_symlinks=False)
        if stat.S_IMODE(st.st_mode) != mode and not stat.S_ISLNK(st.st_mode):
            os.chmod(name, mode, dir_fd=dir_fd)
            st = os.stat(name, dir_fd=dir_fd, follow_symlinks=False)
        self._drop_whiteout_file(dir_fd, name)
        return LayerEntry(PathNode(path_node, name), self._attributes(st, None))

    @property
    def holds_device_zero(self) -> bool:
        return self._as_data

    def _make_bare(self, temporary: bytes, creation: Creation, dir_fd: int) -> None:
        kind = stat.S_IFMT(creation.mode)
        if kind == stat.S_IFDIR:
            os.mkdir(temporary, stat.S_IMODE(creation.mode) | 0o700, dir_fd=dir_fd)
        elif kind == stat.S_IFLNK:
            os.symlink(creation.target, temporary, dir_fd=dir_fd)
        elif whiteouts.is_device_whiteout(creation.mode, creation.rdev):
            # On disk it would be a whiteout: the container cannot have one of its own where
            # owners are real.
            raise OSError(errno.EPERM, os.strerror(errno.EPERM))
        else:
            os.mknod(temporary, creation.mode, creation.rdev, dir_fd=dir_fd)
        if self._store.is_index:
            self._store.forget(os.stat(temporary, dir_fd=dir_fd, follow_symlinks=False).st_ino)

    def _apply_to_temporary(self, temporary: bytes, creation: Creation) -> None:
        path = b"/proc/self/fd/%d/%b" % (self._work.fd, temporary)
        self._metadata.apply(path, creation, follow=False)
        if creation.opaque:
            self._mark_opaque(path)
            self._metadata.set_times(path, creation, follow=False)

    def draft(self, length: int = 0) -> DirectoryDraft:  # noqa: ARG002 - protocol
        try:
            fd = os.open(b".", os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600, dir_fd=self._work.fd)
        except OSError as error:
            if error.errno not in (errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL):
                raise
            temporary = self._work.temporary()
            fd = os.open(temporary, _NEW_FILE, 0o600, dir_fd=self._work.fd)
            draft = DirectoryDraft(fd, temporary)
        else:
            draft = DirectoryDraft(fd, None)
        if self._store.is_index:
            self._store.forget(os.fstat(fd).st_ino)
        return draft

    def publish_unnamed(self, draft: Draft, creation: Creation) -> Attributes:
        self._metadata.apply(draft.fd, creation, follow=True)
        return self._published(draft, PathNode(None, b""), creation).attributes

    def publish(self, draft: Draft, directory: Ref, name: bytes, creation: Creation) -> LayerEntry:
        path_node = self._path_node(directory)
        self._metadata.apply(draft.fd, creation, follow=True)
        temporary = draft.name if isinstance(draft, DirectoryDraft) else None
        dir_fd = self._dirs.fd(path_node)
        if temporary is not None:
            self._work.install(temporary, dir_fd, name, is_directory=False)
        else:
            self._link_fd(draft.fd, dir_fd, name)
        self._drop_whiteout_file(dir_fd, name)
        return self._published(draft, PathNode(path_node, name), creation)

    def adopt(self, directory: Ref, prepared: bytes, name: bytes) -> LayerEntry:
        if not is_prepared(prepared):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        path_node = self._path_node(directory)
        dir_fd = self._dirs.fd(path_node)
        self._work.install(prepared, dir_fd, name, is_directory=True)
        self._drop_whiteout_file(dir_fd, name)
        return self._found(PathNode(path_node, name))

    def new_stash(self) -> bytes:
        return self._work.temporary()

    def stash(self, ref: Ref | None, fd: int, name: bytes) -> Ref:
        if ref is None:
            self._link_fd(fd, self._work.fd, name)
            return PathNode(self._temporaries, name)
        parent, at = self._parent(ref)
        os.link(at, name, src_dir_fd=parent, dst_dir_fd=self._work.fd, follow_symlinks=False)
        return PathNode(self._temporaries, name)

    def stashed(self, name: bytes) -> LayerEntry | None:
        return self.lookup(self._temporaries, name)

    def stash_name(self, ref: Ref) -> bytes:
        return self._path_node(ref).name

    def drop_stash(self, ref: Ref) -> None:
        path_node = self._path_node(ref)
        if path_node.parent is self._temporaries:
            self._work.discard(path_node.name)

    def discard(self, draft: Draft) -> None:
        try:
            os.close(draft.fd)
            if isinstance(draft, DirectoryDraft) and draft.name is not None:
                os.unlink(draft.name, dir_fd=self._work.fd)
        except OSError:
            pass

    def link(self, ref: Ref | None, fd: int, directory: Ref, name: bytes) -> Ref:
        path_node = self._path_node(directory)
        dir_fd = self._dirs.fd(path_node)
        if ref is None:
            self._link_fd(fd, dir_fd, name)
        else:
            old_fd, old_name = self._parent(ref)
            try:
                os.link(old_name, name, src_dir_fd=old_fd, dst_dir_fd=dir_fd, follow_symlinks=False)
            except FileExistsError:
                temporary = self._work.temporary()
                os.link(
                    old_name,
                    temporary,
                    src_dir_fd=old_fd,
                    dst_dir_fd=self._work.fd,
                    follow_symlinks=False,
                )
                self._work.install(temporary, dir_fd, name, is_directory=False)
        self._drop_whiteout_file(dir_fd, name)
        return PathNode(path_node, name)

    def _link_fd(self, fd: int, dir_fd: int, name: bytes) -> None:
        """linkat(2), "AT_EMPTY_PATH": without CAP_DAC_READ_SEARCH a descriptor is linked through
        /proc."""
        path = b"/proc/self/fd/%d" % fd
        try:
            os.link(path, name, dst_dir_fd=dir_fd, follow_symlinks=True)
        except FileExistsError:
            require_whiteout_or_nothing(dir_fd, name)
            temporary = self._work.temporary()
            os.link(path, temporary, dst_dir_fd=self._work.fd, follow_symlinks=True)
            self._work.install(temporary, dir_fd, name, is_directory=False)

    def _found(self, path_node: PathNode) -> LayerEntry:
        path, follow = self._path(path_node)
        return self._entry(path_node, os.stat(path, follow_symlinks=follow), path, follow=follow)

    def _published(self, draft: Draft, path_node: PathNode, creation: Creation) -> LayerEntry:
        """What reading a draft back would give."""
        mode, uid, gid, rdev, _, _, _, _, origin, nlink, _ = creation
        owner = Owner(uid, gid, mode, rdev) if self._as_data else None
        attributes = self._attributes(os.fstat(draft.fd), owner)
        if nlink is not None:
            attributes = with_nlink(attributes, nlink)
        return LayerEntry(path_node, attributes, Mark.NONE, None, origin, None)

    def _drop_whiteout_file(self, dir_fd: int, name: bytes) -> None:
        if self._work.has_device_whiteouts:
            return
        try:
            os.unlink(whiteouts.whiteout_name(name), dir_fd=dir_fd)
        except FileNotFoundError:
            pass

    def _mark_opaque(self, path: bytes) -> None:
        try:
            self._store.set(path, whiteouts.OPAQUE_XATTR, b"y")
        except OSError as error:
            if error.errno != errno.ENOTSUP:
                raise
            name = path + b"/" + whiteouts.OPAQUE_NAME
            flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
            os.close(os.open(name, flags, 0o600))


def is_within(path: bytes, top: bytes) -> bool:
    return path == top or path.startswith(top.rstrip(b"/") + b"/")
