"""Volumes on disk: there as a whole or not at all, and one that is damaged harms no other."""

import json
import os
import threading
from pathlib import Path

import pytest

from rootless.errors import HostSupportError, InvalidDocumentError, NotFoundError, UsageError
from rootless.volumes.names import check_name, new_name
from rootless.volumes.record import VolumeRecord
from rootless.volumes.store import Volumes

NOW = "2026-01-02T03:04:05Z"


@pytest.fixture
def volumes(tmp_path):
    return Volumes(f"{tmp_path}/store/volumes")


def record(name="data", **fields):
    return VolumeRecord(name, NOW, **fields)


def test_volume_is_found_as_it_was_made(volumes):
    made = volumes.create(record(labels={"a": "b"}))
    assert volumes.find("data") == made
    assert volumes.all() == [made]
    assert os.stat(volumes.mountpoint("data")).st_mode & 0o777 == 0o755
    assert os.stat(volumes.root).st_mode & 0o777 == 0o700


def test_volume_that_is_there_stays_as_it_is(volumes):
    volumes.create(record(labels={"a": "b"}))
    assert volumes.create(record(labels={"c": "d"})).labels == {"a": "b"}


def test_two_processes_that_make_one_volume_get_the_same(volumes):
    results = []
    threads = [
        threading.Thread(target=lambda n=n: results.append(volumes.create(record(labels={"n": n}))))
        for n in "abcdefgh"
    ]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert len({each.labels["n"] for each in results}) == 1
    assert [name for name in os.listdir(volumes.root) if name.startswith(".new")] == []


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("a", "create a: volume name is too short, names should be at least two"),
        ("a/b", 'create a/b: "a/b" includes invalid characters for a local volume name'),
        ("_ab", 'create _ab: "_ab" includes invalid characters'),
        ("v\n1", "includes invalid characters"),
        ("x" * 256, "longer than 255"),
    ],
)
def test_names_are_docker_s(volumes, name, words):
    with pytest.raises(UsageError) as raised:
        volumes.create(record(name))
    assert words in raised.value.message
    assert not os.path.exists(volumes.root)


def test_random_name_has_64_digits():
    name = new_name()
    check_name(name)
    assert len(name) == 64
    assert name != new_name()


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"foo": "bar"}, UsageError, 'create data: invalid option: "foo"'),
        ({"type": "none", "o": "bind"}, UsageError, 'missing required option: "device"'),
        ({"device": "/x"}, UsageError, 'missing required option: "type"'),
        ({"size": "10"}, HostSupportError, "quota size requested but no quota support"),
        ({"type": "nfs", "device": ":/x", "o": "addr=h"}, HostSupportError, "cannot mount nfs"),
        ({"type": "tmpfs"}, UsageError, 'missing required option: "device"'),
        ({"": "x"}, UsageError, 'invalid option: ""'),
        ({"type": "none", "o": "bind", "device": "x"}, UsageError, "not an absolute path"),
    ],
)
def test_options_of_the_local_driver(volumes, options, error, words):
    with pytest.raises(error) as raised:
        volumes.create(record(options=options))
    assert words in raised.value.message


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b'{"format": 2}', b"\xff", b'{"format":1}'])
def test_damaged_record_harms_no_other_volume(volumes, damage):
    volumes.create(record())
    volumes.create(record("other"))
    path = f"{volumes.directory('data')}/volume.json"
    with open(path, "wb") as file:
        file.write(damage)
    with pytest.raises(InvalidDocumentError):
        volumes.find("data")
    assert [each.name for each in volumes.all()] == ["data", "other"]
    assert [each.name for each in volumes.damaged()] == ["data"]
    assert volumes.remove(["data"], list) == ["data"]
    assert [each.name for each in volumes.all()] == ["other"]


def test_record_that_is_a_directory_or_another_s_is_damaged(volumes):
    volumes.create(record())
    path = Path(volumes.directory("data"), "volume.json")
    path.write_text(json.dumps(json.loads(path.read_text()) | {"name": "other"}))
    assert [each.name for each in volumes.damaged()] == ["data"]
    path.unlink()
    path.mkdir()
    assert [each.name for each in volumes.damaged()] == ["data"]


def test_volume_in_use_is_not_removed(volumes):
    volumes.create(record())
    volumes.create(record("other"))
    assert volumes.remove(["data", "other", "nope"], lambda: {"data": []}) == ["other"]
    assert volumes.find("data")
    with pytest.raises(NotFoundError):
        volumes.find("other")


def test_files_without_permissions_are_removed(volumes):
    volumes.create(record())
    inner = f"{volumes.mountpoint('data')}/a/b"
    os.makedirs(inner)
    os.chmod(os.path.dirname(inner), 0)
    assert volumes.remove(["data"], list) == ["data"]
    assert os.listdir(volumes.root) == [".lock"]


def test_what_killed_commands_left_is_found_and_removed(volumes):
    volumes.create(record())
    os.makedirs(f"{volumes.root}/.new-1/_data")
    os.makedirs(f"{volumes.root}/.old-2")
    assert volumes.leftovers(age=3600) == []
    assert volumes.leftovers() == [".new-1", ".old-2"]
    volumes.leftovers(remove=True)
    assert sorted(os.listdir(volumes.root)) == ["data"]
    assert [each.name for each in volumes.all()] == ["data"]


def test_unknown_fields_are_kept():
    from rootless.volumes.record import decode, encode

    data = json.dumps(json.loads(encode(record())) | {"later": 1}).encode()
    assert json.loads(encode(decode(data, "x")))["later"] == 1
