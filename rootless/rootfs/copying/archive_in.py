"""Extracts a tar archive below a directory of a container."""

from __future__ import annotations

import os
import stat
import tarfile
from collections.abc import Callable
from typing import TYPE_CHECKING, BinaryIO

from rootless.durable import write_all
from rootless.errors import RootlessError
from rootless.rootfs.copying.object import (
    Metadata,
    apply,
    id_inside,
    make_named,
    make_special,
    make_symlink,
)
from rootless.rootfs.copying.places import Tree
from rootless.rootfs.copying.records import record_owner
from rootless.rootfs.copying.tree import TreeCopy

if TYPE_CHECKING:
    from rootless.runtime.idmap import IdMaps

_PIECE = 1 << 20
_DIRECTORY = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
_PLACE = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
_SET_ID = stat.S_ISUID | stat.S_ISGID
_XATTR = "SCHILY.xattr."


def extract_archive(
    archive: BinaryIO, tree: Tree, path: str, maps: IdMaps, *, with_records: bool = False
) -> int:
    """Make files of the members of a tar archive, compressed or not, in a directory; returns the bytes of
    the archive. Raises RootlessError, OSError.

    Args:
        with_records: store the owners of the archive where the file system shows one id only
            (`unionfs.xattr_names.OWNER`).
    """
    shown = f"{tree.container}:{path}"
    try:
        directory = os.fstat(place := tree.open(path))
    except OSError:
        raise RootlessError(f'destination "{shown}" must be a directory') from None
    if not stat.S_ISDIR(directory.st_mode):
        raise RootlessError(f'destination "{shown}" must be a directory')
    os.close(place)
    try:
        with tarfile.open(fileobj=archive, mode="r|*", errorlevel=2) as members:
            _Extraction(tree, path, maps, members, with_records=with_records).run()
            return members.offset
    except tarfile.ReadError as error:
        if str(error) == "empty file":
            return 0
        raise RootlessError(f"cannot read the archive: {error}") from error


class _Extraction:
    """Members of an archive that become files below a directory of the container."""

    def __init__(
        self, tree: Tree, path: str, maps: IdMaps, members: tarfile.TarFile, *, with_records: bool
    ) -> None:
        self._tree = tree
        self._path = path
        self._maps = maps
        self._members = members
        self._with_records = with_records
        self._copy = TreeCopy(lambda _: None)
        self._directories: list[tuple[str, Metadata]] = []

    def run(self) -> None:
        for member in self._members:
            name = os.path.normpath(member.name.lstrip("/"))
            if name == ".." or name.startswith("../"):
                raise RootlessError(f"the archive has a member outside of itself: {member.name}")
            if name != ".":
                self._extract(member, name)
            elif member.isdir():
                self._directories.append((".", self._metadata(member)))
                self._record_owner(member, self._path)
        for name, metadata in reversed(self._directories):
            directory = self._open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            apply(directory, metadata, with_mode=True)
            os.close(directory)

    def _open(self, name: str, flags: int = _DIRECTORY) -> int:
        return self._tree.open(f"{self._path}/{name}", flags)

    def _extract(self, member: tarfile.TarInfo, path: str) -> None:
        parent, name = os.path.split(path)
        directory = self._parent(parent)
        try:
            metadata = self._metadata(member)
            if member.isdir():
                _make_directory(directory, name)
                self._directories.append((path, metadata))
            elif member.isreg():
                self._copy.write_file(directory, name, metadata, self._filler(member))
            elif member.islnk():
                self._link(member, directory, name)
            elif member.issym():
                make_symlink(member.linkname, metadata, directory, name)
            else:
                kind = (
                    stat.S_IFIFO
                    if member.isfifo()
                    else stat.S_IFCHR
                    if member.ischr()
                    else stat.S_IFBLK
                )
                device = os.makedev(member.devmajor, member.devminor)
                make_special(kind | metadata.mode, device, metadata, directory, name)
            if not member.islnk():
                self._record_owner(member, f"{self._path}/{path}")
        finally:
            os.close(directory)

    def _record_owner(self, member: tarfile.TarInfo, path: str) -> None:
        if not self._with_records:
            return
        place = self._tree.open(path, _PLACE)
        try:
            record_owner(place, member.uid, member.gid)
            if member.isreg() and member.mode & _SET_ID:
                os.chmod(f"/proc/self/fd/{place}", member.mode)  # chown(2) takes them away
        finally:
            os.close(place)

    def _parent(self, path: str) -> int:
        try:
            return self._open(path)
        except FileNotFoundError:
            above, name = os.path.split(path)
            if not name:
                raise
        directory = self._parent(above)
        try:
            os.mkdir(name, 0o755, dir_fd=directory)
        finally:
            os.close(directory)
        return self._open(path)

    def _link(self, member: tarfile.TarInfo, directory: int, name: str) -> None:
        first, first_name = os.path.split(os.path.normpath(member.linkname.lstrip("/")))
        place = self._open(first)
        try:
            make_named(
                lambda new: os.link(
                    first_name,
                    new,
                    src_dir_fd=place,
                    dst_dir_fd=directory,
                    follow_symlinks=False,
                ),
                directory,
                name,
            )
        finally:
            os.close(place)

    def _filler(self, member: tarfile.TarInfo) -> Callable[[int], None]:
        def fill(copied: int) -> None:
            file = self._members.extractfile(member)
            assert file is not None  # of a regular file
            left = member.size
            while left:
                data = file.read(min(_PIECE, left))
                if not data:
                    raise RootlessError("cannot read the archive: unexpected end of data")
                left -= len(data)
                if data.count(0) == len(data):
                    os.lseek(copied, len(data), os.SEEK_CUR)
                else:
                    write_all(copied, data)
            os.ftruncate(copied, member.size)

        return fill

    def _metadata(self, member: tarfile.TarInfo) -> Metadata:
        owner = (
            id_inside(member.uid, self._maps.uids, self._maps.root[0]),
            id_inside(member.gid, self._maps.gids, self._maps.root[1]),
        )
        time = _nanoseconds(member)
        xattrs = {
            key.removeprefix(_XATTR): value.encode("utf-8", "surrogateescape")
            for key, value in member.pax_headers.items()
            if key.startswith(_XATTR)
        }
        return Metadata(
            stat.S_IMODE(member.mode),
            None if owner == (os.geteuid(), os.getegid()) else owner,
            time,
            time,
            xattrs,
        )


def _nanoseconds(member: tarfile.TarInfo) -> int:
    """The time of a member; the header of pax has it as a decimal number."""
    text = member.pax_headers.get("mtime")
    if text is None:
        return int(member.mtime) * 1_000_000_000
    whole, _, fraction = text.partition(".")
    value = abs(int(whole)) * 1_000_000_000 + int(fraction[:9].ljust(9, "0"))
    return -value if text.startswith("-") else value


def _make_directory(directory: int, name: str) -> None:
    try:
        os.mkdir(name, 0o700, dir_fd=directory)
    except FileExistsError:
        found = os.stat(name, dir_fd=directory, follow_symlinks=False)
        if not stat.S_ISDIR(found.st_mode):
            raise RootlessError(
                f'cannot overwrite non-directory "{name}" with directory "{name}"'
            ) from None
