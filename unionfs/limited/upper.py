"""An upper with a quota: counts each change, and refuses one that would exceed the limit.

Writes go to open files directly: `unionfs.limited.union` measures those.
"""

from __future__ import annotations

import os
import stat

from unionfs import whiteouts
from unionfs.directory import link_index
from unionfs.directory.creating import DirectoryDraft
from unionfs.directory.dirfds import PathNode
from unionfs.directory.upper import DirectoryUpper
from unionfs.layer import Creation, Draft, LayerEntry, Ref
from unionfs.limited.quota import Quota
from unionfs.model import Attributes
from unionfs.ownership import Owner, Ownership

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from unionfs.directory.frozen import FrozenUpper

_BLOCK = 4096
"""What a new directory takes."""


class LimitedUpper(DirectoryUpper):
    """As `DirectoryUpper`. `quota` is filled by `clean`, which reads the whole tree."""

    def __init__(
        self,
        path: bytes,
        work: bytes,
        *,
        ownership: Ownership,
        quota: Quota,
        base_owner: tuple[int, int] = (0, 0),
    ) -> None:
        super().__init__(path, work, ownership=ownership, base_owner=base_owner)
        self.quota = quota
        self.takes_prepared_trees = False  # nothing has counted what is in one
        self.nameless: list[int] = []
        """Inodes that have lost their last name in the operation under way, and may be open."""

    def clean(self, kept: Collection[bytes] = ()) -> None:
        super().clean(kept)
        for status in self._everything():
            self.quota.charge(status)

    def _everything(self) -> Iterator[os.stat_result]:
        yield os.fstat(self._dirs.fd(self._root))
        below = [self._root]
        while below:
            directory = below.pop()
            try:
                fd, is_ours = self._dirs.reader(directory)
            except PermissionError:
                continue  # owners are real, and this one took the right from themselves
            try:
                with os.scandir(fd) as entries:
                    for item in entries:
                        status = item.stat(follow_symlinks=False)
                        name = os.fsencode(item.name)
                        if _is_whiteout(status) or name.startswith(whiteouts.PREFIX):
                            continue
                        if stat.S_ISDIR(status.st_mode):
                            below.append(PathNode(directory, name))
                        yield status
            finally:
                if is_ours:
                    os.close(fd)
        with os.scandir(self._work.fd) as entries:
            for item in entries:
                yield item.stat(follow_symlinks=False)
        with os.scandir(self._work.index_fd) as entries:
            for item in entries:
                if item.name[0] == "s" or not item.is_symlink():
                    yield item.stat(follow_symlinks=False)

    def freeze(self, frozen: bytes, path: bytes) -> FrozenUpper:
        """Freeze the upper; its usage still counts."""
        layer = super().freeze(frozen, path)
        self.quota.charge(os.fstat(self._dirs.fd(self._root)))
        return layer

    # Making

    def create(
        self, directory: Ref, name: bytes, mode: int, uid: int, gid: int
    ) -> tuple[Ref, Attributes, int]:
        self.quota.require_inode()
        made = super().create(directory, name, mode, uid, gid)
        self._charge_new(os.fstat(made[2]))
        return made

    def make(self, directory: Ref, name: bytes, creation: Creation) -> LayerEntry:
        self.quota.require_inode()
        if stat.S_ISDIR(creation.mode):
            self.quota.require_room(_BLOCK)
        entry = super().make(directory, name, creation)
        self._charge_name(self._path_node(directory), name)
        return entry

    def link(self, ref: Ref | None, fd: int, directory: Ref, name: bytes) -> Ref:
        self.quota.require_name()
        return super().link(ref, fd, directory, name)

    def draft(self, length: int = 0) -> DirectoryDraft:
        self.quota.require_inode()
        self.quota.require_room(length)
        return super().draft(length)

    def publish(self, draft: Draft, directory: Ref, name: bytes, creation: Creation) -> LayerEntry:
        self._require_room(draft)
        entry = super().publish(draft, directory, name, creation)
        self._charge_new(os.fstat(draft.fd))
        return entry

    def publish_unnamed(self, draft: Draft, creation: Creation) -> Attributes:
        self._require_room(draft)
        attributes = super().publish_unnamed(draft, creation)
        self._charge_new(os.fstat(draft.fd))
        return attributes

    def index_add(self, draft: Draft, creation: Creation) -> LayerEntry:
        self._require_room(draft)
        entry = super().index_add(draft, creation)
        self._charge_new(os.fstat(draft.fd))
        return entry

    def index_make(self, creation: Creation) -> LayerEntry:
        self.quota.require_inode()
        entry = super().index_make(creation)
        path_node = self._path_node(entry.ref)
        if path_node.parent is not None:
            self._charge_name(path_node.parent, path_node.name)
        return entry

    def _require_room(self, draft: Draft) -> None:
        """Before a file that has been filled becomes part of the tree."""
        self.quota.require_room(os.fstat(draft.fd).st_blocks * 512)

    # Removing and replacing

    def remove(self, directory: Ref, name: bytes, *, is_directory: bool, whiteout: bool) -> None:
        status = self._status(self._path_node(directory), name)
        super().remove(directory, name, is_directory=is_directory, whiteout=whiteout)
        self._note_lost(status)

    def move_to_stash(self, directory: Ref, name: bytes, stash: bytes, *, whiteout: bool) -> Ref:
        status = self._status(self._path_node(directory), name)
        ref = super().move_to_stash(directory, name, stash, whiteout=whiteout)
        if status is not None and status.st_nlink == 1:
            self.quota.leave(status.st_ino)
        return ref

    def rename(
        self,
        old: tuple[Ref, bytes],
        new: tuple[Ref, bytes],
        moved: Ref,
        *,
        is_directory: bool,
        whiteout: bool,
    ) -> Ref:
        replaced = self._status(self._path_node(new[0]), new[1])
        ref = super().rename(old, new, moved, is_directory=is_directory, whiteout=whiteout)
        self._note_lost(replaced)
        return ref

    def empty(self, directory: Ref, name: bytes) -> None:
        parent = self._path_node(directory)
        replaced = self._status(parent, name)
        super().empty(directory, name)
        self._note_lost(replaced)
        self._charge_name(parent, name)

    def make_ownable(self, ref: Ref, known: Owner, ino: int) -> None:
        path_node = self._path_node(ref)
        parent, name = path_node.parent, path_node.name
        replaced = None if parent is None else self._status(parent, name)
        super().make_ownable(ref, known, ino)
        if parent is None or replaced is None:
            return
        now = self._status(parent, name)
        if now is not None and now.st_ino != replaced.st_ino:
            self.quota.release(replaced.st_ino)
            self._charge_new(now)

    def drop_stash(self, ref: Ref) -> None:
        path_node = self._path_node(ref)
        status = (
            None if path_node.parent is None else self._status(path_node.parent, path_node.name)
        )
        super().drop_stash(ref)
        if status is not None and status.st_nlink == 1:
            self.quota.release(status.st_ino)

    def index_links(self, origin: int, ref: Ref | None, nlink: int) -> None:
        copy = special = None
        if nlink == 0:
            copy = self._status(self._index, link_index.copy_name(origin))
            special = self._status(self._index, link_index.copy_name(origin, is_special=True))
        super().index_links(origin, ref, nlink)
        if copy is not None and not stat.S_ISLNK(copy.st_mode):  # a link only holds a count
            self._note_lost(copy)
        self._note_lost(special)

    def _note_lost(self, status: os.stat_result | None) -> None:
        """A name of this inode is gone."""
        if status is None or _is_whiteout(status):
            return
        if stat.S_ISDIR(status.st_mode):
            self.quota.release(status.st_ino)
        elif status.st_nlink == 1:
            self.nameless.append(status.st_ino)

    # Measuring

    def refresh(self, ref: Ref | None, fd: int, known: Attributes) -> Attributes:
        fresh = super().refresh(ref, fd, known)
        if fd >= 0:
            self.quota.charge(os.fstat(fd))
        else:
            path_node = self._path_node(ref)
            if stat.S_ISDIR(known.mode) or path_node.parent is None:
                self.quota.charge(os.fstat(self._dirs.fd(path_node)))
            else:
                self._charge_name(path_node.parent, path_node.name)
        return fresh

    def _charge_new(self, status: os.stat_result) -> None:
        """An inode has been made. It may have the number of one that was freed a moment ago."""
        if status.st_ino in self.nameless:
            self.nameless.remove(status.st_ino)
            self.quota.release(status.st_ino)
        self.quota.charge(status)

    def _charge_name(self, directory: PathNode, name: bytes) -> None:
        status = self._status(directory, name)
        if status is not None:
            self._charge_new(status)

    def _status(self, directory: PathNode, name: bytes) -> os.stat_result | None:
        try:
            return os.stat(name, dir_fd=self._dirs.fd(directory), follow_symlinks=False)
        except FileNotFoundError:
            return None


def _is_whiteout(status: os.stat_result) -> bool:
    return whiteouts.is_device_whiteout(status.st_mode, status.st_rdev)
