"""The index of a tar layer, and the merged index of a chain of layers: one SQLite schema.

An index is written under a temporary name in its directory, without journal or locks (no other process
knows the file), synced and renamed, so that a reader finds a complete index or none. Readers open it
with `immutable=1`: no locks, no journal, no recovery, as a parallel file system needs it.
docs/formats.md describes every column.
"""

from __future__ import annotations

import errno
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Sequence
    from typing import Final

APPLICATION_ID: Final = 0x726C6C69
"""`rlli`: file(1) and sqlite3(1) show it."""
VERSION: Final = 1

ROOT: Final = 1
"""The node number of the root; its entry has parent 0 and an empty name."""

WHITEOUT: Final = 1
OPAQUE: Final = 2
IMPLIED: Final = 4
"""A directory without a member of its own in the archive: it is the parent of another one. In a chain
the directory of the lower layer keeps its attributes."""

NODE_COLUMNS: Final = (
    "ino, layer, mode, uid, gid, rdev, nlink, size, mtime, atime, ctime, "
    "offset, target, sparse, xattrs"
)

# After a crash the file, which has no name yet, is thrown away, so a journal has nothing to protect. Temporary tables go to
# files: a layer may hide a million names of those below.
_UNSAFE_AND_FAST: Final = """
PRAGMA journal_mode = OFF;
PRAGMA synchronous = OFF;
PRAGMA temp_store = FILE;
"""

SCHEMA: Final = f"""
PRAGMA page_size = 4096;
PRAGMA application_id = {APPLICATION_ID};
PRAGMA user_version = {VERSION};
CREATE TABLE node (
    ino INTEGER PRIMARY KEY,
    layer INTEGER NOT NULL,
    mode INTEGER NOT NULL,
    uid INTEGER NOT NULL,
    gid INTEGER NOT NULL,
    rdev INTEGER NOT NULL,
    nlink INTEGER NOT NULL,
    size INTEGER NOT NULL,
    mtime INTEGER NOT NULL,
    atime INTEGER,
    ctime INTEGER,
    offset INTEGER NOT NULL,
    target BLOB,
    sparse BLOB,
    xattrs BLOB
);
CREATE TABLE entry (
    parent INTEGER NOT NULL,
    name BLOB NOT NULL,
    ino INTEGER NOT NULL,
    flags INTEGER NOT NULL,
    PRIMARY KEY (parent, name)
) WITHOUT ROWID;
CREATE TABLE summary (
    layers INTEGER NOT NULL,
    last_ino INTEGER NOT NULL,
    entries INTEGER NOT NULL,
    archive_size INTEGER NOT NULL
);
"""


class IndexFormatError(ValueError):
    """The file is no index, or one of another version. It can be made again from the archive."""


def sqlite_uri(path: str | os.PathLike[str], parameters: str) -> str:
    """A `file:` URI for any path, quoted byte by byte (importing urllib takes longer than opening an
    index)."""
    raw = os.fsencode(os.path.abspath(path))
    plain = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-"
    return (
        "file:"
        + "".join(chr(byte) if byte in plain else f"%{byte:02X}" for byte in raw)
        + "?"
        + parameters
    )


def _import_sqlite() -> None:
    """Import _sqlite3 without `functools`, which takes three times as long to import as the rest.

    _sqlite3 takes lru_cache from there while it is initialized; the class in C that lru_cache wraps is
    enough. A process that has threads has imported `functools` with `threading`, so that no other thread
    sees the stand-in.
    """
    if "functools" in sys.modules:
        return
    from _functools import _lru_cache_wrapper  # type: ignore[import-not-found]

    class Functools:
        @staticmethod
        def lru_cache(maxsize: int) -> Callable[[object], object]:
            return lambda function: _lru_cache_wrapper(function, maxsize, False, tuple)

    sys.modules["functools"] = Functools  # type: ignore[assignment]
    try:
        import _sqlite3  # noqa: F401
    finally:
        del sys.modules["functools"]


