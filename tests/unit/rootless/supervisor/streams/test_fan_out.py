"""An output copied to several clients, of which some do not read."""

import fcntl
import os
import time
from types import SimpleNamespace

import pytest

from rootless.supervisor.streams import fan_out
from rootless.supervisor.streams.fan_out import BACKLOG, FanOut

CLIENT = SimpleNamespace()


@pytest.fixture
def output():
    """The writing end of an output, and the FanOut that reads it, whose log is `recorded`."""
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    os.set_blocking(writer, False)
    recorded = []
    made = FanOut(reader, recorded.append)
    made.recorded = recorded
    yield writer, made
    os.close(writer)
    made.close()
    for sink in made.sinks:
        sink.close()


def write_until_full(writer, output):
    """Bytes that the container could write while its output is copied, without a client that reads."""
    total = 0
    while output.wants_input():
        total += os.write(writer, b"x" * 4096)
        output.advance()
    return total


def test_each_client_gets_everything(output):
    writer, made = output
    readers = [made.connect(CLIENT, may_be_left=True) for _ in range(3)]
    os.write(writer, b"one\n")
    made.advance()
    assert [os.read(reader, 99) for reader in readers] == [b"one\n"] * 3
    assert made.recorded == [b"one\n"]
    for reader in readers:
        os.close(reader)


def test_client_that_does_not_read_slows_the_container_only_when_its_backlog_is_full(output):
    writer, made = output
    reader = made.connect(CLIENT, may_be_left=True)
    total = write_until_full(writer, made)
    assert BACKLOG < total < BACKLOG + 128 * 1024
    os.read(reader, 65536)
    made.sinks[0].advance()
    assert made.wants_input()
    os.close(reader)


def test_client_that_takes_nothing_for_too_long_may_be_left(output, monkeypatch):
    writer, made = output
    reader = made.connect(CLIENT, may_be_left=True)
    assert made.sinks[0].patience() is None
    write_until_full(writer, made)
    (sink,) = made.sinks
    assert 0 < sink.patience() <= fan_out.PATIENCE
    later = time.monotonic() + fan_out.PATIENCE
    monkeypatch.setattr(fan_out.time, "monotonic", lambda: later)
    assert sink.patience() == 0
    sink.close()
    assert made.wants_input()
    os.close(reader)


def test_client_that_the_container_ends_with_is_waited_for_as_a_pipe_is(output):
    writer, made = output
    reader = made.connect(CLIENT, may_be_left=False)
    assert write_until_full(writer, made) <= 3 * 65536
    assert made.sinks[0].patience() is None
    os.close(reader)


def test_client_that_has_gone_is_forgotten(output):
    writer, made = output
    gone, reader = made.connect(CLIENT, may_be_left=True), made.connect(CLIENT, may_be_left=True)
    os.close(gone)
    os.write(writer, b"one\n")
    made.advance()
    assert made.lost(lambda client: True)
    assert len(made.sinks) == 1
    assert os.read(reader, 99) == b"one\n"
    os.close(reader)


def test_end_of_the_output_is_the_end_of_each_client_when_it_has_everything(output):
    writer, made = output
    reader = made.connect(CLIENT, may_be_left=True)
    total = write_until_full(writer, made)
    made.close()
    size = 0
    while data := os.read(reader, 65536):
        size += len(data)
        for sink in made.sinks:
            sink.advance()
    assert size == total
    os.close(reader)


def _pipes_can_grow() -> bool:
    ends = os.pipe2(os.O_CLOEXEC)
    try:
        fcntl.fcntl(ends[1], fcntl.F_SETPIPE_SZ, 1 << 19)
    except OSError:
        return False
    else:
        return True
    finally:
        for end in ends:
            os.close(end)


def test_the_pipes_of_a_busy_output_become_larger(tmp_path):
    if not _pipes_can_grow():
        pytest.skip("this account has as many pages in pipes as /proc/sys/fs/pipe-user-pages-soft")
    (tmp_path / "output").write_bytes(bytes(2 << 20))
    made = FanOut(os.open(tmp_path / "output", os.O_RDONLY), None)
    reader = made.connect(CLIENT, may_be_left=True)
    assert fcntl.fcntl(reader, fcntl.F_GETPIPE_SZ) == 1 << 16
    made.advance()
    assert fcntl.fcntl(reader, fcntl.F_GETPIPE_SZ) == 1 << 18
    os.close(reader)
    made.sinks[0].close()
    made.close()
