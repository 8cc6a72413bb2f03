"""The layers that containers share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from rootless.errors import InvalidDocumentError
from rootless.snapshots.layers import chain_of, make_layer, new_layer_id, sweep
from rootless.snapshots.record import FREEZE, Pending, Snapshot, SnapshotRecord
from rootless.snapshots.steps import begin, give_up, read_record, write_record


@pytest.fixture
def store(tmp_path: Path) -> str:
    for name in ("one", "two", ".new-three", ".old-four", "names"):
        (tmp_path / "containers" / name).mkdir(parents=True)
    return str(tmp_path)


def make(store: str, below: str = "") -> str:
    layer = new_layer_id()
    make_layer(store, layer, below)
    return layer


def left(store: str) -> set[str]:
    return {each for each in os.listdir(f"{store}/frozen") if each != ".lock"}


def snapshot(layer: str) -> Snapshot:
    return Snapshot("tag", layer, "")


def test_chain_has_the_oldest_first(store: str) -> None:
    first = make(store)
    second = make(store, first)
    assert chain_of(store, second) == [first, second]
    assert chain_of(store, "") == []
    with pytest.raises(InvalidDocumentError, match="cannot be read"):
        chain_of(store, make(store, "f" * 32))


def test_sweep_keeps_what_a_container_reaches(store: str) -> None:
    bottom = make(store)
    middle, other = make(store, bottom), make(store, bottom)
    top, being_made, gone = make(store, middle), make(store), make(store, other)
    containers = f"{store}/containers"
    write_record(f"{containers}/one", SnapshotRecord(middle, False, (snapshot(bottom),)))
    write_record(f"{containers}/two", SnapshotRecord(pending=Pending(FREEZE, snapshot(being_made))))
    write_record(f"{containers}/.new-three", SnapshotRecord(other))
    write_record(f"{containers}/.old-four", SnapshotRecord(top))
    sweep(store)
    assert left(store) == {bottom, middle, other, being_made}
    assert gone not in left(store)


def test_sweep_removes_nothing_where_a_record_cannot_be_read(store: str) -> None:
    layer = make(store)
    Path(store, "containers/one/snapshots.json").write_text("damaged")
    sweep(store)
    assert left(store) == {layer}


def test_sweep_completes_one_that_was_killed(store: str) -> None:
    layer = make(store)
    os.rename(f"{store}/frozen/{layer}", f"{store}/frozen/.old-{layer}")
    sweep(store)
    assert left(store) == set()


def test_freeze_that_did_not_begin_is_given_up(store: str) -> None:
    directory = f"{store}/containers/one"
    begin(directory, store, snapshot(new_layer_id()))
    give_up(directory, store)
    assert read_record(directory) == SnapshotRecord()
