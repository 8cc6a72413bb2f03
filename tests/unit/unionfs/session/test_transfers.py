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

    def __init__(self, unsynced: int) -> None:
        self.in_threads = 0
        transfer = SimpleNamespace(run=lambda: 0, finish=lambda: None, unsynced=unsynced)
        self._handlers = TransferHandlers(
            SimpleNamespace(
                begin_flush=lambda nodeid: transfer if nodeid == WRITTEN else None,
                begin_fsync=lambda nodeid, datasync: transfer,
            ),
            SimpleNamespace(start=self._start),
            SimpleNamespace(require_copied=pytest.fail),
            pytest.fail,
            pytest.fail,
            counters=Counters(),
        )

    def _start(self, work: object, done: object) -> None:
        self.in_threads += 1

    def runs_in_thread(self, opcode: Opcode, nodeid: int = WRITTEN) -> bool:
        before = self.in_threads
        header, request = SimpleNamespace(nodeid=nodeid, unique=1), SimpleNamespace(flags=0)
        reply = self._handlers.table[opcode](header, request)
        assert (reply is None) == (self.in_threads > before)
        return reply is None


@pytest.mark.parametrize("opcode", [Opcode.FLUSH, Opcode.FSYNC])
@pytest.mark.parametrize(("unsynced", "in_thread"), [(BIG - 1, False), (BIG, True)])
def test_big_syncs_run_in_a_thread(opcode, unsynced, in_thread):
    assert Session(unsynced).runs_in_thread(opcode) == in_thread


def test_closing_a_file_that_was_read_needs_no_thread():
    assert not Session(BIG).runs_in_thread(Opcode.FLUSH, READ)
