"""Container records: names are unique, lookups as Docker's, what a killed process leaves never
counts."""

import json
import os
from pathlib import Path

import pytest

from rootless.containers.directory import Containers, new_container_id
from rootless.containers.record import ContainerRecord, decode, encode
from rootless.containers.status import Status
from rootless.errors import ExistsError, InvalidDocumentError, NotFoundError, UsageError

A = "a" * 64
B = "ab" + "c" * 62


def record(container_id=A, name="web", **more):
    return ContainerRecord(id=container_id, name=name, created="2026-01-02T03:04:05Z", **more)


@pytest.fixture
def containers(tmp_path):
    return Containers(tmp_path / "containers")


def test_find_by_id_name_and_prefix_gives_the_record(containers):
    containers.create(record())
    assert containers.find(A) == containers.find("web") == containers.find("aaaa") == record()


def test_create_with_a_taken_name_is_refused_and_leaves_nothing(containers):
    containers.create(record())
    with pytest.raises(ExistsError, match='already in use by container "aaaaaaaaaaaa'):
        containers.create(record(B))
    assert [each.id for each in containers.all()] == [A]
    assert not [name for name in os.listdir(containers.root) if name.startswith(".new")]


def test_prepared_files_exist_with_the_container(containers):
    directory = containers.create(
        record(), prepare=lambda path: Path(path, "config.json").write_text("{}")
    )
    assert Path(directory, "config.json").read_text() == "{}"


def test_ambiguous_prefix_is_refused(containers):
    containers.create(record())
    containers.create(record(B, "db"))
    with pytest.raises(UsageError, match="multiple IDs found with provided prefix: a"):
        containers.find("a")
    assert containers.find("ab").name == "db"


def test_missing_container_is_docker_s_sentence(containers):
    with pytest.raises(NotFoundError, match=r"^No such container: ghost$"):
        containers.find("ghost")
    assert containers.all() == []


@pytest.mark.parametrize("name", ["", "a", "-x", "a/b", "../x", "a b", "é1"])
def test_bad_name_is_refused(containers, name):
    with pytest.raises(UsageError):
        containers.create(record(name=name))


def test_removed_name_can_be_taken_again(containers):
    containers.create(record())
    containers.remove(A)
    containers.remove(A)
    containers.create(record(B))
    assert containers.find("web").id == B


def test_name_left_by_a_killed_create_is_free(containers):
    (Path(containers.root) / "names").mkdir(parents=True)
    os.symlink(B, Path(containers.root) / "names" / "web")
    (Path(containers.root) / f".new-{B}").mkdir()
    containers.create(record())
    assert containers.find("web").id == A
    assert containers.leftovers(remove=True)
    assert sorted(os.listdir(containers.root)) == [".lock", A, "names"]


def test_rename_moves_the_name(containers):
    containers.create(record())
    containers.rename(A, "api")
    assert containers.find("api").name == "api"
    with pytest.raises(NotFoundError):
        containers.find("web")


def test_change_follows_the_table_of_transitions(containers):
    containers.create(record())
    running = containers.change(A, lambda old: old.moved_to(Status.RUNNING, pid=7, pid_start=99))
    assert (running.status, running.pid) == (Status.RUNNING, 7)
    with pytest.raises(UsageError, match="web is running and cannot become created"):
        containers.change(A, lambda old: old.moved_to(Status.CREATED))
    assert containers.find("web") == running


def test_unknown_fields_survive_a_change(containers):
    containers.create(record())
    path = Path(containers.directory(A)) / "container.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "checkpoint": {"log": [1]}}))
    containers.change(A, lambda old: old._replace(exit_code=3))
    document = json.loads(path.read_text())
    assert document["checkpoint"] == {"log": [1]}
    assert document["exit_code"] == 3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 2}, "format"),
        ({"pid": "7"}, "pid"),
        ({"pid": True}, "pid"),
        ({"command": "sh"}, "command"),
        ({"status": "x"}, "x"),
    ],
)
def test_document_of_wrong_types_is_refused(change, message):
    document = {**json.loads(encode(record())), **change}
    with pytest.raises(InvalidDocumentError, match=message):
        decode(json.dumps(document).encode(), "container.json")


def test_new_ids_are_64_hex_digits_and_no_numbers():
    for _ in range(50):
        fresh = new_container_id()
        assert len(fresh) == 64
        assert not fresh[:12].isdecimal()
