"""The line of an event in the log, and docker's document of it."""

import json

import pytest

from rootless.events.event import Event, EventType, decode, document, encode, volume_event

DIE = Event(
    1795744930989570845,
    EventType.CONTAINER,
    "die",
    "a" * 64,
    {"x": "y", "image": "evt:1", "exitCode": "0"},
)


def test_line_is_read_as_it_was_written() -> None:
    line = encode(DIE)
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert decode(line) == DIE


def test_label_of_several_lines_stays_in_the_line() -> None:
    event = DIE._replace(attributes={"label": "a\nb\udc80"})
    assert encode(event).count(b"\n") == 1
    assert decode(encode(event)) == event


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'{"time": 1}',
        encode(DIE)[:-9],
        encode(DIE).replace(b"container", b"swarm"),
        encode(DIE).replace(b'"die"', b"1"),
        encode(DIE).replace(b'"evt:1"', b"null"),
        encode(DIE).replace(b"1795744930989570845", b'"now"'),
    ],
)
def test_damaged_line_is_no_event(line: bytes) -> None:
    assert decode(line) is None


def test_document_is_dockers() -> None:
    assert json.dumps(document(DIE), separators=(",", ":")) == (
        '{"status":"die","id":"' + "a" * 64 + '","from":"evt:1","Type":"container","Action":"die",'
        '"Actor":{"ID":"' + "a" * 64 + '","Attributes":{"exitCode":"0","image":"evt:1","x":"y"}},'
        '"scope":"local","time":1795744930,"timeNano":1795744930989570845}'
    )


def test_document_of_a_volume_has_none_of_the_older_fields() -> None:
    event = volume_event("vv", "create", 10**9, driver="local")
    assert document(event) == {
        "Type": "volume",
        "Action": "create",
        "Actor": {"ID": "vv", "Attributes": {"driver": "local"}},
        "scope": "local",
        "time": 1,
        "timeNano": 10**9,
    }
