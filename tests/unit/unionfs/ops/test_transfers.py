"""Copies and syncs in threads, while the serving thread opens and closes far more files than it may
keep open."""

from __future__ import annotations

import errno
import gc
import os
import random
from concurrent.futures import ThreadPoolExecutor

import pytest

from unionfs.directory import DirectoryLayer, DirectoryUpper
from unionfs.model import ROOT_NODE, Caller
from unionfs.ops.transfers import run
from unionfs.ownership import Ownership
from unionfs.union import Union, UnionOptions

FILES = 60
SIZE = 100_000


def content(number: int) -> bytes:
    return bytes([number]) * SIZE


@pytest.fixture
def union(tmp_path):
    (tmp_path / "lower").mkdir()
    for number in range(FILES):
        (tmp_path / "lower" / f"{number}").write_bytes(content(number))
    top = os.fsencode(tmp_path)
    made = Union(
        [DirectoryLayer(top + b"/lower", ownership=Ownership.DATA)],
        DirectoryUpper(top + b"/upper", top + b"/work", ownership=Ownership.DATA),
        UnionOptions(descriptors=4, volatile=True),
    )
    yield made
    made.destroy()


def test_transfers_in_threads_never_use_the_descriptor_of_another_file(union) -> None:
    chosen = random.Random(3)
    sources = [union.lookup(ROOT_NODE, b"%d" % number).nodeid for number in range(FILES)]
    holds: dict[int, int] = {}
    running = []
    with ThreadPoolExecutor(4) as threads:
        for turn in range(400):
            number = chosen.randrange(FILES)
            target = union.create(ROOT_NODE, b"t%d" % turn, 0o600, os.O_RDWR, Caller(0, 0)).nodeid
            holds[target] = number
            copy = union.begin_copy_range(sources[number], 0, target, 0, SIZE)
            running.append((copy, threads.submit(copy.run)))
            sync = union.begin_fsync(target, datasync=True)
            running.append((sync, threads.submit(sync.run)))
            other = chosen.randrange(FILES)
            assert union.read(sources[other], 0, SIZE) == content(other)
            if chosen.random() < 0.3:
                union.write(sources[other], 0, content(other)[:10])
            while len(running) > 12:
                transfer, future = running.pop(0)
                assert future.result() in (0, SIZE)
                transfer.finish()
        for transfer, future in running:
            future.result()
            transfer.finish()
    for target, number in holds.items():
        assert union.getattr(target).size == SIZE
        assert union.read(target, 0, SIZE) == content(number)
    for number, source in enumerate(sources):
        assert union.read(source, 0, SIZE) == content(number)


def test_transfer_that_is_not_run_leaves_no_descriptor(union) -> None:
    node = union.create(ROOT_NODE, b"f", 0o600, os.O_RDWR, Caller(0, 0)).nodeid
    source = union.lookup(ROOT_NODE, b"1").nodeid
    union.read(source, 0, 1)
    gc.collect()  # descriptors of objects that other tests dropped
    before = len(os.listdir("/proc/self/fd"))
    for transfer in (
        union.begin_fsync(node, datasync=False),
        union.begin_fsync(ROOT_NODE, datasync=False),
        union.begin_flush(node),
        union.begin_copy_range(source, 0, node, 0, SIZE),
    ):
        transfer.finish()
    assert len(os.listdir("/proc/self/fd")) == before


def test_bytes_to_sync_are_those_of_the_file(union) -> None:
    def unsynced(node):
        transfer = union.begin_fsync(node, datasync=False)
        run(transfer)
        return transfer.unsynced

    one, other = (
        union.create(ROOT_NODE, name, 0o600, os.O_RDWR, Caller(0, 0)).nodeid
        for name in (b"one", b"other")
    )
    union.write(one, 0, bytes(1000))
    union.write(other, 0, bytes(10))
    assert unsynced(ROOT_NODE) == 0
    assert unsynced(other) == 10
    assert unsynced(other) == 0
    assert unsynced(one) == 1000
    union.write(one, 0, bytes(10))
    run(union.begin_copy_range(other, 0, one, 0, 10))
    assert unsynced(one) == 20
    # Of a file that has been copied up, and of one that was closed meanwhile, it is not known.
    union.write(union.lookup(ROOT_NODE, b"1").nodeid, 0, b"x")
    assert unsynced(union.lookup(ROOT_NODE, b"1").nodeid) == SIZE + 1
    for number in range(20):
        union.read(union.lookup(ROOT_NODE, b"%d" % (number + 2)).nodeid, 0, 1)
    union.write(one, 0, b"x")
    assert unsynced(one) == 1001


@pytest.fixture
def directory(union):
    return union.mkdir(ROOT_NODE, b"d", 0o700, Caller(0, 0)).nodeid


@pytest.fixture
def failing_close(union, directory, monkeypatch):
    """A node whose file could not be closed, as on a full disk behind NFS."""
    node = union.create(directory, b"f", 0o600, os.O_RDWR, Caller(0, 0)).nodeid
    union.write(node, 0, b"lost")
    (backing,) = union._tree.files.kept.values()
    lost, close = backing.fd, os.close

    def fail(fd: int) -> None:
        close(fd)
        if fd == lost:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as context:
        context.setattr(os, "close", fail)
        union._tree.files.close(union._tree.node(node))
    return node


@pytest.mark.parametrize("sync", ["fsync", "flush"])
def test_failed_close_is_reported_once(union, failing_close, sync) -> None:
    begin = {
        "fsync": lambda: union.fsync(failing_close, datasync=False),
        "flush": lambda: union.flush(failing_close),
    }[sync]
    with pytest.raises(OSError, match="No space left"):
        begin()
    begin()


@pytest.mark.parametrize("is_unlinked", [True, False])
def test_failed_close_is_forgotten_with_the_file(
    union, directory, failing_close, is_unlinked
) -> None:
    assert union._tree.files.lost
    if is_unlinked:
        union.unlink(directory, b"f")
    union.forget(failing_close, 1)
    union.forget(directory, 1)
    union._tree._shrink()
    assert not union._tree.files.lost
