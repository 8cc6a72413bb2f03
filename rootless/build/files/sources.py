"""The sources of COPY, ADD and bind mounts: a directory of the host, read in place, or layers.

Paths are relative to the top of the source, bytes, without leading or trailing slashes; b"" is the top.
No path leads out of a source: a symbolic link's `/` is the top, and `..` does not leave it.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from functools import partial

from rootless.build.files.ignoring import IgnoreFilter
from rootless.syscalls.openat2 import (
    RESOLVE_BENEATH,
    RESOLVE_IN_ROOT,
    RESOLVE_NO_MAGICLINKS,
    RESOLVE_NO_SYMLINKS,
    openat2,
)
from unionfs.light_types import NamedTuple, Protocol
from unionfs.model import Attributes, attributes_of
from unionfs.nodes import Node
from unionfs.tar.writer import FileContents, contents

TYPE_CHECKING = False
if TYPE_CHECKING:
    from unionfs.changes.snapshot import Snapshot

_OPEN_DIRECTORIES = 32
_OPEN_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK


class SourceEntry(NamedTuple):
    """One file, directory or link of a source."""

    path: bytes
    attributes: Attributes


class Source(Protocol):
    """A tree to copy from. Every method raises OSError."""

    keeps_owners: bool
    """Whether the owners of files are those of the source, and not root's."""

    def resolve(self, path: bytes) -> bytes:
        """Where a path leads when symbolic links are followed, the last one included. Raises OSError if that
        does not exist, or gives a path that does not."""

    def entry(self, path: bytes) -> SourceEntry | None:
        """The entry of a path; no link is followed. None if there is nothing."""

    def children(self, path: bytes) -> list[SourceEntry]:
        """The entries of a directory, by name."""

    def readlink(self, path: bytes) -> bytes: ...

    def xattrs(self, path: bytes) -> Mapping[bytes, bytes]: ...

    def open(self, path: bytes, size: int) -> Iterable[bytes]:
        """The first `size` bytes of a regular file, or fewer if it is shorter, in pieces."""

    def identity(self, entry: SourceEntry) -> tuple[int, ...]:
        """A value that stays the same as long as the content of a file does."""

    def close(self) -> None: ...


class MemorySource:
    """Files whose contents are at hand: here-documents. Their mode is 0644."""

    keeps_owners = False

    def __init__(self, files: Mapping[bytes, bytes], made_ns: int) -> None:
        self._files = dict(files)
        self._made_ns = made_ns

    def resolve(self, path: bytes) -> bytes:
        return path

    def entry(self, path: bytes) -> SourceEntry | None:
        content = self._files.get(path)
        if content is None:
            return None
        size = len(content)
        attributes = Attributes(1, stat.S_IFREG | 0o644, 1, 0, 0, 0, size, 0, 0, self._made_ns, 0)
        return SourceEntry(path, attributes)

    def children(self, path: bytes) -> list[SourceEntry]:
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), path)

    def readlink(self, path: bytes) -> bytes:
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), path)

    def xattrs(self, path: bytes) -> Mapping[bytes, bytes]:  # noqa: ARG002
        return {}

    def open(self, path: bytes, size: int) -> Iterator[bytes]:
        content = self._files[path][:size]
        if content:
            yield content

    def identity(self, entry: SourceEntry) -> tuple[int, ...]:  # noqa: ARG002
        return ()

    def close(self) -> None: ...


class FilteredSource:
    """A source without what `ignores` names. A directory that is ignored is there if something in it is
    not."""

    def __init__(self, source: Source, ignored: IgnoreFilter) -> None:
        self.inner = source
        self.keeps_owners = source.keeps_owners
        self._ignored = ignored

    def resolve(self, path: bytes) -> bytes:
        return self.inner.resolve(path)

    def entry(self, path: bytes) -> SourceEntry | None:
        found = self.inner.entry(path)
        return found if found is not None and self._is_shown(found) else None

    def children(self, path: bytes) -> list[SourceEntry]:
        return [each for each in self.inner.children(path) if self._is_shown(each)]

    def _is_shown(self, entry: SourceEntry) -> bool:
        if not self._ignored.ignores(entry.path):
            return True
        return (
            stat.S_ISDIR(entry.attributes.mode)
            and self._ignored.may_hold_more(entry.path)
            and bool(self.children(entry.path))
        )

    def readlink(self, path: bytes) -> bytes:
        return self.inner.readlink(path)

    def xattrs(self, path: bytes) -> Mapping[bytes, bytes]:
        return self.inner.xattrs(path)

    def open(self, path: bytes, size: int) -> Iterable[bytes]:
        return self.inner.open(path, size)

    def identity(self, entry: SourceEntry) -> tuple[int, ...]:
        return self.inner.identity(entry)

    def close(self) -> None:
        self.inner.close()


def walk(source: Source, path: bytes) -> Iterator[SourceEntry]:
    """Everything below a directory, in the order of names, a directory before what is in it."""
    pending = [*reversed(source.children(path))]
    while pending:
        entry = pending.pop()
        yield entry
        if stat.S_ISDIR(entry.attributes.mode):
            pending.extend(reversed(source.children(entry.path)))


