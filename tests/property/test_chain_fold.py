"""A merged chain index says what applying the layers one after another to a dictionary says."""

from __future__ import annotations

import sqlite3
import stat
import tarfile
import tempfile
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from tests.support.tar_layers import directory, hard_link, layer_files, member, symlink, walk
from unionfs.tar.chain import build_chain
from unionfs.tar.layer import ChainLayer

NAMES = st.sampled_from(["a", "b", "c"])
PATHS = st.lists(NAMES, min_size=1, max_size=3).map("/".join)
STEPS = st.tuples(
    st.sampled_from(["file", "dir", "dir", "symlink", "link", "whiteout", "opaque"]), PATHS, PATHS
)
LAYERS = st.lists(st.lists(STEPS, max_size=10), min_size=1, max_size=5)
IMPLIED = ("dir", 0o755)


def parents(path: str) -> list[str]:
    parts = path.split("/")[:-1]
    return ["/".join(parts[: n + 1]) for n in range(len(parts))]


def remove(tree: dict[str, object], path: str, *, itself: bool = True) -> None:
    for other in list(tree):
        if other.startswith(path + "/") or (itself and other == path):
            del tree[other]


@dataclass
class Layer:
    """What the archive of one layer holds, in the simplest terms."""

    members: list[tuple[tarfile.TarInfo, bytes]] = field(default_factory=list)
    tree: dict[str, object] = field(default_factory=dict)
    implied: set[str] = field(default_factory=set)
    whiteouts: set[str] = field(default_factory=set)
    opaque: set[str] = field(default_factory=set)

    def add(self, kind: str, path: str, other: str, number: int) -> None:
        above = parents(path) + ([path] if kind == "opaque" else [])
        if any(p in self.tree and self.tree[p][0] != "dir" for p in above):
            return
        if kind == "link" and (other not in self.tree or self.tree[other][0] == "dir"):
            return
        if kind == "link" and other.startswith(path + "/"):
            return
        for p in above:
            if p not in self.tree:
                self.tree[p] = IMPLIED
                self.implied.add(p)
        if kind == "whiteout":
            head, _, name = path.rpartition("/")
            self.members.append(member(f"{head}/.wh.{name}" if head else f".wh.{name}"))
            self.whiteouts.add(path)
            return
        if kind == "opaque":
            self.members.append(member(f"{path}/.wh..wh..opq"))
            self.opaque.add(path)
            return
        shared = self.tree.get(other)
        keeps = kind == "dir" and self.tree.get(path, ("none",))[0] == "dir"
        if not keeps and not (kind == "link" and other == path):
            remove(self.tree, path)
            self.opaque = {o for o in self.opaque if o != path and not o.startswith(path + "/")}
        self.implied &= set(self.tree)
        self.implied.discard(path)
        if kind == "link":
            self.members.append(hard_link(path, other))
            self.tree[path] = shared
        elif kind == "file":
            self.members.append(member(path, b"%d" % number))
            self.tree[path] = ("file", number)
        elif kind == "symlink":
            self.members.append(symlink(path, f"t{number}"))
            self.tree[path] = ("symlink", number)
        else:
            mode = number % 0o777
            self.members.append(directory(path, mode=mode))
            self.tree[path] = ("dir", mode)


def apply(result: dict[str, object], layer: Layer) -> None:
    for path in layer.whiteouts:
        remove(result, path)
    for path in layer.opaque:
        remove(result, path, itself=False)
    for path, node in sorted(layer.tree.items()):
        old = result.get(path)
        if not (node[0] == "dir" and old and old[0] == "dir"):
            remove(result, path)
        elif path in layer.implied:
            continue
        result[path] = node


def describe(chain: ChainLayer) -> dict[str, object]:
    found: dict[str, object] = {}
    for path, entry in walk(chain).items():
        mode = entry.attributes.mode
        if stat.S_ISDIR(mode):
            found[path.decode()] = ("dir", stat.S_IMODE(mode))
        elif stat.S_ISLNK(mode):
            found[path.decode()] = ("symlink", int(chain.readlink(entry.ref)[1:]))
        else:
            found[path.decode()] = ("file", int(chain.open(entry.ref).read(0, 99)))
    return found


def check_link_counts(chain: ChainLayer, expected: dict[str, object]) -> None:
    entries = walk(chain)
    for path, entry in entries.items():
        if stat.S_ISDIR(entry.attributes.mode):
            below = [p for p in entries if p.rpartition(b"/")[0] == path]
            subdirectories = sum(stat.S_ISDIR(entries[p].attributes.mode) for p in below)
            assert entry.attributes.nlink == 2 + subdirectories, path
        else:
            # every node of the model has a number of its own, so equal means the same inode
            names = [p for p, node in expected.items() if node == expected[path.decode()]]
            assert entry.attributes.nlink == len(names), path
            assert {entries[n.encode()].attributes.ino for n in names} == {entry.attributes.ino}
    top = sum(stat.S_ISDIR(e.attributes.mode) for p, e in entries.items() if b"/" not in p)
    assert chain.root().attributes.nlink == 2 + top


def rows(index: Path) -> list[list[tuple[object, ...]]]:
    with closing(sqlite3.connect(index)) as database:
        return [
            database.execute(f"SELECT * FROM {table} ORDER BY 1, 2").fetchall()
            for table in ("node", "entry", "summary")
        ]


@given(LAYERS, st.integers(0, 5))
def test_chain_is_the_fold_of_its_layers_however_it_is_built(
    scripts: list[list[tuple[str, str, str]]], cut: int
) -> None:
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        expected: dict[str, object] = {}
        files = []
        number = 0
        for script in scripts:
            layer = Layer()
            for kind, path, other in script:
                number += 1
                layer.add(kind, path, other, number)
            apply(expected, layer)
            files.append(layer_files(work, layer.members))
        indexes = [index for _, index in files]
        build_chain(indexes, work / "whole")
        with closing(ChainLayer(work / "whole", [tar for tar, _ in files])) as chain:
            assert describe(chain) == expected
            check_link_counts(chain, expected)
        cut = min(cut, len(indexes))
        build_chain(indexes[:cut], work / "lower")
        build_chain(indexes[cut:], work / "stepwise", parent=work / "lower")
        assert rows(work / "stepwise") == rows(work / "whole")
