"""Operations on a tree, each a plain call that returns a value to compare or raises OSError. Runs
in a namespace worker.

Paths are relative to the tree. What no two file systems share is left out of every value: directory
sizes, blocks, and times that are not old enough to have been set by hand.
"""

from __future__ import annotations

import ctypes
import errno
import hashlib
import os
import stat
import struct
from collections.abc import Callable
from pathlib import Path

RENAME_NOREPLACE = 1  # renameat2(2)
RENAME_EXCHANGE = 2
RENAME_WHITEOUT = 4
FALLOC_FL_KEEP_SIZE = 1  # fallocate(2)
FALLOC_FL_PUNCH_HOLE = 2
FALLOC_FL_ZERO_RANGE = 16
_STATX_BTIME = 0x800  # statx(2)
_STATX_SIZE = 256
_STATX_BTIME_AT = 80
_AT_SYMLINK_NOFOLLOW = 0x100
LONG_AGO_NS = 10**18
"""Times before 2001 were set by a test or came with a lower layer; later ones say only that the
kernel set them now."""
LAYER_TIMES = (10**17, 10**17 + 5)
"""(atime, mtime) of everything in a lower, in nanoseconds"""

_libc = ctypes.CDLL(None, use_errno=True)

Stat = tuple[int, int, int, int, int | None, int | None]
Row = tuple[Stat, str | None, tuple[tuple[str, bytes], ...], int]
"""(stat, content digest or link target, xattrs, inode number)"""


def _age(time_ns: int) -> int | None:
    return time_ns if time_ns < LONG_AGO_NS else None


def comparable(status: os.stat_result) -> Stat:
    """(mode, nlink, uid, gid, size, mtime), with None for what is not compared."""
    size = None if stat.S_ISDIR(status.st_mode) else status.st_size
    return (
        status.st_mode,
        status.st_nlink,
        status.st_uid,
        status.st_gid,
        size,
        _age(status.st_mtime_ns),
    )


def visible_xattrs(path: str) -> tuple[tuple[str, bytes], ...]:
    names = os.listxattr(path, follow_symlinks=False)
    return tuple((name, os.getxattr(path, name, follow_symlinks=False)) for name in sorted(names))


def digest(path: str) -> str:
    with open(path, "rb", buffering=0) as file:
        return hashlib.sha256(file.read()).hexdigest()[:16]


def _check(result: int) -> None:
    if result:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _read_by_map(fd: int) -> tuple[int, str]:
    size = os.fstat(fd).st_size
    content = bytearray(size)
    at = 0
    while at < size:
        try:
            at = os.lseek(fd, at, os.SEEK_DATA)
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise
            break
        end = os.lseek(fd, at, os.SEEK_HOLE)
        content[at:end] = os.pread(fd, end - at, at)
        at = end
    return len(content), hashlib.sha256(content).hexdigest()[:16]


