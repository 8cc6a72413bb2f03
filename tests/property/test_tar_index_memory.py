"""An index is the same however little of it is kept in memory while it is made."""

from __future__ import annotations

import sqlite3
import tempfile
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from tests.support.tar_layers import archive_of, directory, hard_link, member, write_index
from unionfs.tar.format import TarError

PATHS = st.lists(st.sampled_from("abc"), min_size=1, max_size=4).map("/".join)
MEMBERS = st.one_of(
    st.tuples(st.sampled_from(["file", "dir"]), PATHS, st.integers(0, 0o777)),
    st.tuples(st.just("link"), PATHS, st.integers(0, 20)),
    st.tuples(st.just("whiteout"), PATHS, st.none()),
    st.tuples(st.just("opaque"), PATHS, st.none()),
)


def made(members: list[tuple[str, str, int | None]]) -> bytes:
    """An archive of these; a link goes to one of the files before it, if there is any."""
    found, files = [], []
    for kind, path, number in members:
        above, _, name = path.rpartition("/")
        if kind == "file":
            files.append(path)
            found.append(member(path, path.encode(), mode=number))
        elif kind == "dir":
            found.append(directory(path, number))
        elif kind == "whiteout":
            found.append(member(f"{above}/.wh.{name}"))
        elif kind == "opaque":
            found.append(member(f"{path}/.wh..wh..opq"))
        elif files:
            found.append(hard_link(path, files[number % len(files)]))
    return archive_of(found)


def content(archive: bytes, path: Path, in_memory: int, chunk: int) -> list[object]:
    """Every row of the index, or why there is none."""
    try:
        summary = write_index(archive, path, chunk, in_memory)
    except TarError as error:
        return [str(error)]
    database = sqlite3.connect(path)
    try:
        return [
            summary,
            *(
                database.execute(f"SELECT * FROM {table} ORDER BY 1, 2").fetchall()
                for table in ("node", "entry", "summary")
            ),
        ]
    finally:
        database.close()


@given(st.lists(MEMBERS, max_size=25), st.integers(0, 6), st.sampled_from([512, 1024, 4096]))
def test_index_does_not_depend_on_what_is_kept_in_memory(members, in_memory, chunk) -> None:
    archive = made(members)
    with tempfile.TemporaryDirectory() as work:
        wanted = content(archive, Path(work) / "all", 1 << 20, 1 << 20)
        found = content(archive, Path(work) / "some", in_memory, chunk)
    assert found == wanted
