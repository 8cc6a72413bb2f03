"""The merged index of a chain: the layers of an image as one tree, so that a lookup takes the same time
for any number of layers.

Layers are merged as in "Applying Changesets" of the OCI image specification: a directory over a
directory merges and takes the upper one's attributes, unless the upper archive only implies it; any
other object replaces the lower one and, if that is a directory, all below it; a whiteout removes; an
opaque directory hides the contents of the lower one. The result has no whiteouts or opaque marks, for
there is nothing below a chain. A file that loses one of its names keeps the others.

Layers are applied one after another, each by a few SQL statements whose cost depends on the layer
only, so a chain can start from the index of its lower part. Node numbers do not depend on how it was
split: a layer's nodes follow, in their order, those of all layers below it, and a directory keeps the
number that it got in the lowest layer that has it.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Sequence
from typing import TYPE_CHECKING

from unionfs.tar.index import (
    IMPLIED,
    OPAQUE,
    ROOT,
    IndexFormatError,
    IndexWriter,
    check_version,
    sqlite_uri,
)

if TYPE_CHECKING:
    import sqlite3

_IS_DIRECTORY = f"mode & {stat.S_IFMT(0xFFFF)} = {stat.S_IFDIR}"

_EMPTY = f"""
INSERT INTO node VALUES ({ROOT}, 0, {stat.S_IFDIR | 0o755}, 0, 0, 0, 2, 0, 0, NULL, NULL, 0, NULL,
    NULL, NULL);
