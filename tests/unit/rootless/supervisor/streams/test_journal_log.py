"""Entries of the log driver journald, as datagrams of the journal's native protocol, and read again."""

import os
import socket
import struct
from contextlib import ExitStack

import pytest

from rootless.containers.launch_description import OutputLog
from rootless.containers.record import ContainerRecord
from rootless.spec.options import LogDriver
from rootless.supervisor.streams.journal_log import JournalLog

ID = "0123456789abcdef" * 4


@pytest.fixture
def journal(tmp_path):
    """The socket of a journal that only receives."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "socket"))
        listening.settimeout(60)
        yield listening


@pytest.fixture
def log_to(journal):
    """Makes a log of that journal, with settings of the driver."""
    with ExitStack() as opened:

        def make(**settings):
            record = ContainerRecord(id=ID, name="held", image="bb:1", created="")
            settings = OutputLog(LogDriver.JOURNALD, "", **settings)
            log = JournalLog(settings, record, journal.getsockname())
            opened.callback(log.close)
            return log

        yield make


def received(journal):
    """The fields of the next entry."""
    data, files, _, _ = socket.recv_fds(journal, 1 << 20, 1)
    if files:
        data = os.pread(files[0], 1 << 24, 0)
        os.close(files[0])
    fields = {}
    while data:
        line, _, data = data.partition(b"\n")
        name, is_text, value = line.partition(b"=")
        if not is_text:
            size = struct.unpack_from("<Q", data)[0]
            value, data = data[8 : 8 + size], data[9 + size :]
        fields[name.decode()] = value
    return fields


def test_entry_has_dockers_fields(journal, log_to):
    attributes = (("E", "1"), ("_com.example/label", "two\nlines"))
    log = log_to(attributes=attributes, tag="{{.Name}}/{{.ImageName}}")
    log.add(2, b"\xffhello\n")
    entry = received(journal)
    assert entry.pop("SYSLOG_TIMESTAMP").endswith(b"Z")
    assert entry == {
        "MESSAGE": b"\xffhello",
        "PRIORITY": b"3",
        "CONTAINER_ID": ID[:12].encode(),
        "CONTAINER_ID_FULL": ID.encode(),
        "CONTAINER_NAME": b"held",
        "CONTAINER_TAG": b"held/bb:1",
        "IMAGE_NAME": b"bb:1",
        "SYSLOG_IDENTIFIER": b"held/bb:1",
        "E": b"1",
        "COM_EXAMPLE_LABEL": b"two\nlines",
    }


def test_lines_are_entries_however_they_are_read(journal, log_to):
    log = log_to()
    for piece in (b"a\nb", b"c\n", b"", b"\nd"):
        log.add(1, piece)
    assert [received(journal)["MESSAGE"] for _ in range(3)] == [b"a", b"bc", b""]
    # Nothing reads it while the log waits, for a second at most.
    log.close()
    entry = received(journal)
    assert (entry["MESSAGE"], entry["PRIORITY"], entry["CONTAINER_TAG"]) == (
        b"d",
        b"6",
        ID[:12].encode(),
    )


def test_long_line_is_marked_as_docker_marks_it(journal, log_to):
    log = log_to()
    log.add(1, b"x" * 30000)
    log.add(1, b"x" * 10000 + b"\nshort\n")
    parts = [received(journal) for _ in range(3)]
    assert b"".join(part["MESSAGE"] for part in parts) == b"x" * 40000
    assert len({part["CONTAINER_PARTIAL_ID"] for part in parts}) == 1
    marks = [
        (
            part["CONTAINER_PARTIAL_ORDINAL"],
            part["CONTAINER_PARTIAL_LAST"],
            part.get("CONTAINER_PARTIAL_MESSAGE"),
        )
        for part in parts
    ]
    assert marks == [
        (b"1", b"false", b"true"),
        (b"2", b"false", b"true"),
        (b"3", b"true", None),
    ]
    assert "CONTAINER_PARTIAL_ID" not in received(journal)


def test_entry_that_is_too_large_for_a_datagram_is_passed_as_a_file(journal, log_to):
    log = log_to(attributes=(("BIG", "y" * (1 << 20)),))
    log.add(1, b"hello\n")
    entry = received(journal)
    assert (entry["MESSAGE"], len(entry["BIG"])) == (b"hello", 1 << 20)


def test_journal_that_is_started_again_gets_the_entries(journal, tmp_path, capfd, log_to):
    log = log_to()
    log.add(1, b"one\n")
    journal.close()
    (tmp_path / "socket").unlink()
    log.add(1, b"lost\nlost too\n")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
        other.bind(str(tmp_path / "socket"))
        log.add(1, b"two\n")
        assert received(other)["MESSAGE"] == b"two"
    assert capfd.readouterr().err == "writing to the journal: Connection refused\n"
