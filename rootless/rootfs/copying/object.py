"""One object of a copy: sets its metadata, and gives it its name in one step, replacing what has the name already."""

from __future__ import annotations

import errno
import os
import stat

from rootless.durable import TEMPORARY_PREFIX
from rootless.errors import RootlessError
from rootless.runtime.idmap import to_outside
from rootless.syscalls.identity import setfsid
from rootless.syscalls.openat2 import RESOLVE_NO_XDEV, openat2
from rootless.syscalls.processes import PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP, prctl
from unionfs.light_types import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from rootless.runtime.idmap import IdRange

_NO_XATTRS = frozenset({errno.ENOTSUP, errno.EPERM, errno.EACCES, errno.EINVAL, errno.ENODATA})


class Metadata(NamedTuple):
    """The metadata of a copy. `owner`: None leaves that of the process."""

    mode: int
    owner: tuple[int, int] | None
    atime_ns: int
    mtime_ns: int
    xattrs: dict[str, bytes]


class FileMaker:
    """Makes files that have another owner from the start, where this process may: chown(2) would be two
    requests more for a file server.
    """

    def __init__(self) -> None:
        self._own = (os.geteuid(), os.getegid())
        self._is_possible: bool | None = None

    def open(self, name: str, flags: int, metadata: Metadata, directory: int) -> tuple[int, bool]:
        """open(2) of a new file. Returns its descriptor, and whether it belongs to the owner."""
        owner = metadata.owner
        if owner is not None and self._is_possible is None:
            self._is_possible = self._keep_capabilities()
        became = owner is not None and self._is_possible is True and setfsid(*owner)
        try:
            copied = os.open(name, flags, metadata.mode & 0o777, dir_fd=directory)
        finally:
            if owner is not None and self._is_possible:
                setfsid(*self._own)
        return copied, became or owner is None

    def _keep_capabilities(self) -> bool:
        """Without the bit a process that becomes another user for the file system loses the capabilities
        that concern files (capabilities(7))."""
        try:
            prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP)
        except PermissionError:
            return False
        return True


def make_symlink(target: str, metadata: Metadata, directory: int, name: str) -> None:
    """A symbolic link, in the place of what has the name."""

    def make(new: str) -> None:
        os.symlink(target, new, dir_fd=directory)
        _apply_by_name(metadata, directory, new)

    make_named(make, directory, name)


def make_special(mode: int, device: int, metadata: Metadata, directory: int, name: str) -> None:
    """A FIFO or a device, in the place of what has the name. `mode` has the type."""

    def make(new: str) -> None:
        try:
            os.mknod(new, mode, device, dir_fd=directory)
        except PermissionError as error:
            # EPERM is for want of CAP_MKNOD, EACCES is the directory's (mknod(2)).
            if stat.S_ISFIFO(mode) or error.errno != errno.EPERM:
                raise
            from rootless.rootfs.copying.records import record_device

            record_device(mode, device, directory, new)
        _apply_by_name(metadata, directory, new)

    make_named(make, directory, name)


def _apply_by_name(metadata: Metadata, directory: int, name: str) -> None:
    if metadata.owner is not None:
        os.chown(name, *metadata.owner, dir_fd=directory, follow_symlinks=False)
    times = (metadata.atime_ns, metadata.mtime_ns)
    os.utime(name, ns=times, dir_fd=directory, follow_symlinks=False)


def make_named(make: Callable[[str], None], directory: int, name: str) -> None:
    """Make something under a name; what has the name already is replaced in one step."""
    try:
        make(name)
        return
    except FileExistsError:
        pass
    temporary = temporary_name()
    make(temporary)
    try:
        replace(temporary, directory, name)
    except BaseException:
        os.unlink(temporary, dir_fd=directory)
        raise


def apply(copied: int, metadata: Metadata, *, with_mode: bool) -> None:
    """Set owner, attributes, mode and times of an open file, in the order in which none undoes
    another."""
    if metadata.owner is not None:
        os.fchown(copied, *metadata.owner)
    for name, value in metadata.xattrs.items():
        try:
            os.setxattr(copied, name, value)
        except OSError as error:
            if error.errno not in _NO_XATTRS:
                raise
    if with_mode:
        os.fchmod(copied, metadata.mode)
    os.utime(copied, ns=(metadata.atime_ns, metadata.mtime_ns))


def xattrs_of(descriptor: int) -> dict[str, bytes]:
    """The extended attributes of an open file, without the labels of SELinux; none where there are
    none to read."""
    try:
        names = os.listxattr(descriptor)
    except OSError as error:
        if error.errno not in _NO_XATTRS:
            raise
        return {}
    return (
        {name: os.getxattr(descriptor, name) for name in names if name != "security.selinux"}
        if names
        else {}
    )


def has_xattrs(descriptor: int) -> bool:
    """Whether an open file has attributes that a copy is to have, as of `xattrs_of`."""
    try:
        names = os.listxattr(descriptor)
    except OSError as error:
        if error.errno not in _NO_XATTRS:
            raise
        return False
    return bool(names) and names != ["security.selinux"]


def replace(temporary: str, directory: int, name: str) -> None:
    """Raises OSError; EBUSY for a mount point, which rename(2) refuses in this process's mount
    namespace only: it would end the mount in the container's."""
    try:
        os.close(openat2(directory, name, os.O_PATH | os.O_NOFOLLOW, resolve=RESOLVE_NO_XDEV))
    except FileNotFoundError:
        pass
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        raise OSError(errno.EBUSY, os.strerror(errno.EBUSY), name) from None
    try:
        os.rename(temporary, name, src_dir_fd=directory, dst_dir_fd=directory)
    except IsADirectoryError:
        raise RootlessError(
            f'cannot overwrite directory "{name}" with non-directory "{name}"'
        ) from None


def temporary_name() -> str:
    return f"{TEMPORARY_PREFIX}{os.urandom(6).hex()}"


def id_inside(number: int | None, ranges: tuple[IdRange, ...], root: int) -> int:
    """An id of the container's; root's where it has no such id."""
    return root if number is None or to_outside(ranges, number) is None else number