INSERT INTO entry VALUES (0, x'', {ROOT}, {IMPLIED});
INSERT INTO summary VALUES (0, 0, 1, 0);
"""

_TABLES = """
CREATE TEMP TABLE merged (
    upper INTEGER PRIMARY KEY, lower INTEGER NOT NULL UNIQUE, flags INTEGER NOT NULL
);
CREATE TEMP TABLE doomed (
    parent INTEGER, name BLOB, ino INTEGER, PRIMARY KEY (parent, name)
) WITHOUT ROWID;
CREATE TEMP TABLE lost (ino INTEGER PRIMARY KEY, names INTEGER NOT NULL);
CREATE TEMP TABLE subdirectories (ino INTEGER PRIMARY KEY, by INTEGER NOT NULL);
"""

# One by one: for (a, b) IN (SELECT ...) SQLite searches by the first column only.
_DELETE_NAMES = "DELETE FROM main.entry WHERE parent = ? AND name = ?"

# CROSS JOIN fixes the order of a join in SQLite: from the entries of the new layer to those of the
# chain with the same name, by primary key.
_APPLY = (
    # Directories of the layer that meet a directory of the chain.
    f"""
    WITH RECURSIVE meeting(upper, lower, flags) AS (
        SELECT {ROOT}, {ROOT}, flags FROM layer.entry WHERE parent = 0
        UNION ALL
        SELECT u.ino, l.ino, u.flags FROM meeting m
            CROSS JOIN layer.entry u ON u.parent = m.upper
            CROSS JOIN layer.node un ON un.ino = u.ino AND un.{_IS_DIRECTORY}
            CROSS JOIN main.entry l ON l.parent = m.lower AND l.name = u.name
            CROSS JOIN main.node ln ON ln.ino = l.ino AND ln.{_IS_DIRECTORY}
        WHERE NOT m.flags & {OPAQUE})
    INSERT INTO merged SELECT upper, lower, flags FROM meeting
    """,
    # Names of the chain that are removed: replaced by another object, or in an opaque directory; and
    # all below them.
    f"""
    WITH RECURSIVE gone(parent, name, ino) AS (
        SELECT l.parent, l.name, l.ino FROM temp.merged m
            CROSS JOIN layer.entry u ON u.parent = m.upper
            CROSS JOIN main.entry l ON l.parent = m.lower AND l.name = u.name
        WHERE NOT m.flags & {OPAQUE} AND u.ino NOT IN (SELECT upper FROM temp.merged)
        UNION ALL
        SELECT l.parent, l.name, l.ino FROM temp.merged m
            CROSS JOIN main.entry l ON l.parent = m.lower
        WHERE m.flags & {OPAQUE}
        UNION ALL
        SELECT l.parent, l.name, l.ino FROM gone g CROSS JOIN main.entry l ON l.parent = g.ino)
    INSERT INTO doomed SELECT parent, name, ino FROM gone
    """,
    "INSERT INTO lost SELECT ino, count(*) FROM temp.doomed GROUP BY ino",
    # The change of the number of subdirectories of each merged directory. Counting them anew would
    # take a time that grows with the chain.
    f"""
    INSERT INTO subdirectories SELECT ino, sum(by) FROM (
        SELECT m.lower AS ino, 1 AS by FROM temp.merged m
            CROSS JOIN layer.entry u ON u.parent = m.upper
            CROSS JOIN layer.node n ON n.ino = u.ino AND n.{_IS_DIRECTORY}
        WHERE u.ino NOT IN (SELECT upper FROM temp.merged)
        UNION ALL
        SELECT d.parent, -1 FROM temp.doomed d
            CROSS JOIN main.node n ON n.ino = d.ino AND n.{_IS_DIRECTORY}
        WHERE d.parent IN (SELECT lower FROM temp.merged))
    GROUP BY ino
    """,
    """
    UPDATE main.node SET nlink = nlink - (SELECT names FROM temp.lost l WHERE l.ino = node.ino)
    WHERE ino IN (SELECT ino FROM temp.lost)
    """,
    f"""
    DELETE FROM main.node
    WHERE ino IN (SELECT ino FROM temp.lost) AND ({_IS_DIRECTORY} OR nlink <= 0)
    """,
    _DELETE_NAMES,
    # The nodes of the layer, numbered from the chain's last number on.
    """
    INSERT INTO main.node
    SELECT ino + :last_ino, layer + :layers, mode, uid, gid, rdev, nlink, size, mtime, atime, ctime,
        offset, target, sparse, xattrs
    FROM layer.node WHERE ino NOT IN (SELECT upper FROM temp.merged)
    """,
    f"""
    INSERT OR REPLACE INTO main.node
    SELECT m.lower, n.layer + :layers, n.mode, n.uid, n.gid, n.rdev, l.nlink, n.size, n.mtime,
        n.atime, n.ctime, n.offset, n.target, n.sparse, n.xattrs
    FROM temp.merged m CROSS JOIN layer.node n ON n.ino = m.upper
        CROSS JOIN main.node l ON l.ino = m.lower
    WHERE NOT m.flags & {IMPLIED}
    """,
    """
    INSERT INTO main.entry
    SELECT coalesce(m.lower, u.parent + :last_ino), u.name, u.ino + :last_ino, 0
    FROM layer.entry u LEFT JOIN temp.merged m ON m.upper = u.parent
    WHERE u.ino != 0 AND u.ino NOT IN (SELECT upper FROM temp.merged)
    """,
    """
    UPDATE main.node SET nlink = nlink + (SELECT by FROM temp.subdirectories s
        WHERE s.ino = node.ino)
    WHERE ino IN (SELECT ino FROM temp.subdirectories)
    """,
    """
    UPDATE main.summary SET
        layers = layers + (SELECT layers FROM layer.summary),
        last_ino = last_ino + (SELECT last_ino FROM layer.summary),
        archive_size = archive_size + (SELECT archive_size FROM layer.summary)
    """,
    "DELETE FROM temp.merged",
    "DELETE FROM temp.doomed",
    "DELETE FROM temp.lost",
    "DELETE FROM temp.subdirectories",
)


def build_chain(
    layer_indexes: Sequence[str | os.PathLike[str]],
    out: str | os.PathLike[str],
    *,
    parent: str | os.PathLike[str] | None = None,
) -> None:
    """Merge indexes, the bottom layer's first, into a new one at `out`, which appears complete or not
    at all.

    `parent` is the chain index of the layers below; it is copied, not changed. With or without it, the
    same chain gets the same node numbers. Raises IndexFormatError, FileNotFoundError, OSError.
    """
    import sqlite3

    writer = None
    try:
        writer = IndexWriter(out, start_from=parent)
        database = writer.database
        if parent is None:
            database.executescript(_EMPTY)
        check_version(database, "main")
        database.executescript(_TABLES)
        for index in layer_indexes:
            _apply(database, index)
        database.execute("UPDATE summary SET entries = (SELECT count(*) FROM entry)")
        writer.commit()
    except sqlite3.DatabaseError as error:
        if error.sqlite_errorcode == sqlite3.SQLITE_FULL:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from error
        raise IndexFormatError(f"{os.fspath(out)}: cannot merge layer indexes: {error}") from error
    finally:
        if writer is not None:
            writer.discard()


def _apply(database: sqlite3.Connection, index: str | os.PathLike[str]) -> None:
    import sqlite3

    try:
        database.execute("ATTACH ? AS layer", (sqlite_uri(index, "immutable=1&mode=ro"),))
    except sqlite3.OperationalError:
        # Asked after the attempt: another process may remove the layer at any time.
        if not os.path.exists(index):
            raise FileNotFoundError(errno.ENOENT, "no such index", os.fspath(index)) from None
        raise
    try:
        check_version(database, "layer")
        layers, last_ino = database.execute("SELECT layers, last_ino FROM main.summary").fetchone()
        numbers = {"layers": layers, "last_ino": last_ino}
        database.execute("BEGIN")
        for statement in _APPLY:
            if statement == _DELETE_NAMES:
                database.executemany(statement, database.execute("SELECT parent, name FROM doomed"))
            else:
                database.execute(statement, numbers if ":" in statement else {})
        database.execute("COMMIT")
    finally:
        database.execute("DETACH layer")
