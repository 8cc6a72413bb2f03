"""A file system that lacks what others have, mounted on the host: what a store lies on where a home is on
NFS or Lustre.

    python -m tests.support.plain_disk DIRECTORY MOUNTPOINT FEATURE...

FEATURE names what is missing: see `FEATURES`.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

from unionfs import whiteouts

if __name__ == "__main__":
    # On this disk the names of whiteouts are names like any others. Set before a module copies it.
    whiteouts.PREFIX, whiteouts.OPAQUE_NAME = b".of-the-disk.", b".of-the-disk..opaque"

from tests.support.faulty import served_disk
from unionfs.commands.mount import MountOptions, mount
from unionfs.directory import DirectoryUpper
from unionfs.directory.attribute_store import INDEX
from unionfs.ownership import Ownership
from unionfs.session.options import ServeOptions
from unionfs.session.wire import InitFlag
from unionfs.syscalls.files import RENAME_EXCHANGE, RENAME_NOREPLACE, RENAME_WHITEOUT
from unionfs.union import Union, UnionOptions

FEATURES = (
    "attributes",
    "exchange",
    "whiteout",
    "noreplace",
    "tmpfile",
    "locks",
    "devices",
    "map",
    "times",
    "owners",
    "space",
)
_RENAMES = {
    "exchange": RENAME_EXCHANGE,
    "whiteout": RENAME_WHITEOUT,
    "noreplace": RENAME_NOREPLACE,
}


def _refuse(number: int) -> None:
    raise OSError(number, os.strerror(number))


class Plain(Union):
    def __init__(self, directory: str, missing: frozenset[str]) -> None:
        upper, work = f"{directory}/files".encode(), f"{directory}/work".encode()
        ours = (os.geteuid(), os.getegid())
        layer = DirectoryUpper(upper, work, ownership=Ownership.DATA, base_owner=ours)
        super().__init__([], layer, UnionOptions(volatile=True))
        self._missing = missing
        self._refused = sum(flag for name, flag in _RENAMES.items() if name in missing)

    def rename(self, parent, name, new_parent, new_name, flags):
        if flags & self._refused:
            _refuse(errno.EINVAL)
        super().rename(parent, name, new_parent, new_name, flags)

    def tmpfile(self, parent, mode, flags, caller):
        if "tmpfile" in self._missing:
            _refuse(errno.EOPNOTSUPP)
        return super().tmpfile(parent, mode, flags, caller)

    def mknod(self, parent, name, mode, rdev, caller):
        if "devices" in self._missing and stat.S_IFMT(mode) in (stat.S_IFCHR, stat.S_IFBLK):
            _refuse(errno.EPERM)
        return super().mknod(parent, name, mode, rdev, caller)

    def lseek(self, nodeid, offset, whence):
        if "map" not in self._missing:
            return super().lseek(nodeid, offset, whence)
        size = self.getattr(nodeid).size
        if offset >= size:
            _refuse(errno.ENXIO)
        return offset if whence == os.SEEK_DATA else size

    def setattr(self, nodeid, changes):
        if "owners" in self._missing and (changes.uid, changes.gid) != (None, None):
            _refuse(errno.EPERM)
        if "times" in self._missing:
            changes = changes._replace(
                atime_ns=_whole_seconds(changes.atime_ns), mtime_ns=_whole_seconds(changes.mtime_ns)
            )
        return super().setattr(nodeid, changes)

    def statfs(self):
        found = super().statfs()
        if "space" in self._missing:
            return found._replace(blocks=0, bfree=0, bavail=0, files=0, ffree=0)
        return found


def _whole_seconds(time_ns: int | None) -> int | None:
    return time_ns if time_ns is None else time_ns // 10**9 * 10**9


def make_index(work: bytes) -> None:
    """Let the upper with this work directory keep attributes in an index on any disk."""
    os.makedirs(work, exist_ok=True)
    with open(work + b"/" + INDEX, "xb"):
        pass


@contextlib.contextmanager
def plain_disk(directory: Path, *missing: str) -> Iterator[Path]:
    """The directory on which such a file system is mounted."""
    mountpoint = directory / "disk"
    for name in ("disk", "files", "work"):
        (directory / name).mkdir()
    with served_disk("tests.support.plain_disk", directory, mountpoint, *missing):
        yield mountpoint


def main() -> None:
    directory, mountpoint, *missing = sys.argv[1:]
    filesystem = Plain(directory, frozenset(missing))
    device = mount(mountpoint, MountOptions(default_permissions=True))
    from unionfs.session import negotiation
    from unionfs.session.device import serve

    if "locks" in missing:
        # The kernel asks for each lock, and gets the answer that there are none, as from Lustre without `flock`.
        negotiation.WANTED |= InitFlag.FLOCK_LOCKS | InitFlag.POSIX_LOCKS
    serve(device, filesystem, ServeOptions(xattrs="attributes" not in missing))


if __name__ == "__main__":
    main()
