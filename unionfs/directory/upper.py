"""A directory tree as the upper, the layer that takes the writes.

Crash consistency: an object that needs more than one system call to be complete (an override,
attributes, data, times) is made without a name (O_TMPFILE) or in the work directory, and put in
place by one link(2) or rename(2). One that needs only one call (an ordinary file of the base
owner) is made in place. Whiteouts replace what they hide by rename(2); a directory and the
whiteout that takes its place change places (RENAME_EXCHANGE).
"""

from __future__ import annotations

import errno
import os
import stat

from unionfs import whiteouts
from unionfs.directory import link_index
from unionfs.directory.changing import ChangingLayer, MadeWritable
from unionfs.directory.creating import DirectoryDraft, is_within
from unionfs.directory.dirfds import PathNode
from unionfs.directory.entries import is_below_descriptor, resolved
from unionfs.directory.lower import DirectoryLayer
from unionfs.directory.work import exchange, require_whiteout_or_nothing
from unionfs.layer import Creation, Draft, Layer, LayerEntry, Ref
from unionfs.ownership import Ownership
from unionfs.syscalls.files import RENAME_EXCHANGE, RENAME_WHITEOUT, renameat2, syncfs
from unionfs.xattr_names import LAZY, NLINK

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from unionfs.directory.frozen import FrozenUpper

_new = tuple.__new__
_S_IFMT = 0o170000
_NO_WHITEOUT_RENAME = (errno.EINVAL, errno.EPERM, errno.ENOSYS, errno.EOPNOTSUPP)


