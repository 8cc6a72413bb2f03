"""cow.json: what the file server writes of copying up, and what is read of it."""

import os
import select
import signal

import pytest

from rootless.containers.process_identity import start_time
from rootless.containers.record import ContainerRecord
from rootless.containers.status import Status
from rootless.errors import HostSupportError, InvalidDocumentError, NotFoundError, RootlessError
from rootless.supervisor.copy_up_report import read_ledger, write_ledger
from rootless.supervisor.file_server import tell_costs_on_request
from unionfs.copy_up_stats import CopyUpCause, CopyUpRecord, CopyUpStats

ENDED = ContainerRecord(id="1" * 64, name="box", created="", status=Status.EXITED)


def ledger_of(*rows: CopyUpRecord) -> CopyUpStats:
    ledger = CopyUpStats()
    for row in rows:
        ledger.add(row)
    return ledger


def rows() -> list[CopyUpRecord]:
    first = CopyUpRecord(b"etc/passwd", CopyUpCause(0, ""), 800, 800, is_lazy=False)
    first.changed = 20
    second = CopyUpRecord(b"/\xff/big", CopyUpCause(7, "dd"), 1000, 0, is_lazy=True)
    second.changed = 5000
    return [first, second]


def test_ledger_of_an_ended_container_is_read_as_it_was_written(tmp_path):
    write_ledger(tmp_path, ledger_of(*rows()), finished=True)
    ledger = read_ledger(ENDED, tmp_path)
    assert ledger.finished
    assert (ledger.files, ledger.copied, ledger.changed, ledger.wasted) == (2, 800, 5020, 0)
    first, second = ledger.records
    assert (first.path, first.wasted, first.lazy) == ("/etc/passwd", 780, False)
    assert (os.fsencode(second.path), second.pid, second.process) == (b"/\xff/big", 7, "dd")
    assert second.wasted == 0
    assert second.lazy


def test_ledger_that_was_never_written_is_not_taken_for_an_empty_one(tmp_path):
    with pytest.raises(NotFoundError, match="box"):
        read_ledger(ENDED, tmp_path)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": 1}', '{"format": 2}'])
def test_ledger_that_cannot_be_read_is_said(tmp_path, text):
    (tmp_path / "cow.json").write_text(text)
    with pytest.raises(InvalidDocumentError, match=r"cow\.json"):
        read_ledger(ENDED, tmp_path)


def test_container_on_kernel_overlayfs_has_none(tmp_path):
    with pytest.raises(HostSupportError, match="kernel overlayfs"):
        read_ledger(ENDED._replace(storage_driver="overlay"), tmp_path)


@pytest.fixture
def server(tmp_path):
    """A process that counts, and the record of a container that it serves."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            tell_costs_on_request(tmp_path, ledger_of(*rows()))
            os.write(writer, b"r")
            while True:
                signal.pause()
        finally:
            os._exit(1)
    try:
        assert select.select([reader], [], [], 10)[0]
        yield ENDED._replace(
            status=Status.RUNNING, server_pid=pid, server_pid_start=start_time(pid)
        )
    finally:
        os.close(reader)
        os.close(writer)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def test_running_server_writes_when_it_is_asked(server, tmp_path):
    for _ in range(3):
        ledger = read_ledger(server, tmp_path)
        assert (ledger.finished, ledger.files) == (False, 2)
        write_ledger(tmp_path, CopyUpStats(), finished=False)


def test_signal_never_goes_to_a_process_that_took_the_number(server, tmp_path):
    other = server._replace(server_pid=os.getpid(), server_pid_start=1)
    with pytest.raises(NotFoundError):
        read_ledger(other, tmp_path)


def test_server_that_gives_no_answer_is_said(server, tmp_path, monkeypatch):
    monkeypatch.setattr("rootless.supervisor.copy_up_report._PATIENCE", 0.05)
    os.kill(server.server_pid, signal.SIGSTOP)
    with pytest.raises(RootlessError, match="gave no answer"):
        read_ledger(server, tmp_path)