def open_index(path: str | os.PathLike[str]) -> sqlite3.Connection:
    """Open for reading; threads may share the connection under a lock. Raises FileNotFoundError,
    IndexFormatError."""
    _import_sqlite()
    # The module in C, without the adapters for dates that sqlite3 adds and imports datetime for.
    import _sqlite3 as sqlite3

    database = None
    try:
        # Opening fails for a directory, and for a file that this user may not read.
        database = sqlite3.connect(
            sqlite_uri(path, "immutable=1&mode=ro"),
            uri=True,
            check_same_thread=False,
            isolation_level=None,
        )
        check_version(database, "main")
        # KiB, at most: pages are cached as they are read. An index of 100,000 entries has 10 MB.
        database.execute("PRAGMA cache_size = -8192")
    except (sqlite3.DatabaseError, IndexFormatError) as error:
        if database is not None:
            database.close()
        # Asked after the attempt: another process may remove the layer at any time.
        if not os.path.exists(path):
            raise FileNotFoundError(errno.ENOENT, "no such index", os.fspath(path)) from None
        raise IndexFormatError(
            f"{os.fspath(path)}: not a layer index of version {VERSION}: {error}"
        ) from None
    return database


def mode_at(index: str | os.PathLike[str], names: Sequence[bytes]) -> int | None:
    """The mode of what an index has at a path from its root, symbolic links not followed; 0 for what hides an entry of a
    layer below, None for nothing. `names` are the components of the path. Raises FileNotFoundError, and OSError (EIO)
    for a damaged index."""
    query = (
        "SELECT e.ino, coalesce(n.mode, 0) FROM entry e LEFT JOIN node n ON n.ino = e.ino "
        "WHERE e.parent = ? AND e.name = ?"
    )
    database, node, mode = None, ROOT, 0
    try:
        database = open_index(index)
        for name in names:
            row = database.execute(query, (node, name)).fetchone()
            if row is None:
                return None
            node, mode = row
        return int(mode)
    except OSError:
        raise
    except Exception as error:
        raise OSError(errno.EIO, "damaged layer index", os.fspath(index)) from error
    finally:
        if database is not None:
            database.close()


def check_version(database: sqlite3.Connection, schema: str) -> None:
    """Raises IndexFormatError unless the attached database `schema` is an index of this version."""
    found = tuple(
        database.execute(f"PRAGMA {schema}.{name}").fetchone()[0]
        for name in ("application_id", "user_version")
    )
    if found != (APPLICATION_ID, VERSION):
        raise IndexFormatError("application id {:#x}, version {}".format(*found))


_PROBE_SIZE = 1 << 16


def as_os_error(error: sqlite3.OperationalError, directory: str | os.PathLike[str]) -> OSError:
    """The error of the file system that SQLite could not write to: ENOSPC; what a write in the same directory meets, because
    SQLite tells no other apart; or EIO."""
    import sqlite3

    number = errno.EIO
    if error.sqlite_errorcode == sqlite3.SQLITE_FULL:
        number = errno.ENOSPC
    else:
        probe = os.path.join(directory, "probe")
        try:
            with open(probe, "xb", buffering=0) as file:
                file.write(bytes(_PROBE_SIZE))
                os.fsync(file.fileno())
        except OSError as met:
            number = met.errno or number
    return OSError(number, os.strerror(number))


class IndexWriter:
    """A new index under a temporary name. `commit` renames it; `discard` (idempotent) removes it."""

    def __init__(
        self, path: str | os.PathLike[str], *, start_from: str | os.PathLike[str] | None = None
    ) -> None:
        import sqlite3

        self._path = os.path.abspath(path)
        self._temporary = f"{self._path}.{os.urandom(6).hex()}.tmp"
        self._open = True
        try:
            if start_from is not None:
                _copy(start_from, self._temporary)
            self.database = sqlite3.connect(
                sqlite_uri(self._temporary, "nolock=1"),
                uri=True,
                isolation_level=None,
                check_same_thread=False,
            )
            self.database.executescript(_UNSAFE_AND_FAST)
            if start_from is None:
                self.database.executescript(SCHEMA)
        except BaseException:
            if hasattr(self, "database"):
                self.database.close()
            _unlink(self._temporary)
            raise

    def commit(self, *, durable: bool = True) -> None:
        """Make the index durable, and visible in one step; replaces an older one. Without `durable` the caller syncs
        file and directory before anything depends on them.

        1. close: all pages are written. 2. fsync. 3. rename. 4. fsync of the directory. After a
        crash before step 3, the older index is there, and a file `*.tmp` that may be removed.
        """
        self.database.close()
        if durable:
            _sync(self._temporary)
        os.rename(self._temporary, self._path)
        self._open = False
        if durable:
            _sync(os.path.dirname(self._path))

    def discard(self) -> None:
        if self._open:
            self._open = False
            self.database.close()
            _unlink(self._temporary)


def _copy(source: str | os.PathLike[str], target: str) -> None:
    import shutil

    shutil.copyfile(source, target)


def _sync(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _unlink(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass
