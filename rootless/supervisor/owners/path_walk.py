"""Opening a path of a container as its caller would. The process has the caller's root, working directory and
capabilities for it, so that the kernel does the walk; but /proc/self is this process's there and not the caller's, so
that a path with it is walked here, name by name.
"""

from __future__ import annotations

import errno
import os
import stat

from unionfs.syscalls.files import PROC_SUPER_MAGIC, file_system_type

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_PROC_ROOT = 1
"""PROC_ROOT_INO (linux/proc_fs.h)."""
_LINKS = 40
"""MAXSYMLINKS of the kernel."""
_PATH = os.O_PATH | os.O_CLOEXEC


def open_path(path: bytes, *, follows: bool, own_names: Callable[[], dict[bytes, bytes]]) -> int:
    """An O_PATH descriptor of a path. `own_names`: what `self` and `thread-self` of /proc lead to for the caller.

    Raises OSError.
    """
    try:
        return os.open(path, _PATH if follows else _PATH | os.O_NOFOLLOW)
    except FileNotFoundError:
        # proc_self_get_link (fs/proc/self.c): this process has no number in the PID namespace of that /proc.
        return _Walk(own_names()).open(path, follows=follows)


class _Walk:
    def __init__(self, own_names: dict[bytes, bytes]) -> None:
        self._own_names = own_names
        self._links = 0

    def open(self, path: bytes, *, follows: bool) -> int:
        at = os.open(b"/" if path.startswith(b"/") else b".", _PATH)
        names = _names(path)
        try:
            while names:
                name = names.pop()
                is_last = not names
                reached = os.open(name, _PATH | os.O_NOFOLLOW, dir_fd=at)
                if not stat.S_ISLNK(os.fstat(reached).st_mode) or (is_last and not follows):
                    os.close(at)
                    at = reached
                    continue
                os.close(reached)
                self._links += 1
                if self._links > _LINKS:
                    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
                target = self._target(at, name)
                if target is None:
                    # A link of a process's directory in /proc, which leads to an open file.
                    reached = os.open(name, _PATH, dir_fd=at)
                elif target.startswith(b"/"):
                    reached = os.open(b"/", _PATH)
                else:
                    names += _names(target)
                    continue
                os.close(at)
                at = reached
                names += _names(target or b"")
        except BaseException:
            os.close(at)
            raise
        return at

    def _target(self, directory: int, name: bytes) -> bytes | None:
        """What a link contains; None for one that the kernel has to follow."""
        if file_system_type(directory) != PROC_SUPER_MAGIC:
            return os.readlink(name, dir_fd=directory)
        if os.fstat(directory).st_ino == _PROC_ROOT:
            return self._own_names.get(name) or os.readlink(name, dir_fd=directory)
        return None


def _names(path: bytes) -> list[bytes]:
    """The names of a path, the last one first. A slash at the end asks for a directory."""
    names = [name for name in path.split(b"/") if name]
    if path.endswith(b"/") and names:
        names.append(b".")
    names.reverse()
    return names
