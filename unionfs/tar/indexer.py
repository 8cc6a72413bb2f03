"""Writes the index of a layer's archive in one pass, while the archive is fetched, hashed and stored.

The index describes the tree that unpacking the archive into an empty directory would make. Nothing is
unpacked:

* Names are relative to the root: leading slashes and `.` are dropped, `..` removes the component before
  it, and a name that leaves the root is refused.
* Parents without a member of their own are implied: directories of root with mode 0755, and a flag.
* A later member replaces an earlier one of the same name; a directory over a directory only changes
  its attributes; any other object over a directory removes its contents.
* A hard link shares the node of an earlier member of this archive.
* A member below a symbolic link of the same archive is added where the link leads beneath the root, as in a
  chroot: `/` in a link's target is the root, and `..` does not leave it (docs/decisions/0202). A member
  below a file is refused.
* `.wh.NAME` and `.wh..wh..opq` are whiteouts. A name that is both removed and present in one layer is
  present, and hides the lower one, in either order of the two (OCI image specification, "Whiteouts").
  Other `.wh..wh.` names are AUFS's own and ignored, except the files of `.wh..wh.plnk`, which are the
  targets of hard links in old layers of Docker.

Memory is bounded: rows are written to SQLite at once; names, rows of directories and link counts, which
later members may change, are written when there are many of them (`tar.names`).
"""

from __future__ import annotations

import os
import stat
from types import TracebackType
from typing import Any, Final, NamedTuple, Self

from unionfs.tar.format import Member, TarError, TarParser
from unionfs.tar.index import IMPLIED, NODE_COLUMNS, OPAQUE, ROOT, IndexWriter
from unionfs.tar.names import GONE, Name, NameTable

MAX_ENTRIES: Final = 8_000_000
MAX_NAME: Final = 255
MAX_TARGET: Final = 4095
"""PATH_MAX without the NUL: what symlink(2) takes."""
_KNOWN_PATHS = 10_000
_KNOWN_PATH_SIZE = 1024
_BATCH = 2000
IN_MEMORY: Final = 100_000
"""Names, and rows that may change, in memory at a time: 20 MB."""
_IN_MEMORY_BYTES: Final = 8 << 20
"""Limit for link targets, sparse maps and extended attributes, which may have a megabyte each."""
_INSERT = f"INSERT OR REPLACE INTO node ({NODE_COLUMNS}) VALUES ({','.join('?' * 15)})"
_WHITEOUT_PREFIX = b".wh."
_AUFS_PREFIX = b".wh..wh."
_OPAQUE_NAME = b".wh..wh..opq"
_AUFS_LINKS = b".wh..wh.plnk"
_MAX_AUFS_LINKS = 100_000
_MAX_LINKS = 40
"""Symbolic links that one name may lead through: the kernel's bound (ELOOP)."""


class TarSummary(NamedTuple):
    """`entries` are names, the root and implied directories included, whiteouts too. Sizes are
    bytes."""

    entries: int
    whiteouts: int
    file_bytes: int
    archive_size: int


