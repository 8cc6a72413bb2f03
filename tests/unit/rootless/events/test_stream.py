"""The log of events: written by any number of processes, bounded, and read while it is written."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from rootless.events.event import Event, EventType
from rootless.events.filters import EventFilters
from rootless.events.log import LIMIT, EventLog
from rootless.events.stream import EventStream, _File


def event(name: str, moment: int = 5) -> Event:
    return Event(moment, EventType.CONTAINER, name, "c", {"name": "web"})


def names(stream: EventStream) -> list[str]:
    return [each.action for each in stream.read()]


@pytest.fixture
def log(tmp_path: Path) -> EventLog:
    return EventLog(str(tmp_path / "run"))


def test_first_event_makes_the_directory(log: EventLog) -> None:
    log.append(event("create"), event("start"))
    with EventStream(log, since=0) as stream:
        assert names(stream) == ["create", "start"]
    assert Path(log.runtime).stat().st_mode & 0o777 == 0o700
    assert Path(log.path).stat().st_mode & 0o777 == 0o600


def test_stream_has_the_past_only_if_asked_for(log: EventLog) -> None:
    log.append(event("old"))
    with EventStream(log) as live, EventStream(log, until=9) as past:
        log.append(event("new"))
        assert names(live) == ["new"]
        assert names(past) == ["old", "new"]


def test_range_of_time_includes_its_beginning_and_not_its_end(log: EventLog) -> None:
    for moment in (4, 5, 6, 7):
        log.append(event(str(moment), moment))
    with EventStream(log, since=5, until=7) as stream:
        assert [each.action for each in stream] == ["5", "6"]


def test_filters_choose(log: EventLog) -> None:
    log.append(event("create"), event("die"))
    with EventStream(log, EventFilters(actions=("die",)), since=0) as stream:
        assert names(stream) == ["die"]


def test_torn_and_damaged_lines_cost_no_other_event(log: EventLog) -> None:
    log.append(event("first"))
    with Path(log.path).open("ab") as file:
        file.write(b'{"time":5,"type":"contai')
    log.append(event("second"))
    with Path(log.path).open("ab") as file:
        file.write(b"\xff\x00\n\n[]\n")
    log.append(event("third"))
    with EventStream(log, since=0) as stream:
        assert names(stream) == ["first", "second", "third"]


def test_log_stays_bounded_and_a_stream_loses_nothing_where_it_rotates(log: EventLog) -> None:
    filler = Event(5, EventType.CONTAINER, "filler", "c", {"label": "x" * 3000})
    with EventStream(log) as stream:
        seen = 0
        for number in range(3 * LIMIT // 3000):
            log.append(filler._replace(action=f"filler-{number}"))
            if number % 50 == 0:
                seen += len(stream.read())
        seen += len(stream.read())
    assert seen == 3 * LIMIT // 3000
    sizes = [path.stat().st_size for path in Path(log.runtime).iterdir()]
    assert len(sizes) == 3  # with the lock
    assert sum(sizes) <= 2 * (LIMIT + 4000)


def test_stream_that_begins_after_a_rotation_has_both_files(log: EventLog) -> None:
    log.append(event("older"))
    os.rename(log.path, log.older)
    log.append(event("newer"))
    with EventStream(log, since=0) as stream:
        assert names(stream) == ["older", "newer"]


def test_event_that_is_written_to_a_renamed_file_is_seen(log: EventLog) -> None:
    log.append(event("older"))
    with EventStream(log, since=0) as stream, Path(log.path).open("ab") as late:
        os.rename(log.path, log.older)
        log.append(event("newer"))
        assert names(stream) == ["older", "newer"]
        late.write(Path(log.older).read_bytes().replace(b"older", b"late"))
        late.flush()
        assert names(stream) == ["late"]


def test_stream_of_an_empty_log_has_what_rotated_before_it_was_read(log: EventLog) -> None:
    with EventStream(log) as stream:
        for name in ("older", "newer"):
            log.append(event(name))
            if name == "older":
                os.rename(log.path, log.older)
        assert names(stream) == ["older", "newer"]


def test_events_of_a_process_are_in_order_where_the_log_rotates_meanwhile(
    log: EventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    log.append(event("first"))
    whole = _File.events
    with EventStream(log, since=0) as stream, Path(log.path).open("ab") as late:
        line = Path(log.path).read_bytes()

        def events(file: _File) -> Iterator[Event]:
            """The second event comes to the file that is renamed, after that was read, and the third to the next."""
            yield from whole(file)
            if not late.closed:
                os.rename(log.path, log.older)
                late.write(line.replace(b"first", b"second"))
                late.close()
                log.append(event("third"))

        monkeypatch.setattr(_File, "events", events)
        assert names(stream) + names(stream) == ["first", "second", "third"]


def test_stream_wakes_up_when_an_event_comes(log: EventLog) -> None:
    with EventStream(log) as stream:
        writer = threading.Timer(0.05, lambda: log.append(event("live")))
        writer.start()
        found: list[str] = []
        while not found:
            stream.wait()
            found = names(stream)
        assert found == ["live"]
        writer.join()


def test_stream_ends_when_its_time_is_over(log: EventLog) -> None:
    until = time.time_ns() + 100 * 10**6
    with EventStream(log, until=until) as stream:
        assert list(stream) == []
    assert time.time_ns() >= until


def test_events_of_many_processes_are_all_there(log: EventLog) -> None:
    script = (
        "import sys\n"
        "from rootless.events.event import Event, EventType\n"
        "from rootless.events.log import EventLog\n"
        "for n in range(200):\n"
        "    more = {'label': 'x' * 1400}\n"
        "    EventLog(sys.argv[1]).append(Event(n, EventType.CONTAINER, sys.argv[2], 'c', more))\n"
    )
    with EventStream(log) as stream:
        writers = [
            subprocess.Popen([sys.executable, "-c", script, log.runtime, str(number)])
            for number in range(4)
        ]
        found: list[Event] = []
        while any(writer.poll() is None for writer in writers):
            found += stream.read()
        found += stream.read()
    assert [writer.returncode for writer in writers] == [0] * 4
    for number in range(4):
        assert [each.time for each in found if each.action == str(number)] == list(range(200))


def test_directory_of_another_kind_costs_the_event_and_no_more(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("")
    EventLog(str(tmp_path / "run")).append(event("lost"))
    (tmp_path / "link").mkdir()
    (tmp_path / "link/events.jsonl").symlink_to(tmp_path / "elsewhere")
    EventLog(str(tmp_path / "link")).append(event("lost"))
    assert not (tmp_path / "elsewhere").exists()
