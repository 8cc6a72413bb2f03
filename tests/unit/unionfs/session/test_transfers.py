"""Which syncs of the device session run in a thread."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from unionfs.session.copies import BIG
from unionfs.session.counters import Counters
from unionfs.session.transfers import TransferHandlers
from unionfs.session.wire import Opcode

WRITTEN, READ = 2, 3
"""Nodes of files that were written to and only read."""


class Session:
    """The handlers, and what they have done."""

    def __init__(self) -> None:
        self.in_threads = 0
        self.counters = Counters()
        transfer = SimpleNamespace(run=lambda: 0, finish=lambda: None)
        self._handlers = TransferHandlers(
            SimpleNamespace(
                begin_flush=lambda nodeid: transfer if nodeid == WRITTEN else None,
                begin_fsync=lambda nodeid, datasync: transfer,
            ),
            SimpleNamespace(start=self._start),
            SimpleNamespace(require_copied=pytest.fail),
            pytest.fail,
            pytest.fail,
            counters=self.counters,
        )

    def _start(self, work: object, done: object) -> None:
        self.in_threads += 1

    def runs_in_thread(self, opcode: Opcode, nodeid: int = WRITTEN) -> bool:
        before = self.in_threads
        header, request = SimpleNamespace(nodeid=nodeid, unique=1), SimpleNamespace(flags=0)
        reply = self._handlers.table[opcode](header, request)
        assert (reply is None) == (self.in_threads > before)
        return reply is None


def test_small_syncs_run_without_a_thread():
    session = Session()
    session.counters.bytes[Opcode.WRITE] += BIG - 1
    assert not session.runs_in_thread(Opcode.FLUSH)
    assert not session.runs_in_thread(Opcode.FSYNC)


def test_closing_one_file_leaves_what_others_have_to_write_to_a_thread():
    session = Session()
    session.counters.bytes[Opcode.WRITE] += BIG
    assert session.runs_in_thread(Opcode.FLUSH)
    assert session.runs_in_thread(Opcode.FLUSH)
    assert session.runs_in_thread(Opcode.FSYNC)
    assert not session.runs_in_thread(Opcode.FLUSH)


def test_closing_a_file_that_was_read_needs_no_thread():
    session = Session()
    session.counters.bytes[Opcode.WRITE] += BIG
    assert not session.runs_in_thread(Opcode.FLUSH, READ)
    assert session.runs_in_thread(Opcode.FLUSH)
