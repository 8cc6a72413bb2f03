"""The thread that calls chown(2): its memory, its directories and its capabilities."""

from __future__ import annotations

import errno
import os

from rootless.supervisor.owners.chown_call import AT_FDCWD, ChownCall
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

    def __init__(self, call: ChownCall, proc: int, is_waiting: Callable[[], bool]) -> None:
        self._call = call
        self._proc = proc
        self._is_waiting = is_waiting
        self.capabilities = effective_capabilities(call.thread)

    def user_namespace(self) -> int:
        return os.stat(f"{self._call.thread}/ns/user", dir_fd=self._proc).st_ino

    def open_target(self) -> int:
        """An O_PATH descriptor of the file whose owner is to be changed. Changes root and working directory of this
        process.

        Raises:
            OSError: as chown(2).
            CallerGoneError: the call does not wait any more.
        """
        call = self._call
        path = b"" if call.path is None else self._read_path(call.path)
        if not path and call.path is not None and not call.takes_empty_path:
            raise OSError(errno.ENOENT, os.strerror(errno.ENOENT))
        if not path:
            opened = self._open_base(os.O_PATH | os.O_CLOEXEC)
            if self._is_waiting():
                return opened
            os.close(opened)
            raise CallerGoneError
        root = os.open(f"{call.thread}/root", _DIRECTORY, dir_fd=self._proc)
        try:
            base = root if path.startswith(b"/") else self._open_base(_DIRECTORY)
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
            return open_path(path, follows=call.follows, own_names=self._own_names)
        finally:
            set_effective(_ALL)

    def _read_path(self, address: int) -> bytes:
        """The path at an address. Raises OSError: EFAULT, ENAMETOOLONG."""
        if not address and self._call.takes_empty_path:
            return b""
        data = b""
        for size in (_MOST_PATHS, _PATH_MAX):
            data = read_memory(self._call.thread, address, size)
            path, end, _ = data.partition(b"\0")
            if end:
                return path
        number = errno.ENAMETOOLONG if len(data) == _PATH_MAX else errno.EFAULT
        raise OSError(number, os.strerror(number))

    def _open_base(self, flags: int) -> int:
        """The directory that a relative path begins at, or the file itself."""
        thread, directory = self._call.thread, self._call.directory
        if directory == AT_FDCWD and self._call.path is not None:
            return os.open(f"{thread}/cwd", flags, dir_fd=self._proc)
        name = f"{thread}/fd/{directory}"
        try:
            if self._call.path is None:
                link = os.stat(name, dir_fd=self._proc, follow_symlinks=False)
                if not link.st_mode & _MODE_OF_USE:
                    raise OSError(errno.EBADF, os.strerror(errno.EBADF))
            return os.open(name, flags, dir_fd=self._proc)
        except FileNotFoundError:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF)) from None

    def _own_names(self) -> dict[bytes, bytes]:
        """`self` and `thread-self` of /proc, by the numbers of the caller's PID namespace."""
        with open(
            os.open(f"{self._call.thread}/status", os.O_RDONLY | os.O_CLOEXEC, dir_fd=self._proc),
            "rb",
            buffering=0,
        ) as status:
            lines = status.read(1 << 16).split(b"\n")
        fields = {
            name: value.split() for name, _, value in (line.partition(b":") for line in lines)
        }
        group, thread = fields[b"NStgid"][-1], fields[b"NSpid"][-1]
        return {b"self": group, b"thread-self": group + b"/task/" + thread}


def set_effective(mask: int) -> None:
    """Set the effective capabilities of this process, all of which it may have."""
    capabilities.capset(mask & _ALL, _ALL, 0)