class Tree:
    """One root directory and the descriptors held open in it."""

    def __init__(self, root: str) -> None:
        self.root = root
        self.held: dict[int, int] = {}

    def _at(self, path: str) -> str:
        return f"{self.root}/{path}"

    # --- names

    def create(self, path: str, flags: int, mode: int, content: bytes) -> int:
        fd = os.open(self._at(path), os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | flags, mode)
        try:
            return os.write(fd, content)
        finally:
            os.close(fd)

    def mkdir(self, path: str, mode: int) -> None:
        os.mkdir(self._at(path), mode)

    def mkfifo(self, path: str, mode: int) -> None:
        os.mkfifo(self._at(path), mode)

    def symlink(self, path: str, target: str) -> None:
        os.symlink(target, self._at(path))

    def link(self, path: str, new: str) -> None:
        os.link(self._at(path), self._at(new), follow_symlinks=False)

    def unlink(self, path: str) -> None:
        os.unlink(self._at(path))

    def rmdir(self, path: str) -> None:
        os.rmdir(self._at(path))

    def rename(self, path: str, new: str, flags: int) -> None:
        old_name, new_name = os.fsencode(self._at(path)), os.fsencode(self._at(new))
        _check(_libc.renameat2(-100, old_name, -100, new_name, ctypes.c_uint(flags)))

    def tmpfile(self, path: str, flags: int, mode: int, content: bytes, name: str) -> Stat:
        """Make a file without a name in a directory, write to it, and link it as `name`."""
        fd = os.open(self._at(path), os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC | flags, mode)
        try:
            os.write(fd, content)
            if os.fstat(fd).st_nlink:
                raise OSError(errno.EEXIST, "a file without a name has a link")
            # An absolute path needs no directory, but makes it linkat(2), which can follow.
            os.link(f"/proc/self/fd/{fd}", self._at(name), src_dir_fd=fd, follow_symlinks=True)
            return comparable(os.fstat(fd))
        finally:
            os.close(fd)

    def readlink(self, path: str) -> str:
        return os.readlink(self._at(path))

    def listdir(self, path: str) -> list[tuple[str, str]]:
        with os.scandir(self._at(path)) as entries:
            return sorted((entry.name, _kind(entry)) for entry in entries)

    # --- content

    def read(self, path: str) -> str:
        return digest(self._at(path))

    def write(self, path: str, offset: int, content: bytes) -> int:
        fd = os.open(self._at(path), os.O_WRONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            return os.pwrite(fd, content, offset)
        finally:
            os.close(fd)

    def truncate(self, path: str, size: int) -> None:
        os.truncate(self._at(path), size)

    def read_by_map(self, path: str) -> tuple[int, str]:
        """(size, digest) of what lseek(2) says there is: its runs of data, and zeros between.
        Where two file systems begin a run differs; what is in the file does not."""
        fd = os.open(self._at(path), os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                raise OSError(errno.EINVAL, "not a regular file")
            return _read_by_map(fd)
        finally:
            os.close(fd)

    def seek_from(self, path: str, offset: int) -> int:
        """The first byte that is not zero, of the run of data at or after `offset`; ENXIO if there
        is none up to the end."""
        # Opening a FIFO would wait for a writer.
        fd = os.open(self._at(path), os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            status = os.fstat(fd)
            if not stat.S_ISREG(status.st_mode):
                raise OSError(errno.EINVAL, "not a regular file")
            at = offset
            if os.lseek(fd, at, os.SEEK_HOLE) > status.st_size:
                raise OSError(errno.ERANGE, "a hole beyond the end")
            while True:
                at = os.lseek(fd, at, os.SEEK_DATA)
                end = os.lseek(fd, at, os.SEEK_HOLE)
                data = os.pread(fd, end - at, at)
                if found := data.lstrip(b"\0"):
                    return at + len(data) - len(found)
                at = end
        finally:
            os.close(fd)

    def copy_range(self, path: str, offset: int, target: str, at: int, length: int) -> int:
        """copy_file_range(2) until it says that there is no more. Returns the bytes."""
        flags = os.O_CLOEXEC | os.O_NONBLOCK
        out = os.open(self._at(target), os.O_WRONLY | flags)
        try:
            into = os.open(self._at(path), os.O_RDONLY | flags)
            try:
                done = 0
                while done < length:
                    count = os.copy_file_range(into, out, length - done, offset + done, at + done)
                    if count == 0:
                        break
                    done += count
                return done
            finally:
                os.close(into)
        finally:
            os.close(out)

    def fallocate(self, path: str, mode: int, offset: int, length: int) -> None:
        fd = os.open(self._at(path), os.O_WRONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            at, size = ctypes.c_int64(offset), ctypes.c_int64(length)
            _check(_libc.fallocate64(fd, mode, at, size))
        finally:
            os.close(fd)

    # --- attributes

    def birth(self, path: str) -> tuple[int, int | None]:
        """(inode number, time of birth in nanoseconds); the latter None where it is not kept."""
        buffer = ctypes.create_string_buffer(_STATX_SIZE)
        name = os.fsencode(self._at(path))
        _check(_libc.statx(-100, name, _AT_SYMLINK_NOFOLLOW, _STATX_BTIME, buffer))
        (mask,) = struct.unpack_from("=I", buffer)
        seconds, nanoseconds = struct.unpack_from("=qI", buffer, _STATX_BTIME_AT)
        number = os.lstat(self._at(path)).st_ino
        return number, seconds * 10**9 + nanoseconds if mask & _STATX_BTIME else None

    def stat(self, path: str) -> Stat:
        return comparable(os.lstat(self._at(path)))

    def chmod(self, path: str, mode: int) -> None:
        os.chmod(self._at(path), mode)

    def chown(self, path: str, uid: int, gid: int) -> None:
        os.chown(self._at(path), uid, gid, follow_symlinks=False)

    def utime(self, path: str, atime_ns: int, mtime_ns: int) -> None:
        os.utime(self._at(path), ns=(atime_ns, mtime_ns), follow_symlinks=False)

    def setxattr(self, path: str, name: str, value: bytes, flags: int) -> None:
        os.setxattr(self._at(path), name, value, flags, follow_symlinks=False)

    def getxattr(self, path: str, name: str) -> bytes:
        return os.getxattr(self._at(path), name, follow_symlinks=False)

    def removexattr(self, path: str, name: str) -> None:
        os.removexattr(self._at(path), name, follow_symlinks=False)

    # --- descriptors held open over other operations

    def hold(self, slot: int, path: str, flags: int) -> None:
        fd = os.open(self._at(path), flags | os.O_CLOEXEC | os.O_NONBLOCK)
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            os.close(fd)
            raise OSError(errno.EINVAL, "not a regular file")
        self.drop(slot)
        self.held[slot] = fd

    def drop(self, slot: int) -> None:
        if (fd := self.held.pop(slot, None)) is not None:
            os.close(fd)

    def _fd(self, slot: int) -> int:
        if slot not in self.held:
            raise OSError(errno.EBADF, "nothing held")
        return self.held[slot]

    def held_read(self, slot: int, offset: int, size: int) -> bytes:
        return os.pread(self._fd(slot), size, offset)

    def held_write(self, slot: int, offset: int, content: bytes) -> int:
        return os.pwrite(self._fd(slot), content, offset)

    def held_truncate(self, slot: int, size: int) -> None:
        os.ftruncate(self._fd(slot), size)

    def held_stat(self, slot: int) -> Stat:
        return comparable(os.fstat(self._fd(slot)))

    def held_chmod(self, slot: int, mode: int) -> None:
        os.fchmod(self._fd(slot), mode)

    def drop_all(self) -> None:
        for slot in list(self.held):
            self.drop(slot)

    # --- the whole

    def snapshot(self) -> dict[str, Row]:
        """Every path of the tree, with all that two trees must have in common, and its inode
        number."""
        rows: dict[str, Row] = {}
        pending = ["."]
        while pending:
            path = pending.pop()
            rows[path] = self._row(path)
            if stat.S_ISDIR(rows[path][0][0]):
                prefix = "" if path == "." else path + "/"
                pending += [prefix + name for name in os.listdir(self._at(path))]
        return rows

    def paths(self) -> tuple[dict[str, int], list[str]]:
        """Every path with its inode number, and which of them are directories."""
        numbers: dict[str, int] = {}
        directories: list[str] = []
        pending = ["."]
        while pending:
            path = pending.pop()
            directories.append(path)
            numbers[path] = os.lstat(self._at(path)).st_ino
            with os.scandir(self._at(path)) as entries:
                for entry in entries:
                    name = entry.name if path == "." else f"{path}/{entry.name}"
                    numbers[name] = entry.inode()
                    if entry.is_dir(follow_symlinks=False):
                        pending.append(name)
        return numbers, sorted(directories)

    def _row(self, path: str) -> Row:
        where = self._at(path)
        status = os.lstat(where)
        content = None
        if stat.S_ISREG(status.st_mode):
            content = digest(where)
        elif stat.S_ISLNK(status.st_mode):
            content = os.readlink(where)
        return (comparable(status), content, visible_xattrs(where), status.st_ino)


def _kind(entry: os.DirEntry[str]) -> str:
    if entry.is_symlink():
        return "link"
    return "directory" if entry.is_dir(follow_symlinks=False) else "other"


Outcome = tuple[str, object]
"""("ok", value) or ("errno", name)"""


def outcome_of(call: Callable[..., object], *arguments: object) -> Outcome:
    """What a call came to, as a value."""
    try:
        return ("ok", call(*arguments))
    except OSError as error:
        return ("errno", errno.errorcode.get(error.errno or 0, str(error.errno)))


def build_lowers(base: Path, *, hard_links: bool) -> list[Path]:
    """Make three lower layers, top first, that use every mark: whiteouts, opaque directories, a
    file over a directory and the other way round. Whiteouts are character devices 0:0 and opaque
    marks `user.overlay.opaque`, as kernel overlayfs mounted with `userxattr` reads them. Every time
    is in the past."""
    bottom, middle, top = (base / name for name in ("bottom", "middle", "top"))
    for layer in (bottom, middle, top):
        for name in ("a", "a/deep", "a/deep/deeper", "b", "opaque"):
            (layer / name).mkdir(parents=True)
    for name in (
        "plain",
        "a/x",
        "a/y",
        "a/deep/x",
        "a/deep/deeper/z",
        "b/x",
        "opaque/hidden",
        "gone",
        "a/gone",
    ):
        (bottom / name).write_bytes(f"bottom {name} ".encode() * 40)
    (bottom / "big").write_bytes(bytes(range(256)) * 1024)
    (bottom / "emptied").mkdir()
    (bottom / "emptied/x").write_bytes(b"x")
    (bottom / "was-directory").mkdir()
    (bottom / "was-directory/x").write_bytes(b"x")
    (bottom / "was-file").write_bytes(b"file")
    (bottom / "link").symlink_to("plain")
    (bottom / "a/up").symlink_to("../b")
    (bottom / "dangling").symlink_to("nowhere")
    os.mkfifo(bottom / "fifo", 0o640)
    os.setxattr(bottom / "plain", "user.colour", b"red")
    os.setxattr(bottom / "a", "user.colour", b"blue")
    os.chmod(bottom / "plain", 0o4755)
    os.chmod(bottom / "b", 0o2775)
    if hard_links:
        os.link(bottom / "a/x", bottom / "a/deep/x-again")
        os.link(bottom / "a/x", bottom / "b/x-again")
        os.link(bottom / "plain", bottom / "plain-again")
        os.link(bottom / "fifo", bottom / "b/fifo-again")
        for name in ("a/link-again", "link-again"):
            os.link(bottom / "link", bottom / name, follow_symlinks=False)

    (middle / "a/x-middle").write_bytes(b"middle")
    (middle / "a/y").write_bytes(b"middle covers y")
    os.mknod(middle / "gone", stat.S_IFCHR, 0)
    os.mknod(middle / "a/gone", stat.S_IFCHR, 0)
    os.mknod(middle / "emptied", stat.S_IFCHR, 0)
    (middle / "was-directory").write_bytes(b"now a file")
    (middle / "was-file").mkdir()
    (middle / "was-file/inside").write_bytes(b"inside")
    os.setxattr(middle / "opaque", "user.overlay.opaque", b"y")
    (middle / "opaque/seen").write_bytes(b"seen")

    (top / "emptied").mkdir()
    (top / "a/deep/only-top").write_bytes(b"top")
    os.chmod(top / "a/deep", 0o700)
    os.mknod(top / "a/deep/deeper/z", stat.S_IFCHR, 0)

    for layer in (bottom, middle, top):
        for directory, _, files in os.walk(layer, topdown=False):
            for name in [*files, "."]:
                os.utime(os.path.join(directory, name), ns=LAYER_TIMES, follow_symlinks=False)
    return [top, middle, bottom]
