"""The thread that calls chown(2) or mknod(2): its memory, its directories and its capabilities."""

from __future__ import annotations

import errno
import os

from rootless.supervisor.owners.calls import AT_FDCWD, ChownCall, MknodCall
from rootless.supervisor.owners.path_walk import open_path
from rootless.syscalls import capabilities
from rootless.syscalls.other_process import effective_capabilities, read_memory

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_PATH_MAX = 4096
_MOST_PATHS = 256
"""Bytes that are enough for most paths."""
_DIRECTORY = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
_ALL = (1 << len(capabilities.NAMES)) - 1
_MODE_OF_USE = 0o700
"""Of a link in /proc/PID/fd: how the file is open (tid_fd_update_inode, fs/proc/fd.c); none with O_PATH."""


class CallerGoneError(Exception):
    """The caller has been killed, or a signal has interrupted its call: no call waits for an answer."""


class Caller:
    """`proc` is a directory descriptor of the host's /proc. `is_waiting` tells whether the call still waits; what was
    read before counts only if it does, because a thread's number may become another's.
    """

    def __init__(self, thread: int, proc: int, is_waiting: Callable[[], bool]) -> None:
        self._thread = thread
        self._proc = proc
        self._is_waiting = is_waiting
        self.capabilities = effective_capabilities(thread)

    def user_namespace(self) -> int:
        return os.stat(f"{self._thread}/ns/user", dir_fd=self._proc).st_ino

    def umask(self) -> int:
        return int(self._status()[b"Umask"][0], 8)

    def open_target(self, call: ChownCall) -> int:
        """An O_PATH descriptor of the file whose owner is to be changed. Changes root and working directory of this
        process.

        Raises:
            OSError: as chown(2).
            CallerGoneError: the call does not wait any more.
        """
        path = b""
        if call.path is not None and (call.path or not call.takes_empty_path):
            path = self._read_path(call.path)
        if not path and call.path is not None and not call.takes_empty_path:
            raise OSError(errno.ENOENT, os.strerror(errno.ENOENT))
        if path:
            return self._open(path, call.directory, follows=call.follows)
        flags = os.O_PATH | os.O_CLOEXEC
        opened = (
            self._open_file(call.directory, flags)
            if call.path is None
            else self._open_base(call.directory, flags)
        )
        if self._is_waiting():
            return opened
        os.close(opened)
        raise CallerGoneError

    def open_parent(self, call: MknodCall) -> tuple[int, bytes]:
        """An O_PATH descriptor of the directory in which a node is to be made, and its name there, with the slashes that
        follow it. Changes root and working directory, as `open_target`.

        Raises:
            OSError: as mknod(2).
            CallerGoneError: the call does not wait any more.
        """
        path = self._read_path(call.path)
        if not path:
            raise OSError(errno.ENOENT, os.strerror(errno.ENOENT))
        name = path.rstrip(b"/").rpartition(b"/")[2]
        at = len(path.rstrip(b"/")) - len(name)
        above = path[:at] or (b"." if name else b"/")
        return self._open(above, call.directory, follows=True), path[at:]

    def require_creatable(self, parent: int, name: bytes) -> None:
        """In the order of the kernel's filename_create and may_create (fs/namei.c). Raises OSError."""
        bare = name.rstrip(b"/")
        set_effective(self.capabilities)
        try:
            if bare not in {b"", b".", b".."}:
                os.stat(bare, dir_fd=parent, follow_symlinks=False)
            number = errno.EEXIST
        except FileNotFoundError:
            number = 0 if name == bare else errno.ENOENT
            if not number and os.fstatvfs(parent).f_flag & os.ST_RDONLY:
                number = errno.EROFS
            if not number and not os.access(
                b".", os.W_OK | os.X_OK, dir_fd=parent, effective_ids=True
            ):
                number = errno.EACCES
        finally:
            set_effective(_ALL)
        if number:
            raise OSError(number, os.strerror(number))

    def _open(self, path: bytes, directory: int, *, follows: bool) -> int:
        """An O_PATH descriptor of a path, resolved as the caller would. Raises OSError, CallerGoneError."""
        root = os.open(f"{self._thread}/root", _DIRECTORY, dir_fd=self._proc)
        try:
            base = root if path.startswith(b"/") else self._open_base(directory, _DIRECTORY)
            try:
                if not self._is_waiting():
                    raise CallerGoneError
                os.fchdir(root)
                os.chroot(b".")
                os.fchdir(base)
            finally:
                if base != root:
                    os.close(base)
        finally:
            os.close(root)
        set_effective(self.capabilities)
        try:
            return open_path(path, follows=follows, own_names=self._own_names)
        finally:
            set_effective(_ALL)

    def _read_path(self, address: int) -> bytes:
        """The path at an address. Raises OSError: EFAULT, ENAMETOOLONG."""
        data = b""
        for size in (_MOST_PATHS, _PATH_MAX):
            data = read_memory(self._thread, address, size)
            path, end, _ = data.partition(b"\0")
            if end:
                return path
        number = errno.ENAMETOOLONG if len(data) == _PATH_MAX else errno.EFAULT
        raise OSError(number, os.strerror(number))

    def _open_base(self, directory: int, flags: int) -> int:
        """The directory that a relative path begins at."""
        if directory == AT_FDCWD:
            return os.open(f"{self._thread}/cwd", flags, dir_fd=self._proc)
        try:
            return os.open(f"{self._thread}/fd/{directory}", flags, dir_fd=self._proc)
        except FileNotFoundError:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF)) from None

    def _open_file(self, descriptor: int, flags: int) -> int:
        """The file of a descriptor that is not one of O_PATH. Raises OSError: EBADF."""
        name = f"{self._thread}/fd/{descriptor}"
        try:
            link = os.stat(name, dir_fd=self._proc, follow_symlinks=False)
            if link.st_mode & _MODE_OF_USE:
                return os.open(name, flags, dir_fd=self._proc)
        except FileNotFoundError:
            pass
        raise OSError(errno.EBADF, os.strerror(errno.EBADF))

    def _own_names(self) -> dict[bytes, bytes]:
        """`self` and `thread-self` of /proc, by the numbers of the caller's PID namespace."""
        fields = self._status()
        group, thread = fields[b"NStgid"][-1], fields[b"NSpid"][-1]
        return {b"self": group, b"thread-self": group + b"/task/" + thread}

    def _status(self) -> dict[bytes, list[bytes]]:
        """The values of each line of /proc/PID/status."""
        opened = os.open(f"{self._thread}/status", os.O_RDONLY | os.O_CLOEXEC, dir_fd=self._proc)
        with open(opened, "rb", buffering=0) as status:
            lines = status.read(1 << 16).split(b"\n")
        return {name: value.split() for name, _, value in (line.partition(b":") for line in lines)}


def set_effective(mask: int) -> None:
    """Set the effective capabilities of this process, all of which it may have."""
    capabilities.capset(mask & _ALL, _ALL, 0)
