"""The record of a container's snapshots."""

from __future__ import annotations

import pytest

from rootless.containers.record import snapshots_of
from rootless.errors import InvalidDocumentError
from rootless.snapshots import SNAPSHOTS
from rootless.snapshots.record import FREEZE, Pending, Snapshot, SnapshotRecord, decode, encode

ONE = Snapshot("one", "a" * 32, "2026-01-02T03:04:05.000000006Z")
TWO = Snapshot("two", "b" * 32, "2026-01-02T03:04:06.000000006Z")


@pytest.mark.parametrize(
    "record",
    [
        SnapshotRecord(),
        SnapshotRecord(ONE.layer, True, (ONE,)),
        SnapshotRecord(ONE.layer, False, (ONE,), Pending(FREEZE, TWO)),
    ],
)
def test_document_gives_the_record_back(record: SnapshotRecord) -> None:
    assert decode(encode(record), "it") == record


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"[]",
        b'{"format": 2}',
        b'{"format": 1}',
        b'{"format": 1, "head": 1, "fresh": false, "snapshots": []}',
        b'{"format": 1, "head": "", "fresh": false, "snapshots": [{}]}',
        b'{"format": 1, "head": "", "fresh": false, "snapshots": [], "pending": {"what": 1}}',
    ],
)
def test_damaged_document_is_refused(document: bytes) -> None:
    with pytest.raises(InvalidDocumentError, match=r"^it "):
        decode(document, "it")


def test_layers_are_those_of_head_snapshots_and_what_is_under_way() -> None:
    record = SnapshotRecord("c" * 32, False, (ONE,), Pending(FREEZE, TWO))
    assert set(record.layers) == {"a" * 32, "b" * 32, "c" * 32}


def test_frozen_layer_becomes_the_head() -> None:
    record = SnapshotRecord(pending=Pending(FREEZE, ONE)).frozen(ONE, is_fresh=False)
    assert record == SnapshotRecord(ONE.layer, False, (ONE,))
    assert record.find("one") == ONE
    assert record.find("two") is None


def test_a_start_looks_for_this_file() -> None:
    assert snapshots_of("/directory") == f"/directory/{SNAPSHOTS}"
