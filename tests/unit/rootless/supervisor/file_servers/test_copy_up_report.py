"""cow.json: what the file server writes of copying up, and what is read of it."""

import os
import select
import signal

import pytest

from rootless.containers.process_identity import start_time
from rootless.containers.record import ContainerRecord
from rootless.containers.status import Status
from rootless.errors import HostSupportError, InvalidDocumentError, NotFoundError, RootlessError
from rootless.supervisor.file_servers.copy_up_report import read_report, write_report
from rootless.supervisor.file_servers.file_server import write_report_on_signal
from unionfs.copy_up_stats import CopyUpCause, CopyUpRecord, CopyUpStats

ENDED = ContainerRecord(id="1" * 64, name="box", created="", status=Status.EXITED)


def stats_of(*rows: CopyUpRecord) -> CopyUpStats:
    stats = CopyUpStats()
    for row in rows:
        stats.add(row)
    return stats


def rows() -> list[CopyUpRecord]:
    first = CopyUpRecord(b"etc/passwd", CopyUpCause(0, ""), 800, 800, is_lazy=False)
    first.changed = 20
    second = CopyUpRecord(b"/\xff/big", CopyUpCause(7, "dd"), 1000, 0, is_lazy=True)
    second.changed = 5000
    return [first, second]


def test_stats_of_an_ended_container_is_read_as_it_was_written(tmp_path):
    write_report(tmp_path, stats_of(*rows()), finished=True)
    report = read_report(ENDED, tmp_path)
    assert report.finished
    assert (report.files, report.copied, report.changed, report.wasted) == (2, 800, 5020, 0)
    first, second = report.records
    assert (first.path, first.wasted, first.lazy) == ("/etc/passwd", 780, False)
    assert (os.fsencode(second.path), second.pid, second.process) == (b"/\xff/big", 7, "dd")
    assert second.wasted == 0
    assert second.lazy


def test_report_that_was_never_written_is_not_taken_for_an_empty_one(tmp_path):
    with pytest.raises(NotFoundError, match="box"):
        read_report(ENDED, tmp_path)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": 1}', '{"format": 2}'])
def test_report_that_cannot_be_read_is_said(tmp_path, text):
    (tmp_path / "cow.json").write_text(text)
    with pytest.raises(InvalidDocumentError, match=r"cow\.json"):
        read_report(ENDED, tmp_path)


def test_container_on_kernel_overlayfs_has_none(tmp_path):
    with pytest.raises(HostSupportError, match="kernel overlayfs"):
        read_report(ENDED._replace(storage_driver="overlay"), tmp_path)


@pytest.fixture
def server(tmp_path):
    """A process that counts, and the record of a container that it serves."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            write_report_on_signal(tmp_path, stats_of(*rows()))
            os.write(writer, b"r")
            while True:
                signal.pause()
        finally:
            os._exit(1)
    try:
        assert select.select([reader], [], [], 60)[0]
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
        report = read_report(server, tmp_path)
        assert (report.finished, report.files) == (False, 2)
        write_report(tmp_path, CopyUpStats(), finished=False)


def test_signal_never_goes_to_a_process_that_took_the_number(server, tmp_path):
    other = server._replace(server_pid=os.getpid(), server_pid_start=1)
    with pytest.raises(NotFoundError):
        read_report(other, tmp_path)


def test_server_that_does_not_answer_is_an_error(server, tmp_path, monkeypatch):
    monkeypatch.setattr("rootless.supervisor.file_servers.report_request.TIMEOUT", 0.05)
    os.kill(server.server_pid, signal.SIGSTOP)
    with pytest.raises(RootlessError, match="did not answer"):
        read_report(server, tmp_path)