class DirectoryUpper(ChangingLayer):
    """The tree at `path`, with a work directory on the same file system: see `CreatingLayer`."""

    def refuse_overlap(self, lowers: Sequence[Layer]) -> None:
        for lower in lowers:
            if isinstance(lower, DirectoryLayer):
                for mine in (self.path, self._work_path):
                    _refuse_overlap(mine, lower)

    def clean(self, kept: Collection[bytes] = ()) -> None:
        self._work.clean(kept)
        self.leaves_names = self._work.leaves_names()
        self._links.drop_leftovers()

    def announce_end(self) -> None:
        self._work.announce_end()

    def close(self) -> None:
        super().close()
        self._work.close()

    # Freezing

    def save_state(self, saved: bytes) -> None:
        """As of `layer.Freezing`."""
        from unionfs.directory.frozen import save_state

        save_state(self._work.lock_fd, saved, self._work.fd, self._store)

    def freeze(self, frozen: bytes, path: bytes) -> FrozenUpper:
        """As of `layer.Freezing`."""
        from unionfs.directory.frozen import FrozenUpper

        layer = FrozenUpper(
            frozen,
            b"",
            base_owner=self._base_owner,
            ownership=Ownership.DATA if self._as_data else Ownership.REAL,
            dirfds=self._dirs,
            store=self._store,
        )
        flags = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
        self._root = self._dirs.add_root(os.open(path, flags))
        self.path = resolved(path)
        st = os.fstat(self._dirs.fd(self._root))
        self.identity = (st.st_dev, st.st_ino)
        self._has_incomplete_files = False
        return layer

    # Removing and moving

    def remove(self, directory: Ref, name: bytes, *, is_directory: bool, whiteout: bool) -> None:
        dir_fd = self._dirs.fd(self._path_node(directory))
        if not is_directory and not whiteout:
            os.unlink(name, dir_fd=dir_fd)
            return
        mark = self._work.make_whiteout() if whiteout else None
        if whiteout and mark is None:
            self._make_whiteout_file(dir_fd, name)
        if not is_directory:
            if mark is None:
                os.unlink(name, dir_fd=dir_fd)
            else:
                os.rename(mark, name, src_dir_fd=self._work.fd, dst_dir_fd=dir_fd)
            return
        if mark is not None and exchange(self._work.fd, mark, dir_fd, name):
            self._work.discard(mark)
            return
        try:
            os.rmdir(name, dir_fd=dir_fd)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
            aside = self._work.temporary()
            os.rename(name, aside, src_dir_fd=dir_fd, dst_dir_fd=self._work.fd)
            self._work.discard(aside)
        if mark is not None:
            os.rename(mark, name, src_dir_fd=self._work.fd, dst_dir_fd=dir_fd)

    def move_to_stash(self, directory: Ref, name: bytes, stash: bytes, *, whiteout: bool) -> Ref:
        parent = self._path_node(directory)
        dir_fd = self._dirs.fd(parent)
        if whiteout and not self._work.has_device_whiteouts:
            self._make_whiteout_file(dir_fd, name)
            whiteout = False
        if whiteout:
            self._rename_leaving_whiteout(dir_fd, name, self._work.fd, stash, parent)
        else:
            os.rename(name, stash, src_dir_fd=dir_fd, dst_dir_fd=self._work.fd)
        return PathNode(self._temporaries, stash)

    def whiteout(self, directory: Ref, name: bytes) -> None:
        dir_fd = self._dirs.fd(self._path_node(directory))
        if self._work.has_device_whiteouts:
            try:
                os.mknod(name, stat.S_IFCHR, 0, dir_fd=dir_fd)
            except FileExistsError:
                return
            except OSError as error:
                if error.errno not in _NO_WHITEOUT_RENAME:
                    raise
                self._work.has_device_whiteouts = False
            else:
                return
        self._make_whiteout_file(dir_fd, name)

    def empty(self, directory: Ref, name: bytes) -> None:
        path_node = self._path_node(directory)
        dir_fd = self._dirs.fd(path_node)
        entry = self._found(PathNode(path_node, name))
        seen = entry.attributes
        creation = Creation(
            seen.mode,
            seen.uid,
            seen.gid,
            xattrs=self.xattrs(PathNode(path_node, name)),
            origin=entry.origin,
            opaque=True,
        )
        temporary = self._work.temporary()
        self._make_bare(temporary, creation, self._work.fd)
        self._apply_to_temporary(temporary, creation)
        if not exchange(self._work.fd, temporary, dir_fd, name):
            aside = self._work.temporary()
            os.rename(name, aside, src_dir_fd=dir_fd, dst_dir_fd=self._work.fd)
            os.rename(temporary, name, src_dir_fd=self._work.fd, dst_dir_fd=dir_fd)
            temporary = aside
        self._work.discard(temporary)

    def rename(
        self,
        old: tuple[Ref, bytes],
        new: tuple[Ref, bytes],
        moved: Ref,
        *,
        is_directory: bool,
        whiteout: bool,
    ) -> Ref:
        old_parent_node, new_parent_node = self._path_node(old[0]), self._path_node(new[0])
        old_fd, new_fd = self._dirs.fd(old_parent_node), self._dirs.fd(new_parent_node)
        if whiteout and not self._work.has_device_whiteouts:
            self._make_whiteout_file(old_fd, old[1])
            whiteout = False
        try:
            if whiteout:
                self._rename_leaving_whiteout(old_fd, old[1], new_fd, new[1], old_parent_node)
            else:
                os.rename(old[1], new[1], src_dir_fd=old_fd, dst_dir_fd=new_fd)
        except NotADirectoryError:
            # A directory cannot replace a whiteout, which is not a directory; but they can change
            # places.
            require_whiteout_or_nothing(new_fd, new[1])
            if not exchange(old_fd, old[1], new_fd, new[1]):
                os.unlink(new[1], dir_fd=new_fd)
                os.rename(old[1], new[1], src_dir_fd=old_fd, dst_dir_fd=new_fd)
                if whiteout:
                    self.whiteout(old_parent_node, old[1])
            elif not whiteout:
                os.unlink(old[1], dir_fd=old_fd)
        self._drop_whiteout_file(new_fd, new[1])
        return self._moved(moved, new_parent_node, new[1], is_directory=is_directory)

    def _rename_leaving_whiteout(
        self, old_fd: int, old: bytes, new_fd: int, new: bytes, old_parent_node: PathNode
    ) -> None:
        try:
            renameat2(old_fd, old, new_fd, new, RENAME_WHITEOUT)
        except OSError as error:
            if error.errno not in _NO_WHITEOUT_RENAME:
                raise
            os.rename(old, new, src_dir_fd=old_fd, dst_dir_fd=new_fd)
            self.whiteout(old_parent_node, old)

    def exchange(
        self, old: tuple[Ref, bytes], new: tuple[Ref, bytes], refs: tuple[Ref, Ref]
    ) -> tuple[Ref, Ref]:
        old_parent_node, new_parent_node = self._path_node(old[0]), self._path_node(new[0])
        old_fd, new_fd = self._dirs.fd(old_parent_node), self._dirs.fd(new_parent_node)
        renameat2(old_fd, old[1], new_fd, new[1], RENAME_EXCHANGE)
        # Which of the two is a directory does not matter here: one that is not is named by its
        # place anew.
        first = self._moved(refs[0], new_parent_node, new[1], is_directory=True)
        second = self._moved(refs[1], old_parent_node, old[1], is_directory=True)
        return first, second

    def _moved(self, ref: Ref, parent: PathNode, name: bytes, *, is_directory: bool) -> PathNode:
        path_node = self._path_node(ref)
        if not is_directory:
            return PathNode(parent, name)
        path_node.parent, path_node.name = parent, name
        return path_node

    def _make_whiteout_file(self, dir_fd: int, name: bytes) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        os.close(os.open(whiteouts.whiteout_name(name), flags, 0o600, dir_fd=dir_fd))

    # The index of files with several names below

    def index_add(self, draft: Draft, creation: Creation) -> LayerEntry:
        name = link_index.copy_name(creation.origin or 0)
        self._metadata.apply(draft.fd, creation, follow=True)
        temporary = draft.name if isinstance(draft, DirectoryDraft) else None
        if temporary is None:
            temporary = self._work.temporary()
            self._link_fd(draft.fd, self._work.fd, temporary)
        self._links.install(temporary, self._work.fd, name)
        return self._published(draft, PathNode(self._index, name), creation)

    def index_make(self, creation: Creation) -> LayerEntry:
        origin = creation.origin or 0
        if self._as_data:
            draft = self.draft()
            try:
                os.pwrite(draft.fd, creation.target, 0)
                return self.index_add(draft, creation)
            finally:
                self.discard(draft)
        name = link_index.copy_name(origin, is_special=True)
        temporary = self._work.temporary()
        self._make_bare(temporary, creation, self._work.fd)
        self._apply_to_temporary(temporary, creation)
        # Killed after this, the count is that of an object without a copy, and right.
        self._write_count(origin, b"%d" % (creation.nlink or 1))
        self._links.install(temporary, self._work.fd, name)
        st = os.stat(name, dir_fd=self._work.index_fd, follow_symlinks=False)
        self._links.add_special(st.st_ino, origin)
        return self._found(PathNode(self._index, name))

    def index_links(self, origin: int, ref: Ref | None, nlink: int) -> None:
        if nlink == 0 or ref is None:
            self._links.remove_special(origin)
        if nlink == 0:
            self._links.remove(link_index.copy_name(origin))
        elif ref is None:
            self._write_count(origin, b"%d" % nlink)
        else:
            path, follow = self._path(self._path_node(ref))
            st = os.stat(path, follow_symlinks=follow)
            count = link_index.format_count(nlink, st.st_nlink)
            if link_index.is_special(st):
                self._write_count(origin, count)
                return
            try:
                self._store.set(path, NLINK, count, follow=follow)
            except PermissionError:
                with MadeWritable(path):
                    self._store.set(path, NLINK, count, follow=follow)

    def _write_count(self, origin: int, count: bytes) -> None:
        temporary = self._work.temporary()
        os.symlink(count, temporary, dir_fd=self._work.fd)
        self._links.install(temporary, self._work.fd, link_index.copy_name(origin))

    def release_number(self, ino: int) -> None:
        self._links.release(ino)

    # Changes of metadata of files that only a lower has

    def metadata_log(self) -> bytes:
        return self._work.metadata_log()

    def append_metadata_log(self, data: bytes) -> None:
        self._work.append_metadata_log(data)

    def append_first_seen(self, data: bytes) -> None:
        self._work.append_first_seen(data)

    def append_base(self, data: bytes) -> None:
        self._work.append_base(data)

    def replace_metadata_log(self, data: bytes) -> None:
        self._work.replace_metadata_log(data)

    # Files whose data are still in a lower

    def mark_lazy(self, fd: int, mark: bytes | None) -> None:
        path = b"/proc/self/fd/%d" % fd

        def change() -> None:
            if mark is None:
                self._store.remove(path, LAZY)
            else:
                self._store.set(path, LAZY, mark)
                # Without the mark the missing blocks would be read as zeros.
                self._store.sync()

        try:
            change()
        except PermissionError:
            with MadeWritable(path):
                change()

    def set_required_lowers(self, fingerprint: bytes | None) -> None:
        path = b"/proc/self/fd/%d" % self._dirs.fd(self._root)
        self._has_incomplete_files = fingerprint is not None
        if fingerprint is not None:
            self._store.set(path, LAZY, fingerprint)
        elif self.required_lowers() is not None:
            self._store.remove(path, LAZY)

    def incomplete_files(self) -> Iterator[LayerEntry]:
        below = [self._root, self._index]
        while below:
            for _, entry in self.listing(below.pop()):
                if stat.S_ISDIR(entry.attributes.mode):
                    below.append(self._path_node(entry.ref))
                elif entry.lazy is not None:
                    yield entry

    # The whole

    def open_directory(self, ref: Ref) -> int:
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
        return os.open(b".", flags, dir_fd=self._dirs.fd(self._path_node(ref)))

    def sync(self) -> None:
        self._store.sync()
        syncfs(self._work.fd)

    def sync_attributes(self) -> None:
        self._store.sync()


def _refuse_overlap(mine: bytes, lower: DirectoryLayer) -> None:
    if is_below_descriptor(mine):
        return  # what is mounted nowhere is below no directory
    inside = is_within(mine, lower.path)
    if inside:
        at = mine
        while at != lower.path:
            st = os.stat(at)
            if lower.is_hidden((st.st_dev, st.st_ino)):
                return
            at = os.path.dirname(at)
    if inside or is_within(lower.path, mine):
        raise OSError(
            errno.EINVAL,
            f"upper {os.fsdecode(mine)} and lower {os.fsdecode(lower.path)} overlap",
        )