class HostSource:
    """A directory of the host, opened beneath its descriptor. Its files count as root's."""

    keeps_owners = False

    def __init__(self, path: str) -> None:
        self._root = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        self._directories: dict[bytes, int] = {}
        status = os.fstat(self._root)
        self.root_identity = status.st_dev, status.st_ino

    def resolve(self, path: bytes) -> bytes:
        found = openat2(
            self._root,
            os.fsdecode(path) or ".",
            os.O_PATH,
            resolve=RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS,
        )
        try:
            top = os.readlink(b"/proc/self/fd/%d" % self._root)
            real = os.readlink(b"/proc/self/fd/%d" % found)
        finally:
            os.close(found)
        return real.removeprefix(top).lstrip(b"/") if top != b"/" else real.lstrip(b"/")

    def entry(self, path: bytes) -> SourceEntry | None:
        try:
            found = self._open(path, os.O_PATH | os.O_NOFOLLOW)
        except (FileNotFoundError, NotADirectoryError, OSError) as error:
            if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
                return None
            raise
        try:
            status = os.fstat(found)
        finally:
            os.close(found)
        return SourceEntry(path, attributes_of(status))

    def children(self, path: bytes) -> list[SourceEntry]:
        descriptor = self._open(path, os.O_RDONLY | os.O_DIRECTORY)
        prefix = path + b"/" if path else b""
        found = []
        try:
            with os.scandir(descriptor) as entries:
                for each in entries:
                    name = prefix + os.fsencode(each.name)
                    status = each.stat(follow_symlinks=False)
                    if not stat.S_ISSOCK(status.st_mode):
                        found.append(SourceEntry(name, attributes_of(status)))
        finally:
            os.close(descriptor)
        return sorted(found)

    def readlink(self, path: bytes) -> bytes:
        parent, name = self._parent(path)
        return os.readlink(name, dir_fd=parent)

    def xattrs(self, path: bytes) -> Mapping[bytes, bytes]:
        parent, name = self._parent(path)
        place = b"/proc/self/fd/%d/%s" % (parent, name)
        try:
            names = os.listxattr(place, follow_symlinks=False)
        except OSError:
            return {}
        return {
            os.fsencode(each): os.getxattr(place, each, follow_symlinks=False)
            for each in names
            if each.startswith("user.") or each == "security.capability"
        }

    def open(self, path: bytes, size: int) -> FileContents:
        return FileContents(lambda: self._open_file(path), size)

    def _open_file(self, path: bytes) -> int:
        parent, name = self._parent(path)
        try:
            return os.open(name, _OPEN_FLAGS, dir_fd=parent)
        except OSError as error:
            error.filename = path  # beneath the top, and not only the name
            raise

    def identity(self, entry: SourceEntry) -> tuple[int, ...]:
        known = entry.attributes
        return known.ino, known.size, known.mtime_ns, known.ctime_ns

    def path_on_host(self, path: bytes) -> str:
        """The path of the host that a path without links leads to now."""
        top = os.readlink(b"/proc/self/fd/%d" % self._root)
        return os.fsdecode(top + b"/" + path if path else top)

    def close(self) -> None:
        for descriptor in (self._root, *self._directories.values()):
            os.close(descriptor)
        self._directories.clear()

    def _open(self, path: bytes, flags: int) -> int:
        return openat2(
            self._root,
            os.fsdecode(path) or ".",
            flags,
            resolve=RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS,
        )

    def _parent(self, path: bytes) -> tuple[int, bytes]:
        """A descriptor of the directory that a path is in, and its name there. The descriptors of the
        last directories are kept."""
        directory, _, name = path.rpartition(b"/")
        if not directory:
            return self._root, name or b"."
        known = self._directories.get(directory)
        if known is None:
            if len(self._directories) >= _OPEN_DIRECTORIES:
                oldest = next(iter(self._directories))
                os.close(self._directories.pop(oldest))
            known = self._open(directory, os.O_PATH | os.O_DIRECTORY)
            self._directories[directory] = known
        return known, name


class LayerSource:
    """The merged files of layers: of a stage, of an image, or of an archive."""

    def __init__(self, snapshot: Snapshot, *, keeps_owners: bool = True) -> None:
        self.keeps_owners = keeps_owners
        self._snapshot = snapshot

    def resolve(self, path: bytes) -> bytes:
        return self._snapshot.resolve(path)

    def entry(self, path: bytes) -> SourceEntry | None:
        node = self._snapshot.find(path)
        return None if node is None else SourceEntry(path, node.attributes)

    def children(self, path: bytes) -> list[SourceEntry]:
        prefix = path + b"/" if path else b""
        found = [
            SourceEntry(prefix + name, node.attributes)
            for name, node in self._snapshot.children(path)
        ]
        return sorted(found)

    def readlink(self, path: bytes) -> bytes:
        return self._snapshot.readlink(self._node(path))

    def xattrs(self, path: bytes) -> Mapping[bytes, bytes]:
        return self._snapshot.xattrs(self._node(path))

    def open(self, path: bytes, size: int) -> Iterator[bytes]:
        return contents(partial(self._snapshot.open_file, self._node(path)), size)

    def identity(self, entry: SourceEntry) -> tuple[int, ...]:
        """Within these layers, which never change, the number of a file says which it is."""
        return entry.attributes.ino, entry.attributes.size

    def close(self) -> None:
        self._snapshot.close()

    def _node(self, path: bytes) -> Node:
        node = self._snapshot.find(path)
        if node is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        return node
