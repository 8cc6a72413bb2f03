"""Resolves the paths of `cp`: those of the container beneath its root, and those of the host.

A path is walked once, by openat2(2) with RESOLVE_IN_ROOT, and what it leads to is a descriptor from
then on: a link that the container exchanges meanwhile leads nowhere else (CVE-2018-15664).
"""

from __future__ import annotations

import errno
import os
import stat

from rootless.errors import NotFoundError, RootlessError
from rootless.syscalls.openat2 import RESOLVE_IN_ROOT, RESOLVE_NO_MAGICLINKS, openat2
from unionfs.light_types import NamedTuple

_LINKS = 40  # MAXSYMLINKS of the kernel
_PLACE = os.O_PATH | os.O_CLOEXEC


class Tree(NamedTuple):
    """A root to resolve paths in. `container` is its name, empty for the host."""

    root: int
    container: str = ""

    def open(self, path: str, flags: int = _PLACE) -> int:
        """A descriptor of a path. Raises OSError."""
        resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS if self.container else 0
        return openat2(self.root, path or "/", flags, resolve=resolve)

    def missing(self, path: str) -> RootlessError:
        """The error for a path that leads nowhere."""
        if self.container:
            return NotFoundError(f"Could not find the file {path} in container {self.container}")
        return NotFoundError(f"lstat {path}: no such file or directory")


class copying:  # noqa: N801 - used as a function is
    """A block in which errors of the operating system become RootlessError; a broken pipe stays one."""

    def __init__(self, container: str) -> None:
        self._container = container

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if not isinstance(error, OSError) or isinstance(error, BrokenPipeError):
            return
        if error.errno == errno.EROFS:
            raise RootlessError("container rootfs is marked read-only") from error
        where = f" ({os.fsdecode(error.filename)})" if error.filename else ""
        raise RootlessError(
            f"cannot copy the files of container {self._container}: {_text(error)}{where}"
        ) from error


def host_tree() -> Tree:
    """The host's files, of which every path is absolute."""
    return Tree(os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC))


class Source(NamedTuple):
    """The source of a copy: an O_PATH descriptor, and the last component of its path. `is_contents`: of a directory
    what is in it (`DIRECTORY/.`).
    """

    place: int
    name: str
    is_contents: bool

    @property
    def is_directory(self) -> bool:
        return stat.S_ISDIR(os.fstat(self.place).st_mode)


class Target(NamedTuple):
    """Where to: a directory, and the name in it. No name: into the directory itself."""

    directory: int
    name: str | None


def find_source(tree: Tree, path: str, *, follow: bool) -> Source:
    """Resolve the source of a copy. Raises RootlessError."""
    if not path:
        raise RootlessError("bad parameter: path cannot be empty")
    must_be_directory = path.endswith("/") or os.path.basename(path) in {".", ".."}
    flags = _PLACE if follow or must_be_directory else _PLACE | os.O_NOFOLLOW
    try:
        place = tree.open(path, flags)
    except FileNotFoundError:
        raise tree.missing(path) from None
    except OSError as error:
        raise RootlessError(f"lstat {path}: {_text(error)}") from error
    plain = os.path.normpath(f"/{path}")
    name = os.path.basename(plain)
    return Source(place, name, os.path.basename(path) in {".", ".."} or not name)


def find_target(tree: Tree, path: str, source: Source) -> Target:
    """Resolve the destination by docker's rules. Raises RootlessError."""
    if not path:
        raise RootlessError("no such directory")
    asked = path
    must_be_directory = path.endswith("/") or os.path.basename(path) in {".", ".."}
    try:
        place = _followed(tree, path)
    except NotADirectoryError as error:
        raise RootlessError(
            "no such directory"
            if tree.container and must_be_directory
            else "extraction point is not a directory"
            if tree.container
            else f"stat {asked}: {_text(error)}"
        ) from error
    except OSError as error:
        raise RootlessError(f"{asked}: {_text(error)}") from error
    if isinstance(place, int):
        if stat.S_ISDIR(os.fstat(place).st_mode):
            is_contents = source.is_directory and source.is_contents
            return Target(place, None if is_contents else source.name)
        os.close(place)
        if source.is_directory:
            raise RootlessError("cannot copy directory")
        path = _end_of_links(tree, path)
    else:
        if must_be_directory and not source.is_directory:
            raise RootlessError("no such directory")
        path = place
    directory, name = os.path.split(path.rstrip("/"))
    try:
        return Target(tree.open(directory, _PLACE | os.O_DIRECTORY), name)
    except FileNotFoundError:
        if tree.container:
            raise tree.missing(directory) from None
        raise NotFoundError(
            f'invalid output path: directory "{directory}" does not exist'
        ) from None
    except NotADirectoryError:
        raise RootlessError("extraction point is not a directory") from None


def _followed(tree: Tree, path: str) -> int | str:
    """A descriptor of what is at a path; or, if nothing is, the path to make, dangling links followed."""
    try:
        return tree.open(path)
    except FileNotFoundError:
        return _end_of_links(tree, path)


def _end_of_links(tree: Tree, path: str) -> str:
    """The path that the symbolic links at the end of a path lead to."""
    path = path.rstrip("/") or "/"
    for _ in range(_LINKS):
        try:
            place = tree.open(path, _PLACE | os.O_NOFOLLOW)
        except FileNotFoundError:
            return path
        try:
            if not stat.S_ISLNK(os.fstat(place).st_mode):
                return path
            path = os.path.join(os.path.dirname(path), os.readlink("", dir_fd=place))
        finally:
            os.close(place)
    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)


def _text(error: OSError) -> str:
    return (error.strerror or str(error)).lower()
