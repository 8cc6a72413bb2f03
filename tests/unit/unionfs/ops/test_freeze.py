"""Files that were written to, and whose attributes no request has asked for since, when their upper is frozen."""

import os
import stat

import pytest

from unionfs.directory import DirectoryLayer, DirectoryUpper
from unionfs.model import ROOT_NODE, Caller, SetAttributes
from unionfs.ownership import Ownership
from unionfs.union import Union, UnionOptions

CALLER = Caller(os.geteuid(), os.getegid())
DATA = b"written before the upper was frozen"


class Case:
    """A union in which `d/f` has two names, and was written to before its upper was frozen."""

    def __init__(self, top: bytes, *, defers: bool) -> None:
        self.top = top
        os.mkdir(top + b"/lower")
        upper = DirectoryUpper(
            top + b"/upper", top + b"/work", ownership=Ownership.DATA, base_owner=CALLER[:2]
        )
        self.union = Union(
            [DirectoryLayer(top + b"/lower")],
            upper,
            UnionOptions(volatile=True, defers_metadata=defers),
        )
        union = self.union
        self.directory = union.mkdir(ROOT_NODE, b"d", 0o755, CALLER).nodeid
        self.file = union.create(self.directory, b"f", 0o640, os.O_RDWR, CALLER).nodeid
        union.link(self.file, self.directory, b"other")
        self.single = union.create(self.directory, b"single", 0o640, os.O_RDWR, CALLER).nodeid
        for node in (self.file, self.single):
            union.write(node, 0, DATA)
        self.freeze()

    def freeze(self) -> None:
        def move() -> tuple[bytes, bytes]:
            os.rename(self.top + b"/upper", self.top + b"/frozen")
            os.mkdir(self.top + b"/upper")
            return self.top + b"/frozen", self.top + b"/upper"

        self.union.freeze(self.top + b"/saved", move)

    def on_disk(self, name: bytes) -> os.stat_result:
        return os.stat(self.top + b"/frozen/d/" + name)

    def read(self, node: int) -> bytes:
        buffer = bytearray(4096)
        return bytes(buffer[: self.union.read_into(node, 0, memoryview(buffer))])


@pytest.fixture(params=[False, True], ids=["", "deferring"])
def case(request, tmp_path):
    made = Case(os.fsencode(tmp_path), defers=request.param)
    yield made
    made.union.destroy()


def settings(**wanted: int) -> SetAttributes:
    return SetAttributes()._replace(**wanted)


def test_attributes_are_those_on_the_disk(case):
    for node, name in ((case.file, b"f"), (case.single, b"single")):
        shown, found = case.union.getattr(node), case.on_disk(name)
        assert (shown.size, shown.mtime_ns) == (len(DATA), found.st_mtime_ns)
    assert case.union.getattr(case.file).nlink == 2


def test_listing_has_the_sizes(case):
    listed = case.union.readdirplus(case.directory, 0, 4096, 152)
    sizes = {name: attributes.size for _, name, _, attributes in listed}
    assert [sizes[name] for name in (b"f", b"other", b"single")] == [len(DATA)] * 3


def test_times_of_the_directory_are_those_on_the_disk(case):
    assert case.union.getattr(case.directory).mtime_ns == case.on_disk(b"").st_mtime_ns


def test_data_are_read_whole(case):
    assert case.read(case.single) == DATA
    assert case.read(case.file) == DATA


def test_write_copies_all_of_them(case):
    case.union.write(case.single, 0, b"W")
    assert case.read(case.single) == b"W" + DATA[1:]
    assert case.union.getattr(case.single).size == len(DATA)
    assert case.on_disk(b"single").st_size == len(DATA)


def test_truncation_keeps_the_beginning(case):
    case.union.setattr(case.single, settings(size=7))
    assert case.read(case.single) == DATA[:7]


@pytest.mark.parametrize("name", [b"single", b"f"])
def test_size_is_known_after_the_last_name_is_gone(case, name):
    node = case.single if name == b"single" else case.file
    case.union.unlink(case.directory, name)
    if name == b"f":
        case.union.unlink(case.directory, b"other")
    shown = case.union.getattr(node)
    assert (shown.size, shown.nlink) == (len(DATA), 0)
    assert case.read(node) == DATA


def test_change_of_times_and_mode_keeps_the_size(case):
    case.union.setattr(case.single, settings(mode=0o600))
    case.union.setattr(case.single, settings(mtime_ns=5, atime_ns=6))
    case.union.link(case.single, case.directory, b"more")
    case.union.unlink(case.directory, b"more")
    shown = case.union.getattr(case.single)
    assert (stat.S_IMODE(shown.mode), shown.mtime_ns, shown.size) == (0o600, 5, len(DATA))


def test_renamed_file_keeps_size_and_data(case):
    case.union.rename(case.directory, b"single", ROOT_NODE, b"moved", 0)
    assert case.union.getattr(case.single).size == len(DATA)
    assert case.read(case.single) == DATA
