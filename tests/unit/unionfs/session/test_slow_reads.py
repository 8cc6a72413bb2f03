"""When reads are left to threads."""

from __future__ import annotations

import os

import pytest

from unionfs.model import NodeId
from unionfs.session import slow_reads
from unionfs.session.counters import Counters
from unionfs.session.slow_reads import SLOW, SlowReads

MILLISECOND = 1_000_000


class File:
    """A file system with one file, on one that cannot tell whether a file is in memory (proc)."""

    def __init__(self, path: str = "/proc/version") -> None:
        self._file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    def source(self, _nodeid: NodeId, offset: int, size: int) -> tuple[int, int, int]:
        return self._file, offset, min(size, 4)


class Threads:
    """Counts what it is given; nothing runs."""

    def __init__(self) -> None:
        self.started = 0

    def start(self, _run: object, _done: object) -> None:
        self.started += 1


@pytest.fixture
def replies():
    return []


@pytest.fixture
def reads(replies):
    return SlowReads(File(), Threads(), replies.append, lambda *_: None, counters=Counters())


def read_all(reads: SlowReads, count: int) -> int:
    """Make `count` reads as the session does; how many were taken from the serving thread's own way."""
    return sum(reads.are_expected and reads.take(1, NodeId(1), 0, 4096) for _ in range(count))


def test_a_request_of_seconds_has_the_next_reads_made_by_threads(reads) -> None:
    reads.note_request(1000 * MILLISECOND)
    assert read_all(reads, 3) == 3
    assert reads._workers.started == 3


def test_quick_reads_after_a_request_that_lost_the_processor_stay_in_the_serving_thread(
    reads, replies
) -> None:
    reads.note_request(3 * MILLISECOND)
    assert read_all(reads, 10) == 4
    assert reads._workers.started == 0
    assert [reply[16:] for reply in replies] == [b"Linu"] * 4
    reads.note_request(3 * MILLISECOND)
    assert reads.are_expected


def test_a_slow_read_among_those_that_are_timed_has_the_next_made_by_threads(
    reads, replies, monkeypatch
) -> None:
    clock = iter([0, 10, 20, 20 + SLOW])
    monkeypatch.setattr(slow_reads, "perf_counter_ns", lambda: next(clock))
    reads.note_request(3 * MILLISECOND)
    assert read_all(reads, 2) == 2
    monkeypatch.undo()
    assert read_all(reads, 2) == 2
    assert (len(replies), reads._workers.started) == (2, 2)


def test_bytes_in_memory_are_read_by_the_serving_thread(replies, tmp_path) -> None:
    (tmp_path / "file").write_bytes(b"text")
    file = File(str(tmp_path / "file"))
    reads = SlowReads(file, Threads(), replies.append, lambda *_: None, counters=Counters())
    reads.note_request(1000 * MILLISECOND)
    assert read_all(reads, 40) == 32
    assert reads._workers.started == 0
    assert [reply[16:] for reply in replies] == [b"text"] * 32
