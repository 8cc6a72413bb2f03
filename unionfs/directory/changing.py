"""Changing the metadata of objects in a directory tree: owner, mode, times and extended attributes; opening one to write."""

from __future__ import annotations

import errno
import os
import stat

from unionfs.directory.creating import CreatingLayer, DirectoryDraft
from unionfs.layer import Creation, Ref
from unionfs.ownership import Owner
from unionfs.xattr_names import REDIRECT, to_disk

_new = tuple.__new__
_S_IFMT = 0o170000


class MadeWritable:
    """Lets the owner write to an object for the length of a block."""

    def __init__(self, path: bytes) -> None:
        self._path = path
        self._mode = stat.S_IMODE(os.stat(path, follow_symlinks=False).st_mode)

    def __enter__(self) -> None:
        os.chmod(self._path, self._mode | 0o600, follow_symlinks=True)

    def __exit__(self, *_: object) -> None:
        os.chmod(self._path, self._mode, follow_symlinks=True)


class ChangingLayer(CreatingLayer):
    """The tree at `path`, with a work directory on the same file system: see `CreatingLayer`."""

    def set_opaque(self, directory: Ref) -> None:
        path_node = self._path_node(directory)
        self._mark_opaque(b"/proc/self/fd/%d" % self._dirs.fd(path_node))

    def set_redirect(self, directory: Ref, path: bytes) -> None:
        try:
            self._store.set(
                b"/proc/self/fd/%d" % self._dirs.fd(self._path_node(directory)), REDIRECT, path
            )
        except OSError as error:
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV)) from error

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
        path, follow = (fd, True) if fd >= 0 else self._path(self._path_node(ref))
        if not self._as_data:
            if uid is not None or gid is not None:
                uid, gid = -1 if uid is None else uid, -1 if gid is None else gid
                os.chown(path, uid, gid, follow_symlinks=follow)
            if mode is not None and not self._is_symlink(path, follow=follow):
                os.chmod(path, mode & 0o7777)
            return
        wanted = _new(
            Owner,
            (
                known[0] if uid is None else uid,
                known[1] if gid is None else gid,
                known[2] if mode is None else known[2] & _S_IFMT | mode & 0o7777,
                known[3],
            ),
        )
        st = os.stat(path, follow_symlinks=follow)
        if not stat.S_ISLNK(st.st_mode):
            self._metadata.change_owner(path, wanted, st.st_mode, follow=follow)

    def make_ownable(self, ref: Ref, known: Owner, ino: int) -> None:
        """Stores a symbolic link as a file that has an override. Its other names are searched for:
        this upper gives a link a second name only in that form, but others may have made it."""
        if not self._as_data:
            return
        parent, name = self._parent(ref)
        st = os.stat(name, dir_fd=parent, follow_symlinks=False)
        if not stat.S_ISLNK(st.st_mode):
            return
        others = self._names_of(st) if st.st_nlink > 1 else []
        if self._attributes(st, None).ino == ino:
            self._links.retire(parent, name, ino)
        draft = self.draft()
        try:
            target = os.readlink(name, dir_fd=parent)
            os.pwrite(draft.fd, target, 0)
            creation = Creation(
                known.mode,
                known.uid,
                known.gid,
                target=target,
                atime_ns=st.st_atime_ns,
                mtime_ns=st.st_mtime_ns,
                origin=ino,
            )
            self._metadata.apply(draft.fd, creation, follow=True)
            self._replace(draft, parent, name)
            for other in others:
                self._replace(draft, *self._parent(other))
        finally:
            self.discard(draft)

    def _replace(self, draft: DirectoryDraft, parent: int, name: bytes) -> None:
        """Put a link of a draft in the place of an object."""
        temporary = self._work.temporary()
        self._link_fd(draft.fd, self._work.fd, temporary)
        os.rename(temporary, name, src_dir_fd=self._work.fd, dst_dir_fd=parent)

    def _names_of(self, st: os.stat_result) -> list[Ref]:
        """All names in the tree of an inode."""
        number = self._attributes(st, None).ino
        found: list[Ref] = []
        below = [self._root]
        while below:
            for _, entry in self.listing(below.pop()):
                if stat.S_ISDIR(entry.attributes.mode):
                    below.append(self._path_node(entry.ref))
                elif entry.attributes.ino == number and entry.origin is None:
                    found.append(entry.ref)
        return found

    @staticmethod
    def _is_symlink(path: bytes | int, *, follow: bool) -> bool:
        return not follow and stat.S_ISLNK(os.stat(path, follow_symlinks=False).st_mode)

    def set_times(self, ref: Ref | None, fd: int, atime_ns: int, mtime_ns: int) -> None:
        if fd >= 0:
            os.utime(fd, ns=(atime_ns, mtime_ns))
            return
        path_node = self._path_node(ref)
        if path_node.parent is None:
            os.utime(b".", ns=(atime_ns, mtime_ns), dir_fd=self._dirs.fd(path_node))
            return
        parent = self._dirs.fd(path_node.parent)
        os.utime(path_node.name, ns=(atime_ns, mtime_ns), dir_fd=parent, follow_symlinks=False)

    def set_xattr(self, ref: Ref | None, fd: int, name: bytes, value: bytes, flags: int) -> None:
        path, follow = self._object(ref, fd)
        self._store.set(path, self._stored_name(name), value, follow=follow, flags=flags)

    def remove_xattr(self, ref: Ref | None, fd: int, name: bytes) -> None:
        path, follow = self._object(ref, fd)
        self._store.remove(path, self._stored_name(name), follow=follow)

    def get_xattrs(self, ref: Ref | None, fd: int) -> dict[bytes, bytes]:
        return self._shown_xattrs(*self._object(ref, fd))

    def _stored_name(self, name: bytes) -> bytes:
        stored = to_disk(name, as_data=self._as_data)
        if stored is None or len(stored) > 255:
            raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP))
        return stored

    def open_write(self, ref: Ref) -> int:
        parent, name = self._parent(ref)
        flags = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
        try:
            return os.open(name, flags, dir_fd=parent)
        except PermissionError:
            # A file may be open for writing inside though its mode, which is real here, forbids it.
            with MadeWritable(b"/proc/self/fd/%d/%b" % (parent, name)):
                return os.open(name, flags, dir_fd=parent)

    def _object(self, ref: Ref | None, fd: int) -> tuple[bytes | int, bool]:
        if fd >= 0:
            return fd, True
        return self._path(self._path_node(ref))
