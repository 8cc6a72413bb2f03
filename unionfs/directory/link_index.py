"""The index of an upper: its records of objects of the lowers with several names, and the inode numbers that it
reserves.

It is a directory, `rootless.index` in the work directory. Numbers in names are hexadecimal.

`NUMBER`, a regular file
    The copy of a file with this `st_ino`, for all of its names: those in the upper are hard links to
    it. `user.rootless.nlink` has the count of names.
`NUMBER`, a symbolic link
    Its target is the count of names of an object of which there is no copy, or only an `sNUMBER`.
`sNUMBER`, anything but a regular file or directory
    As the first, of an object that cannot have attributes on disk.
`rNUMBER`, a symbolic link
    Holds the inode of this number on disk, so that no other file gets it: an object of the upper
    that was stored anew is still shown with it.

A count is `COUNT=LINKS`: the number of names in the union when the copy had this many links on disk.
A server that is killed between a change and its count leaves a copy with another number of links; the
difference is added. (`COUNT` alone stands for itself.)
"""

from __future__ import annotations

import os
import stat

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

DIRECTORY = b"rootless.index"
_SPECIAL, _RETIRED = b"s", b"r"


def format_count(nlink: int, disk_nlink: int) -> bytes:
    return b"%d=%d" % (nlink, disk_nlink)


def parse_count(value: bytes, disk_nlink: int) -> int | None:
    """The count of names that `value` gives for a copy with `disk_nlink` links on disk; None if
    it does not follow the grammar."""
    count, _, links = value.partition(b"=")
    if not count.isdigit() or not (links.isdigit() or links == b""):
        return None
    return int(count) + (disk_nlink - int(links) if links else 0)


def copy_name(origin: int, *, is_special: bool = False) -> bytes:
    """The name in the index of the copy of an object with this `st_ino`."""
    return (_SPECIAL if is_special else b"") + b"%x" % origin


def retired_name(number: int) -> bytes:
    return _RETIRED + b"%x" % number


class LinkIndex:
    """The contents of the directory `fd` at the time of the call; None: no index.

    counts: by `st_ino`, the names that an object of the lowers has left; None: see its copy.
    specials: the `st_ino` of each copy that is not a regular file, by its number on disk.
    retired: the numbers that are held back.
    """

    def __init__(self, fd: int | None) -> None:
        self._fd = -1 if fd is None else fd
        self.counts: dict[int, int | None] = {}
        self.specials: dict[int, int] = {}
        self.retired: set[int] = set()
        self._special_numbers: dict[int, int] = {}
        if fd is not None:
            with os.scandir(fd) as entries:
                self._read(fd, entries)

    def _read(self, fd: int, entries: Iterable[os.DirEntry[str]]) -> None:
        copies = []
        for item in entries:
            prefix, digits = ("", item.name)
            if item.name[0] in "sr":
                prefix, digits = item.name[0], item.name[1:]
            try:
                number = int(digits, 16)
            except ValueError:
                continue
            if prefix == "r":
                self.retired.add(number)
            elif prefix == "s":
                self.add_special(item.inode(), number)
                copies.append(number)
            elif item.is_symlink():
                self.counts[number] = parse_count(os.readlink(os.fsencode(item.name), dir_fd=fd), 0)
            else:
                copies.append(number)
        self.counts.update(dict.fromkeys(copies))

    def add_special(self, disk_ino: int, origin: int) -> None:
        self.specials[disk_ino] = origin
        self._special_numbers[origin] = disk_ino

    def drop_special(self, origin: int) -> bool:
        """Forget such a copy. Returns whether there was one."""
        disk_ino = self._special_numbers.pop(origin, None)
        return disk_ino is not None and self.specials.pop(disk_ino, None) is not None

    def has_special(self, origin: int) -> bool:
        return origin in self._special_numbers

    def special_count(self, origin: int, disk_nlink: int) -> int | None:
        """The count of names of an object with an `sNUMBER` copy."""
        try:
            value = os.readlink(copy_name(origin), dir_fd=self._fd)
        except OSError:
            return None
        return parse_count(value, disk_nlink)

    def remove_special(self, origin: int) -> None:
        """Remove an `sNUMBER` copy, if there is one."""
        if self.drop_special(origin):
            self.remove(copy_name(origin, is_special=True))

    def install(self, temporary: bytes, directory: int, name: bytes) -> None:
        """Give an object of a directory on the same file system this name in the index."""
        os.rename(temporary, name, src_dir_fd=directory, dst_dir_fd=self._fd)

    def remove(self, name: bytes) -> None:
        """Remove a name of the index, if it is there."""
        try:
            os.unlink(name, dir_fd=self._fd)
        except FileNotFoundError:
            pass

    def retire(self, directory: int, name: bytes, number: int) -> None:
        """Hold back the number of an inode that is about to lose its name."""
        try:
            os.link(
                name,
                retired_name(number),
                src_dir_fd=directory,
                dst_dir_fd=self._fd,
                follow_symlinks=False,
            )
        except FileExistsError:
            pass
        self.retired.add(number)

    def release(self, number: int) -> None:
        """Hold a number back no longer, if it was."""
        if number in self.retired:
            self.remove(retired_name(number))
            self.retired.discard(number)

    def drop_leftovers(self) -> None:
        """Remove a number held back for an object that was not stored anew in the end: the server was
        killed in between."""
        for number in list(self.retired):
            name = retired_name(number)
            if os.stat(name, dir_fd=self._fd, follow_symlinks=False).st_nlink > 1:
                os.unlink(name, dir_fd=self._fd)
                self.retired.discard(number)


def is_special(status: os.stat_result) -> bool:
    """Whether a copy that is this on disk cannot have attributes."""
    return not stat.S_ISREG(status.st_mode)
