"""Copies files between two directories that are open: contents, holes, modes, times, extended
attributes, hard links and symbolic links.

A file has no name before it is complete (O_TMPFILE), or a name of its own where the file system has
no such files, and a directory that is new has another name before it is: who looks sees whole files
only. Below a directory with such a name, small files are made under their own names at once: that
takes a file server half the requests.
"""

from __future__ import annotations

import errno
import os
import stat

from rootless.errors import RootlessError
from rootless.rootfs.copying.data import SMALL, copy_data
from rootless.rootfs.copying.object import (
    FileMaker,
    Metadata,
    apply,
    make_named,
    make_special,
    make_symlink,
    replace,
    temporary_name,
    xattrs_of,
)
from rootless.rootfs.copying.source import SourceDirectory, opened_file
from rootless.syscalls.openat2 import RESOLVE_BENEATH, RESOLVE_NO_SYMLINKS, openat2

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from rootless.rootfs.copying.prepared import PreparedCopy, Workspace
    from rootless.rootfs.copying.source import SourceFile
    from rootless.rootfs.copying.upper_files import UpperFiles

_SET_ID = stat.S_ISUID | stat.S_ISGID
_NO_TMPFILE = frozenset({errno.EOPNOTSUPP, errno.EISDIR, errno.ENOENT, errno.EINVAL})
_NOT_ADOPTED = frozenset({errno.EOPNOTSUPP, errno.ENOENT, errno.EINVAL})
_LIST = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_BLOCK = 512