class TarIndexer:
    """Indexes an uncompressed archive; `finish` puts the index at `path`, complete or not at all.

        with TarIndexer(path) as indexer:
            for chunk in source:
                indexer.feed(chunk)
            summary = indexer.finish()

    Raises TarError for a malformed archive, OSError as the file system does. Not thread-safe, but
    different threads may use it one after the other.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        max_entries: int = MAX_ENTRIES,
        in_memory: int = IN_MEMORY,
    ) -> None:
        self._writer = IndexWriter(path)
        self._parser = TarParser()
        self._max_entries = max_entries
        self._most_in_memory = in_memory
        self._names = NameTable(self._writer.database)
        # Rows of directories wait: later members may describe them anew.
        self._directory_rows: dict[int, tuple[Any, ...]] = {}
        self._links: dict[int, int] = {}
        self._dead: list[int] = []
        self._last_spilled = 0
        self._rows: list[tuple[Any, ...]] = []
        self._weight = 0
        self._known_paths: dict[bytes, int] = {}
        self._aufs_links: dict[bytes, int] = {}
        self._last_ino = 0
        self._entries = 1
        self._file_bytes = 0
        self._position = 0
        self._new_directory(None, hidden=False)
        self._writer.database.execute("BEGIN")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.discard()

    def feed(self, chunk: bytes | memoryview) -> None:
        """Index the next bytes of the archive; they may end anywhere."""
        for member in self._parser.feed(chunk):
            self._position = member.position
            self._add(member)
        self._bound_memory()

    def add(self, member: Member) -> None:
        """Index the next member of an archive that the caller makes, in the place of `feed`."""
        self._position = member.position
        self._add(member)
        self._bound_memory()

    def _bound_memory(self) -> None:
        if len(self._rows) >= _BATCH:
            self._flush()
        waiting = len(self._directory_rows) + len(self._links) + len(self._dead)
        if (
            self._names.in_memory + waiting > self._most_in_memory
            or self._weight > _IN_MEMORY_BYTES
        ):
            self._names.spill()
            self._write_rows()

    @property
    def promised(self) -> int:
        """The least that the archive is long, by the headers so far: bytes."""
        return self._parser.promised

    def finish(self, *, size: int | None = None, durable: bool = True) -> TarSummary:
        """End of the archive: write the remaining rows, make the index durable, unless the caller does, and rename it into
        place. `size`: that of an archive whose members were added."""
        if size is None:
            size = self._parser.finish()
        database = self._writer.database
        self._dead += (ino for ino in self._aufs_links.values() if self._link_count(ino) == 0)
        self._write_rows()
        self._names.finish()
        whiteouts = database.execute("SELECT count(*) FROM entry WHERE ino = ?", (GONE,)).fetchone()
        database.execute("INSERT INTO entry VALUES (0, x'', ?, ?)", (ROOT, self._names.marks(ROOT)))
        database.executemany(
            "UPDATE node SET nlink = nlink + ?2 WHERE ino = ?1", self._names.subdirectories()
        )
        database.execute(
            "INSERT INTO summary VALUES (1, ?, ?, ?)", (self._last_ino, self._entries, size)
        )
        database.execute("COMMIT")
        self._writer.commit(durable=durable)
        return TarSummary(self._entries, whiteouts[0], self._file_bytes, size)

    def discard(self) -> None:
        """Remove the temporary index. Idempotent, and without effect after `finish`."""
        self._writer.discard()

    def _fail(self, what: str) -> TarError:
        return TarError(what, self._position)

    def _flush(self) -> None:
        self._writer.database.executemany(_INSERT, self._rows)
        self._rows.clear()

    def _write_rows(self) -> None:
        """Write all rows to the index, except names."""
        self._flush()
        database = self._writer.database
        database.executemany(
            _INSERT, (self._directory_rows[ino] for ino in sorted(self._directory_rows))
        )
        database.executemany("DELETE FROM node WHERE ino = ?", ((ino,) for ino in self._dead))
        database.executemany(
            "UPDATE node SET nlink = ? WHERE ino = ?",
            ((count, ino) for ino, count in self._links.items()),
        )
        self._directory_rows.clear()
        self._dead.clear()
        self._links.clear()
        self._weight = 0
        self._last_spilled = self._last_ino

    def _add(self, member: Member) -> None:
        path = member.path.rstrip(b"/")
        if b".." in path or path.endswith(b"/."):
            path = self._cleaned(path)
        directory, _, name = path.rpartition(b"/")
        if name in (b"", b"."):
            self._add_root(member)
            return
        parent = self._known_paths.get(directory) or self._resolve(directory)
        if not parent or name.startswith(_WHITEOUT_PREFIX):
            if parent and (name == _OPAQUE_NAME or not name.startswith(_AUFS_PREFIX)):
                self._add_mark(parent, name)
            elif directory.strip(b"/") == _AUFS_LINKS:
                self._add_aufs_link(name, member)
            return
        if len(name) > MAX_NAME:
            raise self._fail(f"name is longer than {MAX_NAME} bytes")
        if member.hard_link:
            self._add_hard_link(parent, name, member.target or b"")
            return
        if member.target and len(member.target) > MAX_TARGET:
            raise self._fail(f"symbolic link is longer than {MAX_TARGET} bytes")
        old = self._names.get(parent, name)
        hiding = old is not None and old.hiding
        if member.mode & 0o170000 == stat.S_IFDIR:
            if old is not None and self._names.is_directory(old.ino):
                self._describe(old.ino, member)
            else:
                self._make_room(old)
                ino = self._new_directory(member, hidden=hiding)
                self._names.put(parent, name, ino, hiding=hiding)
            return
        self._make_room(old)
        self._names.put(parent, name, self._new_node(member), hiding=hiding)

    def _new_node(self, member: Member) -> int:
        """Add a node that is not a directory. Returns its number."""
        self._last_ino = ino = self._last_ino + 1
        self._file_bytes += member.size
        self._weight += _weight(member)
        self._rows.append((ino, 0, *member[3:7], 1, *member[7:]))
        return ino

    def _add_aufs_link(self, name: bytes, member: Member) -> None:
        """A file with several names (AUFS: pseudo link): its names are hard links to it."""
        if not stat.S_ISREG(member.mode) or member.hard_link or name in self._aufs_links:
            return
        self._count()
        if len(self._aufs_links) >= _MAX_AUFS_LINKS:
            raise self._fail(f"more than {_MAX_AUFS_LINKS} files in {_show(_AUFS_LINKS)}")
        ino = self._new_node(member)
        self._aufs_links[name] = ino
        self._links[ino] = 0

    def _cleaned(self, path: bytes) -> bytes:
        """The name without `.` and `..`, by its text only, as by Go's path.Clean."""
        parts: list[bytes] = []
        for part in path.split(b"/"):
            if part == b"..":
                if not parts:
                    raise self._fail(f"name leads out of the root: {_show(path)}")
                parts.pop()
            elif part not in (b"", b"."):
                parts.append(part)
        return b"/".join(parts)

    def _add_root(self, member: Member) -> None:
        if not member.path:
            return  # tar(1) takes it for `.`, whose attributes it is not to have
        if not stat.S_ISDIR(member.mode) or member.hard_link:
            raise self._fail("the root of a layer is not a directory")
        self._describe(ROOT, member)

    def _add_mark(self, parent: int, name: bytes) -> None:
        if name == _OPAQUE_NAME:
            self._names.set_marks(parent, self._names.marks(parent) | OPAQUE)
            return
        removed = name[len(_WHITEOUT_PREFIX) :]
        if removed in (b"", b".", b".."):
            raise self._fail(f"whiteout of {_show(removed)}")
        if len(removed) > MAX_NAME:
            raise self._fail(f"name is longer than {MAX_NAME} bytes")
        old = self._names.get(parent, removed)
        if old is None:
            self._count()
        elif self._names.is_directory(old.ino):
            self._names.set_marks(old.ino, OPAQUE)
        self._names.put(parent, removed, old.ino if old is not None else GONE, hiding=True)

    def _add_hard_link(self, parent: int, name: bytes, target: bytes) -> None:
        ino = self._find(target)
        if not ino:
            raise self._fail(f"hard link to {_show(target)}, which is not in the archive before it")
        if self._names.is_directory(ino):
            raise self._fail(f"hard link to the directory {_show(target)}")
        old = self._names.get(parent, name)
        if old is None or old.ino != ino:
            self._make_room(old)
            if self._find(target) != ino:
                # The name was a directory's, and the target was below it.
                raise self._fail(f"hard link to {_show(target)} replaces what it links to")
            self._names.put(parent, name, ino, hiding=old is not None and old.hiding)
            self._links[ino] = self._link_count(ino) + 1

    # The tree

    def _count(self) -> None:
        self._entries += 1
        if self._entries > self._max_entries:
            raise self._fail(f"archive has more than {self._max_entries} entries")

    def _find(self, path: bytes) -> int | None:
        """The node of a hard link's target. Symbolic links are followed except for the last component, as
        by link(2)."""
        directory, _, name = self._cleaned(path).rpartition(b"/")
        if directory == _AUFS_LINKS:
            return self._aufs_links.get(name)
        parent = self._walk(directory, make=False)
        if parent is None or not name:
            return parent
        found = self._names.get(parent, name)
        return None if found is None else found.ino

    def _resolve(self, path: bytes) -> int | None:
        """The directory at this path, which is made if it is missing; None in AUFS's own directories."""
        ino = self._walk(path, make=True)
        if ino is None:
            return None
        if len(self._known_paths) >= _KNOWN_PATHS:
            self._known_paths.clear()
        if len(path) <= _KNOWN_PATH_SIZE:
            self._known_paths[path] = ino
        return ino

    def _walk(self, path: bytes, *, make: bool) -> int | None:
        """The directory at a path from the root. If it is missing, it is made, or None is returned without
        `make`. None in AUFS's own directories."""
        directories = [ROOT]
        pending = path.split(b"/")[::-1]
        links = 0
        while pending:
            part = pending.pop()
            if part in (b"", b"."):
                continue
            if part == b"..":
                # Of a link's target: `..` of the root is the root.
                del directories[max(1, len(directories) - 1) :]
                continue
            if part.startswith(_AUFS_PREFIX):
                return None
            self._check_directory_name(part, path)
            child = self._names.get(directories[-1], part)
            if child is None or child.ino == GONE:
                if not make:
                    return None
                directories.append(self._make_directory(directories[-1], part, child))
            elif self._names.is_directory(child.ino):
                directories.append(child.ino)
            else:
                links += 1
                target = self._link_target(child.ino)
                if target is None or links > _MAX_LINKS:
                    return self._no_directory(path, target is not None, make=make)
                if target.startswith(b"/"):
                    del directories[1:]
                pending += target.split(b"/")[::-1]
        return directories[-1]

    def _check_directory_name(self, name: bytes, path: bytes) -> None:
        if name.startswith(_WHITEOUT_PREFIX):
            raise self._fail(f"whiteout used as a directory: {_show(path)}")
        if len(name) > MAX_NAME:
            raise self._fail(f"name is longer than {MAX_NAME} bytes")

    def _make_directory(self, parent: int, name: bytes, old: Name | None) -> int:
        """A directory that the archive implies."""
        if old is None:
            self._count()
        hiding = old is not None and old.hiding
        made = self._new_directory(None, hidden=hiding)
        self._names.put(parent, name, made, hiding=hiding)
        return made

    def _link_target(self, ino: int) -> bytes | None:
        """Of a symbolic link; None of any other node. It is asked for seldom, so the row is written
        first and read back."""
        self._flush()
        row = self._writer.database.execute("SELECT mode, target FROM node WHERE ino = ?", (ino,))
        found = row.fetchone()
        return found[1] if found is not None and stat.S_ISLNK(found[0]) else None

    def _no_directory(self, path: bytes, linked: bool, *, make: bool) -> int | None:
        """A member lies below something else: raise TarError, or, for a link's target, nothing."""
        if make:
            why = "too many links" if linked else "something that is not a directory"
            raise self._fail(f"member below {why}: {_show(path)}")
        return None

    def _new_directory(self, member: Member | None, *, hidden: bool) -> int:
        """Add a directory. `hidden`: the archive also removes the name, so that nothing of a lower
        directory is visible, not even its attributes."""
        self._last_ino = ino = self._last_ino + 1
        marks = IMPLIED if member is None else 0
        self._names.add_directory(ino, OPAQUE if hidden else marks)
        if member is None:
            self._directory_rows[ino] = (
                ino,
                0,
                stat.S_IFDIR | 0o755,
                0,
                0,
                0,
                2,
                0,
                0,
                None,
                None,
                0,
                None,
                None,
                None,
            )
        else:
            self._describe(ino, member)
        return ino

    def _describe(self, ino: int, member: Member) -> None:
        self._directory_rows[ino] = (ino, 0, *member[3:7], 2, *member[7:])
        self._weight += _weight(member)
        self._names.set_marks(ino, self._names.marks(ino) & ~IMPLIED)

    def _make_room(self, old: Name | None) -> None:
        """Remove `old`, the node that the name had until now, or count a new name."""
        if old is None:
            self._count()
        elif old.ino != GONE:
            self._known_paths.clear()
            self._remove(old.ino)

    def _link_count(self, ino: int) -> int:
        count = self._links.get(ino)
        if count is None and ino <= self._last_spilled:
            row = self._writer.database.execute("SELECT nlink FROM node WHERE ino = ?", (ino,))
            count = row.fetchone()[0]
        return 1 if count is None else int(count)

    def _remove(self, ino: int) -> None:
        """Remove a name of a node; of a directory, its contents first."""
        doomed = [ino]
        while doomed:
            ino = doomed[-1]
            if self._names.is_directory(ino):
                if children := self._names.take_some(ino):
                    self._entries -= len(children)
                    doomed.extend(child for child in children if child != GONE)
                    continue
                self._names.remove_directory(ino)
                self._directory_rows.pop(ino, None)
                self._dead.append(ino)
            elif count := self._link_count(ino) - 1:
                self._links[ino] = count
            else:
                self._links.pop(ino, None)
                self._dead.append(ino)
            doomed.pop()


def _weight(member: Member) -> int:
    return len(member.target or b"") + len(member.sparse or b"") + len(member.xattrs or b"")


def _show(name: bytes) -> str:
    return repr(name[:200])[1:]
