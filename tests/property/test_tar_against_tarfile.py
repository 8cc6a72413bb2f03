"""For any tree and dialect, the index says what Python's tarfile reads from the same archive."""

from __future__ import annotations

import io
import stat
import tarfile
import tempfile
from contextlib import ExitStack, closing
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from tests.support.tar_layers import archive_of, directory, find, layer_of, member, symlink
from unionfs.tar.writer import layer_archive

PARTS = st.binary(min_size=1, max_size=60).map(
    lambda raw: raw.replace(b"\0", b"0").replace(b"/", b"1").decode("utf-8", "surrogateescape")
)
LONG = st.integers(100, 250).map(lambda length: "long" * (length // 4))
NAMES = st.one_of(st.text("abc", min_size=1, max_size=3), PARTS, LONG).filter(
    lambda name: name not in (".", "..") and not name.startswith(".wh.")
)
TIMES = st.one_of(
    st.integers(0, 1 << 33),
    st.integers(-(1 << 30), 1 << 30).map(lambda quarter: quarter / 4),
)
IDS = st.one_of(st.integers(0, 70000), st.integers(0, (1 << 32) - 2))
OBJECTS = st.tuples(
    st.sampled_from(["file", "dir", "symlink"]),
    st.lists(NAMES, max_size=3),
    st.integers(0, 0o7777),
    IDS,
    IDS,
    TIMES,
    st.binary(max_size=1500),
    NAMES,
)


@given(
    st.lists(OBJECTS, max_size=8),
    st.sampled_from([tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]),
    st.integers(1, 3000),
)
def test_index_agrees_with_tarfile(objects: list[tuple], dialect: int, chunk: int) -> None:
    members = []
    for number, (kind, above, mode, uid, gid, mtime, data, target) in enumerate(objects):
        name = "/".join([f"d{number}", *above, "end"])
        more = {"mode": mode, "uid": uid, "gid": gid}
        more["mtime"] = mtime if dialect == tarfile.PAX_FORMAT else int(mtime)
        if kind == "file":
            members.append(member(name, data, **more))
        elif kind == "dir":
            members.append(directory(name, **more))
        else:
            members.append(symlink(name, target))
    archive = archive_of(members, dialect)
    with (
        tempfile.TemporaryDirectory() as work,
        ExitStack() as open_layers,
        tarfile.open(fileobj=io.BytesIO(archive), encoding="utf-8") as reader,
    ):
        layer = open_layers.enter_context(closing(layer_of(Path(work), archive, chunk)))
        for info in reader:
            entry = find(layer, info.name)
            attributes = entry.attributes
            assert stat.S_IMODE(attributes.mode) == info.mode
            assert (attributes.uid, attributes.gid) == (info.uid, info.gid)
            assert attributes.mtime_ns == int(info.mtime * 4) * 250_000_000
            if info.issym():
                assert layer.readlink(entry.ref).decode("utf-8", "surrogateescape") == info.linkname
            elif info.isreg():
                file = reader.extractfile(info)
                assert file is not None
                assert layer.open(entry.ref).read(0, attributes.size) == file.read()
            else:
                assert stat.S_ISDIR(attributes.mode)
        written = b"".join(layer_archive(layer))
        again = open_layers.enter_context(closing(layer_of(Path(work), written)))
        assert b"".join(layer_archive(again)) == written