class TreeCopy:
    """One copy. `owner_of` gives the owner in the destination; `size` is the length of the tar archive
    that has the same members, as docker shows it. With a `workspace`, new directories are prepared in
    it; with `upper_files`, files of a container are read there where they can be."""

    def __init__(
        self,
        owner_of: Callable[[os.stat_result], tuple[int, int] | None],
        workspace: Workspace | None = None,
        upper_files: UpperFiles | None = None,
    ) -> None:
        self._owner_of = owner_of
        self._upper_files = upper_files
        self._workspace = workspace
        self._links: dict[tuple[int, int], tuple[int, str, str]] = {}
        self._unnamed = True
        self._top = -1
        self._maker = FileMaker()
        self.size = 2 * _BLOCK

    def copy(self, place: int, directory: int, name: str | None) -> None:
        """Copy what `place` is an O_PATH descriptor of to `name` in `directory`; without a name the
        contents of a directory into it. Raises OSError, RootlessError."""
        found = os.fstat(place)
        self._top = top = os.open(".", _LIST, dir_fd=directory)
        try:
            if name is None:
                source = SourceDirectory.reopen(place, self._upper_files)
                self._copy_children(source, top, "", is_new=False)
                self._finish(top, found, source)
                source.close()
            elif stat.S_ISDIR(found.st_mode):
                source = SourceDirectory.reopen(place, self._upper_files)
                self._copy_directory(source, top, name, name, is_new=False)
            elif stat.S_ISREG(found.st_mode):
                # A link of procfs to the descriptor: no path is walked.
                opened = os.open(f"/proc/self/fd/{place}", os.O_RDONLY | os.O_CLOEXEC)
                self._copy_file(opened_file(opened), top, name, is_new=False)
            elif stat.S_ISLNK(found.st_mode):
                self._make_symlink(os.readlink("", dir_fd=place), found, top, name)
            else:
                self._make_special(found, top, name)
        finally:
            os.close(top)

    def _copy_children(
        self, source: SourceDirectory, directory: int, path: str, *, is_new: bool
    ) -> None:
        """`is_new`: the directory was made by this copy, and is below one with a temporary name."""
        for name in source.names():
            try:
                found = os.stat(name, dir_fd=source.descriptor, follow_symlinks=False)
                self._copy_child(source, name, found, directory, f"{path}{name}", is_new=is_new)
            except FileNotFoundError:
                if _exists(source.descriptor, name):
                    raise
                # It was removed meanwhile.

    def _copy_child(
        self,
        source: SourceDirectory,
        name: str,
        found: os.stat_result,
        directory: int,
        path: str,
        *,
        is_new: bool,
    ) -> None:
        mode = found.st_mode
        if stat.S_ISDIR(mode):
            self._copy_directory(source.enter(name), directory, name, path, is_new=is_new)
            return
        if found.st_nlink > 1 and self._link(found, directory, name):
            return
        if stat.S_ISREG(mode):
            self._copy_file(source.open_file(name, found), directory, name, is_new=is_new)
        elif stat.S_ISLNK(mode):
            target = os.readlink(name, dir_fd=source.descriptor)
            self._make_symlink(target, found, directory, name)
        else:
            self._make_special(found, directory, name)
        if found.st_nlink > 1:
            copied = os.stat(name, dir_fd=directory, follow_symlinks=False)
            self._links[found.st_dev, found.st_ino] = (copied.st_ino, os.path.dirname(path), name)

    def _link(self, found: os.stat_result, directory: int, name: str) -> bool:
        """Make a further name of a file that was copied; False if it was not, or is not there."""
        first = self._links.get((found.st_dev, found.st_ino))
        if first is None:
            return False
        ino, parent, first_name = first
        try:
            place = openat2(
                self._top, parent or ".", _LIST, resolve=RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS
            )
        except OSError:
            return False
        try:
            if os.stat(first_name, dir_fd=place, follow_symlinks=False).st_ino != ino:
                return False
            make_named(
                lambda new: os.link(
                    first_name, new, src_dir_fd=place, dst_dir_fd=directory, follow_symlinks=False
                ),
                directory,
                name,
            )
        except FileNotFoundError:
            return False
        finally:
            os.close(place)
        self.size += _BLOCK
        return True

    def _copy_directory(
        self, source: SourceDirectory, parent: int, name: str, path: str, *, is_new: bool
    ) -> None:
        """Closes `source`."""
        try:
            if is_new:
                os.mkdir(name, 0o700, dir_fd=parent)
                self._fill_directory(source, parent, name, path, is_new=True)
            elif _exists(parent, name):
                if not stat.S_ISDIR(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode):
                    raise RootlessError(
                        f'cannot overwrite non-directory "{path}" with directory "{path}"'
                    )
                self._fill_directory(source, parent, name, path, is_new=False)
            else:
                self._make_directory(source, parent, name, path)
        finally:
            source.close()
        self.size += _BLOCK

    def _make_directory(self, source: SourceDirectory, parent: int, name: str, path: str) -> None:
        """A directory that has its name once it is complete, or when it can be no further."""
        temporary = temporary_name()
        hidden = os.path.join(os.path.dirname(path), temporary)
        # A link to a file that was copied before can only be made by a request.
        prepared = None if self._links else self._prepare(source, parent, temporary)
        try:
            if prepared is None:
                os.mkdir(temporary, 0o700, dir_fd=parent)
        except OSError as error:
            raise OSError(error.errno, error.strerror, name) from None
        try:
            if prepared is None:
                self._fill_directory(source, parent, temporary, hidden, is_new=True)
            else:
                self._complete(prepared, source, parent, temporary, hidden)
        finally:
            os.rename(temporary, name, src_dir_fd=parent, dst_dir_fd=parent)
            for key, (ino, place, first) in self._links.items():
                if f"{place}/".startswith(f"{hidden}/"):
                    self._links[key] = (ino, path + place[len(hidden) :], first)

    def _prepare(self, source: SourceDirectory, parent: int, name: str) -> PreparedCopy | None:
        """Make a directory in one step under a name that is not to be seen yet; None if that cannot be.
        One whose copy fails gets the name, too."""
        tree = None if self._workspace is None else self._workspace.begin(parent)
        if tree is None:
            return None
        from rootless.rootfs.copying.prepared import PreparedCopy

        own = os.geteuid(), os.getegid()
        prepared = PreparedCopy(tree, lambda found: self._owner_of(found) or own)
        try:
            try:
                prepared.fill(source.descriptor)
            except (OSError, RootlessError) as error:
                prepared.failure = error
            try:
                tree.adopt(parent, os.fsencode(name))
            except OSError as error:
                if error.errno not in _NOT_ADOPTED:
                    raise
                return None
        finally:
            tree.close()
        return prepared

    def _complete(
        self, prepared: PreparedCopy, source: SourceDirectory, parent: int, name: str, path: str
    ) -> None:
        """Make by requests what could not be prepared."""
        self.size += prepared.size
        if prepared.failure is not None:
            raise prepared.failure
        if not prepared.links and not prepared.left:
            return
        top = os.open(name, _LIST, dir_fd=parent)
        try:
            for key, first in prepared.links.items():
                place, last = os.path.split(os.fsdecode(first))
                ino = os.stat(os.fsdecode(first), dir_fd=top, follow_symlinks=False).st_ino
                self._links[key] = (ino, os.path.join(path, place) if place else path, last)
            for below, names in prepared.left.items():
                self._complete_directory(source.descriptor, top, os.fsdecode(below), names, path)
        finally:
            os.close(top)

    def _complete_directory(
        self, source: int, top: int, below: str, names: list[bytes], path: str
    ) -> None:
        resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS
        entered = SourceDirectory(openat2(source, below or ".", _LIST, resolve=resolve))
        try:
            directory = openat2(top, below or ".", _LIST, resolve=resolve)
            try:
                for encoded in names:
                    name = os.fsdecode(encoded)
                    found = os.stat(name, dir_fd=entered.descriptor, follow_symlinks=False)
                    where = f"{path}/{below}{name}"
                    self._copy_child(entered, name, found, directory, where, is_new=True)
                self._finish(directory, os.fstat(entered.descriptor), entered)
            finally:
                os.close(directory)
        finally:
            entered.close()

    def _fill_directory(
        self, source: SourceDirectory, parent: int, name: str, path: str, *, is_new: bool
    ) -> None:
        directory = os.open(name, _LIST, dir_fd=parent)
        try:
            self._copy_children(source, directory, f"{path}/", is_new=is_new)
            self._finish(directory, os.fstat(source.descriptor), source)
        finally:
            os.close(directory)

    def _finish(self, copied: int, found: os.stat_result, source: SourceDirectory) -> None:
        xattrs = xattrs_of(source.descriptor)
        apply(copied, self._metadata(found, xattrs), with_mode=True)

    def _metadata(self, found: os.stat_result, xattrs: dict[str, bytes]) -> Metadata:
        return Metadata(
            stat.S_IMODE(found.st_mode),
            self._owner_of(found),
            found.st_atime_ns,
            found.st_mtime_ns,
            xattrs,
        )

    def _copy_file(self, source: SourceFile, directory: int, name: str, *, is_new: bool) -> None:
        """Closes `source`."""
        found = source.found
        try:
            if not stat.S_ISREG(found.st_mode):
                return  # something else has taken its place
            metadata = self._metadata(found, source.xattrs)

            def fill(copied: int) -> None:
                copy_data(source.descriptor, found, copied)

            if is_new and found.st_size <= SMALL:
                self._make_file(directory, name, metadata, fill)
            else:
                self.write_file(directory, name, metadata, fill)
        finally:
            os.close(source.descriptor)
        self.size += _BLOCK + -(-found.st_size // _BLOCK) * _BLOCK

    def _make_file(
        self, directory: int, name: str, metadata: Metadata, fill: Callable[[int], None]
    ) -> None:
        """A file in a directory that is not to be seen yet."""
        flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC
        copied, is_owner = self._maker.open(name, flags, metadata, directory)
        try:
            if is_owner:
                metadata = metadata._replace(owner=None)
            elif metadata.owner is not None:
                os.fchown(copied, *metadata.owner)
            fill(copied)
            apply(copied, metadata, with_mode=metadata.mode & _SET_ID != 0)
        except BaseException:
            os.unlink(name, dir_fd=directory)
            raise
        finally:
            os.close(copied)

    def write_file(
        self, directory: int, name: str, metadata: Metadata, fill: Callable[[int], None]
    ) -> None:
        """A file that has its name once `fill` has written it to a descriptor and it is complete."""
        copied, temporary = self._new_file(directory, name, metadata.mode)
        try:
            # Before the data: a change of owner makes the kernel write out what it has of a file, and its
            # times.
            if metadata.owner is not None:
                os.fchown(copied, *metadata.owner)
            fill(copied)
            rest = metadata._replace(owner=None)
            apply(copied, rest, with_mode=metadata.mode & _SET_ID != 0)
            if temporary is not None:
                replace(temporary, directory, name)
                temporary = None
            else:
                # As linkat(2) shows for a file of O_TMPFILE.
                link = f"/proc/self/fd/{copied}"
                make_named(lambda new: _link_open_file(link, new, directory), directory, name)
        finally:
            os.close(copied)
            if temporary is not None:
                os.unlink(temporary, dir_fd=directory)

    def _new_file(self, directory: int, name: str, mode: int) -> tuple[int, str | None]:
        if self._unnamed:
            try:
                flags = os.O_TMPFILE | os.O_WRONLY | os.O_CLOEXEC
                return os.open(".", flags, mode & 0o777, dir_fd=directory), None
            except OSError as error:
                if error.errno not in _NO_TMPFILE:
                    raise OSError(error.errno, error.strerror, name) from None
                self._unnamed = False
        temporary = temporary_name()
        flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC
        return os.open(temporary, flags, mode & 0o777, dir_fd=directory), temporary

    def _make_symlink(self, target: str, found: os.stat_result, directory: int, name: str) -> None:
        make_symlink(target, self._metadata(found, {}), directory, name)
        self.size += _BLOCK

    def _make_special(self, found: os.stat_result, directory: int, name: str) -> None:
        if stat.S_ISSOCK(found.st_mode):
            return  # left out, as by tar(1)
        make_special(found.st_mode, found.st_rdev, self._metadata(found, {}), directory, name)
        self.size += _BLOCK


def _link_open_file(link: str, name: str, directory: int) -> None:
    os.link(link, name, dst_dir_fd=directory, follow_symlinks=True)


def _exists(directory: int, name: str) -> bool:
    try:
        os.stat(name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True
