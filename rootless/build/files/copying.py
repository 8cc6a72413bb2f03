"""COPY and ADD: from files of a source to the members of a layer, as BuildKit's file operations copy them.

* A directory is copied by its contents, merged into what is at the destination; a file keeps its name
  where the destination is a directory or is written with a slash at its end.
* Symbolic links in the destination are followed beneath the root; those in the source are followed to
  where the source begins, and are copied as links below it.
* Directories that have to be made belong to the owner of the copy and have the mode 0755, or that of an octal --chmod.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator

from rootless.build.errors import BuildError
from rootless.build.files.modes import ModeChange
from rootless.build.files.sources import Source, SourceEntry, walk
from rootless.dockerfile.ignore import IgnorePatterns
from unionfs.light_types import NamedTuple
from unionfs.model import Attributes
from unionfs.nodes import Directory, Node
from unionfs.tar.writer import ArchiveMember, TarEntry

TYPE_CHECKING = False
if TYPE_CHECKING:
    from unionfs.changes.snapshot import Snapshot

CHECKSUM_FAILED = "failed to compute cache key: failed to calculate checksum of ref: "
"""What BuildKit puts before the reason why a source cannot be read."""

_NANOSECONDS = 10**9


class CopyItem(NamedTuple):
    """One source of a copy: a place in a tree, links followed. `name` is what a file is called in a
    destination that is a directory; `below` the directories that --parents keeps.
    """

    source: Source
    path: bytes
    name: bytes
    below: bytes = b""
    is_archive: bool = False
    """Its tree is that of an archive, whose top is not copied."""
    excluded: IgnorePatterns | None = None
    """What of it is left out, by paths relative to it."""

    def below_top(self, top: SourceEntry) -> Iterator[tuple[bytes, SourceEntry]]:
        """Everything in a directory that the item is, with its path relative to that."""
        skip = len(top.path) + 1 if top.path else 0
        for entry in walk(self.source, top.path):
            name = entry.path[skip:]
            if self.excluded is None or not self.excluded.ignores(os.fsdecode(name)):
                yield name, entry


class CopyPlan(NamedTuple):
    """The sources and options of a copy. `destination` is absolute. `owner` and `mode` are None for those of the
    source; times later than `newest`, in seconds, become that; `made_ns` is the time of directories that have to be
    made.
    """

    items: tuple[CopyItem, ...]
    destination: str
    owner: tuple[int, int] | None = None
    mode: ModeChange | None = None
    made_ns: int = 0
    newest: int | None = None
    link: bool = False

    @property
    def into_directory(self) -> bool:
        return self.destination.endswith(("/", "/.")) or len(self.items) > 1


def copy_members(plan: CopyPlan, target: Snapshot) -> Iterator[ArchiveMember]:
    """The members of the layer, with their data. `target` is the tree that is copied to.

    Raises BuildError for what cannot be put where it belongs, OSError.
    """
    copy = _Copy(plan, target)
    if len(plan.items) == 1:
        return copy.members(plan.items[0])
    # Of several sources with the same file the last one counts, as on a file system.
    return _last_of_each(copy, plan.items)


def _last_of_each(copy: _Copy, items: Iterable[CopyItem]) -> Iterator[ArchiveMember]:
    found: dict[bytes, ArchiveMember] = {}
    for item in items:
        for entry, data in copy.members(item):
            found[entry.path] = entry, data
    for path in sorted(found, key=lambda path: path.split(b"/")):
        yield found[path]


class _Copy:
    """One instruction's members. What was made or shown once is not repeated."""

    def __init__(self, plan: CopyPlan, target: Snapshot) -> None:
        self._plan = plan
        self._target = target
        self._directories: set[bytes] = set()
        self._links: dict[tuple[CopyItem, int], bytes] = {}
        written = plan.destination.rstrip("/")
        self._base = (
            os.fsencode(written).strip(b"/") if plan.link else target.resolve(os.fsencode(written))
        )

    def members(self, item: CopyItem) -> Iterator[ArchiveMember]:
        entry = item.source.entry(item.path)
        if entry is None:
            raise not_found(item.path)
        base = self._join(self._base, item.below)
        if stat.S_ISDIR(entry.attributes.mode):
            yield from self._tree(item, entry, base)
            return
        existing = None if self._plan.link else self._target.find(base)
        if self._plan.into_directory or isinstance(existing, Directory):
            if existing is None and base in self._directories:
                yield (
                    self._made(item, base),
                    iter(()),
                )  # a name is added to what another source has made
            yield from self._parents(item, self._join(base, item.name))
            yield self._member(item, entry, self._join(base, item.name))
            return
        yield from self._parents(item, base)
        yield self._member(item, entry, base)

    def _tree(self, item: CopyItem, top: SourceEntry, base: bytes) -> Iterator[ArchiveMember]:
        existing = None if self._plan.link else self._target.find(base)
        if existing is not None and not isinstance(existing, Directory):
            if self._plan.into_directory:
                raise _not_a_directory(base, existing)
            raise BuildError(f"cannot copy to non-directory: /{os.fsdecode(base)}")
        yield from self._parents(item, base, are_changed=existing is None)
        # BuildKit does not know the time of the top of a context.
        mtime_ns = top.attributes.mtime_ns if item.path else self._plan.made_ns
        if base and existing is None:
            # Each source sets it once more, as on a file system.
            self._directories.add(base)
            made = self._made(item, base) if item.is_archive else self._made_like(base, mtime_ns)
            yield made, iter(())
        elif base and base not in self._directories:
            self._directories.add(base)
            yield self._existing(base, mtime_ns), iter(())
        for name, entry in item.below_top(top):
            path = self._join(base, name)
            if stat.S_ISDIR(entry.attributes.mode):
                self._directories.add(path)
            if not item.is_archive:  # those replace what is there
                self._check(entry, path)
            yield self._member(item, entry, path)

    def _check(self, entry: SourceEntry, path: bytes) -> None:
        """Raises BuildError for a directory in the place of something else, or the reverse."""
        node = None if self._plan.link else self._target.find(path)
        if node is None or stat.S_ISDIR(entry.attributes.mode) == isinstance(node, Directory):
            return
        if isinstance(node, Directory):
            raise BuildError(f"cannot replace to directory /{os.fsdecode(path)} with file")
        raise BuildError(f"cannot copy to non-directory: /{os.fsdecode(path)}")

    def _parents(
        self, item: CopyItem, path: bytes, *, are_changed: bool = True
    ) -> Iterator[ArchiveMember]:
        """The directories above a path, those that are there with what they are. `are_changed`: a name is
        added to the last one."""
        names = path.split(b"/")[:-1]
        for count in range(1, len(names) + 1):
            directory = b"/".join(names[:count])
            if directory in self._directories:
                continue
            self._directories.add(directory)
            node = None if self._plan.link else self._target.find(directory)
            if node is None:
                yield self._made(item, directory), iter(())
            elif isinstance(node, Directory):
                changed = self._plan.made_ns if are_changed and count == len(names) else None
                yield self._existing(directory, changed), iter(())
            else:
                raise _not_a_directory(directory, node)

    def _existing(self, path: bytes, mtime_ns: int | None) -> TarEntry:
        """A directory as it is; with another time of change where names are added to it."""
        node = self._target.find(path)
        assert node is not None  # the caller has found it
        attributes = node.attributes
        if mtime_ns is not None:
            attributes = attributes._replace(mtime_ns=mtime_ns)
        return TarEntry(path, attributes, xattrs=self._target.xattrs(node))

    def _made_like(self, path: bytes, mtime_ns: int) -> TarEntry:
        """The destination of a directory, made anew: it has the time of the source, neither its owner nor its
        mode."""
        uid, gid = self._plan.owner or (0, 0)
        attributes = directory_attributes(uid, gid, self._time(mtime_ns))
        if self._plan.mode is not None:
            attributes = attributes._replace(mode=self._plan.mode.apply(attributes.mode))
        return TarEntry(path, attributes)

    def _time(self, mtime_ns: int) -> int:
        """In whole seconds, as BuildKit's layers have them: a fraction takes a header of its own."""
        if self._plan.newest is not None:
            mtime_ns = min(mtime_ns, self._plan.newest * _NANOSECONDS)
        return mtime_ns // _NANOSECONDS * _NANOSECONDS

    def _made(self, item: CopyItem, path: bytes) -> TarEntry:
        """A directory that has to be made. It has the mode of a --chmod that is a number, unless it is for an archive."""
        uid, gid = self._plan.owner or (0, 0)
        attributes = directory_attributes(uid, gid, self._plan.made_ns)
        mode = self._plan.mode
        if mode is not None and mode.octal is not None and not item.is_archive:
            attributes = attributes._replace(mode=stat.S_IFDIR | mode.octal)
        return TarEntry(path, attributes)

    def _member(self, item: CopyItem, entry: SourceEntry, path: bytes) -> ArchiveMember:
        known, source = entry.attributes, item.source
        kind = stat.S_IFMT(known.mode)
        uid, gid = (known.uid, known.gid) if source.keeps_owners else (0, 0)
        if self._plan.owner is not None:
            uid, gid = self._plan.owner
        mode = known.mode
        if kind == stat.S_IFREG and not source.keeps_owners:
            # Those of a context were meant for its owner: BuildKit leaves them out too.
            mode &= ~(stat.S_ISUID | stat.S_ISGID)
        if self._plan.mode is not None and kind != stat.S_IFLNK and not item.is_archive:
            mode = self._plan.mode.apply(mode)
        shown = known._replace(mode=mode, uid=uid, gid=gid, mtime_ns=self._time(known.mtime_ns))
        if kind != stat.S_IFDIR and known.nlink > 1:
            first = self._links.setdefault((item, known.ino), path)
            if first != path:
                return TarEntry(path, shown, hard_link=first), iter(())
        target = source.readlink(entry.path) if kind == stat.S_IFLNK else b""
        xattrs = {} if kind == stat.S_IFLNK else source.xattrs(entry.path)
        member = TarEntry(path, shown, target, None, xattrs)
        if kind != stat.S_IFREG:
            return member, iter(())
        return member, source.open(entry.path, known.size)

    @staticmethod
    def _join(base: bytes, name: bytes) -> bytes:
        return b"/".join(part for part in (base, name) if part)


def directory_attributes(uid: int, gid: int, mtime_ns: int) -> Attributes:
    """A new directory of mode 0755."""
    return Attributes(0, stat.S_IFDIR | 0o755, 2, uid, gid, 0, 0, 0, mtime_ns, mtime_ns, mtime_ns)


def _not_a_directory(path: bytes, node: Node) -> BuildError:
    """There is something else where a directory is to be made: BuildKit's words, a link being one without end."""
    if stat.S_ISLNK(node.attributes.mode):
        return BuildError("too many links")
    return BuildError(f"mkdir /{os.fsdecode(path)}: not a directory")


def not_found(path: bytes) -> BuildError:
    """A source that is not there, as BuildKit reports it."""
    return BuildError(f'{CHECKSUM_FAILED}"/{os.fsdecode(path)}": not found')
