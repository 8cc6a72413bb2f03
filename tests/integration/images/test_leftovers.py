"""What interrupted commands leave: found, counted, given back, and never taken from one that is going on."""

import hashlib
import json
import os
import time

import pytest

from rootless.containers.record import ContainerRecord
from rootless.images.gc.check import Finding, Kind, Outcome, check
from rootless.images.gc.leftovers import abandoned, unused
from rootless.images.gc.prune import prune_images
from rootless.images.gc.remove import remove
from rootless.images.gc.usage import images_size, objects_size
from rootless.images.load import load
from rootless.store.image import all_images, resolve
from rootless.store.ingest import Ingest
from rootless.store.layout import Store
from rootless.store.partial import FORGOTTEN_AFTER, abandoned_partials, open_partial
from tests.support.images import docker_archive, sha256, tar

DIGITS = "ab" * 32
DIGEST = f"sha256:{DIGITS}"
SOUND = "Everything is as it should be.\n"


@pytest.fixture
def store(tmp_path):
    return Store.open(tmp_path / "store")


def leave_partial(store, digest=DIGEST, data=b"x" * 100_000):
    """What a pull leaves that is killed: its lock is free, the files are there."""
    blob = open_partial(store, digest)
    blob.append(data)
    blob._lock.release()
    os.close(blob._fd)
    return blob.path


def sized(store, path):
    return path.lstat().st_blocks * 512


def test_partial_blob_of_today_is_no_fault_but_counts_and_is_pruned(store):
    path = leave_partial(store)
    size = sized(store, path)
    assert check(store, list) == []
    assert images_size(store) - objects_size(store) >= size
    assert [(each.name, each.size) for each in abandoned(store, idle=0)] == [
        (f"partial/{DIGITS}", size)
    ]
    assert prune_images(store, list).reclaimed == size
    assert list(path.parent.iterdir()) == []


def test_partial_blob_of_last_week_is_left_over(store):
    path = leave_partial(store)
    later = time.time() + FORGOTTEN_AFTER + 60
    assert [each.name for each in abandoned_partials(store, now=later)] == [f"partial/{DIGITS}"]
    os.utime(path, (0, 0))
    assert check(store, list) == [Finding(Kind.LEFT_OVER, f"partial/{DIGITS}")]
    assert path.exists()
    assert check(store, list, repair=True) == [
        Finding(Kind.LEFT_OVER, f"partial/{DIGITS}", Outcome.REMOVED)
    ]
    assert (check(store, list), list(path.parent.iterdir())) == ([], [])


def test_partial_blob_that_the_store_has_is_left_over(store):
    data = b"whole"
    with Ingest(store) as ingest:
        digest = ingest.add_document(data)
        ingest.publish([])
        leave_partial(store, digest, data)
        found = check(store, list)
    assert Finding(Kind.LEFT_OVER, f"partial/{digest[7:]}") in found


def test_partial_blob_that_is_being_brought_in_is_left_alone(store):
    blob = open_partial(store, DIGEST)
    blob.append(b"half")
    os.utime(blob.path, (0, 0))
    try:
        assert abandoned(store, idle=0, remove=True) == []
        prune_images(store, list)
        assert check(store, list, repair=True) == []
        assert open_partial(store, DIGEST) is None
        assert blob.path.read_bytes() == b"half"
    finally:
        blob.close()


def test_lock_without_a_blob_is_cleared_away(store):
    path = leave_partial(store)
    path.unlink()
    assert check(store, list) == []
    assert list(path.parent.iterdir()) == []


def test_temporaries_of_replaced_files_are_left_over(store, tmp_path):
    (tmp_path / "store/manifests").mkdir()
    names = {".tmp-index.json-0123", "manifests/.tmp-x.json-4567"}
    for name in names:
        (tmp_path / "store" / name).write_bytes(b"{")
    assert set(check(store, list)) == {Finding(Kind.LEFT_OVER, name) for name in names}
    assert prune_images(store, list).reclaimed == 2 * 4096
    assert check(store, list) == []


def test_directories_of_the_dead_are_pruned_and_of_the_living_are_not(store, tmp_path):
    dead = tmp_path / "store/tmp/0123456789abcdef/blobs"
    with Ingest(store) as ingest:
        dead.mkdir(parents=True)
        (dead / DIGITS).write_bytes(b"x" * 50_000)
        digest = ingest.add_document(b"mine")
        os.link(ingest.directory / "blobs" / digest[7:], store.blob_path(digest))
        assert prune_images(store, list).reclaimed >= 50_000
        assert not dead.exists()
        assert ingest.directory.exists()
        assert store.has_blob(digest)
    assert unused(store, list).blobs == {digest}
    prune_images(store, list)
    assert not store.has_blob(digest)


def make_list(store, name="list.test/app:1", **changes):
    name = f"docker.io/library/{name}" if "/" not in name else name
    document = {"name": name, "entries": [], **changes}
    path = os.path.join(store.root, "manifests", hashlib.sha256(name.encode()).hexdigest())
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(f"{path}.json", "w") as stream:
        json.dump(document, stream)
    return os.path.basename(path), f"{path}.json"


def test_sound_list_is_no_finding(store):
    make_list(store)
    assert check(store, list, repair=True) == []
    prune_images(store, list, everything=True)
    assert os.listdir(f"{store.root}/manifests") != []


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"", Kind.DAMAGED),
        (b"{", Kind.DAMAGED),
        (b'{"name": "list.test/app:1"}', Kind.DAMAGED),
        (b'{"name": "list.test/app:1", "entries": [{"reference": "x"}]}', Kind.DAMAGED),
        (b'{"name": "//", "entries": []}', Kind.DAMAGED),
        (b'{"name": "list.test/other:1", "entries": []}', Kind.UNUSED),
    ],
)
def test_unreadable_list_is_found_and_removed(store, content, kind):
    digits, path = make_list(store)
    with open(path, "wb") as stream:
        stream.write(content)
    what = f"manifest list {digits}"
    assert check(store, list) == [Finding(kind, what)]
    assert check(store, list, repair=True) == [Finding(kind, what, Outcome.REMOVED)]
    assert check(store, list) == []


@pytest.mark.parametrize("damage", [b"", b"{}", None])
def test_damaged_manifest_of_an_image_is_said(rootless, tmp_path, damage):
    docker_archive(tmp_path / "one.tar", [tar(motd=b"hello\n")], tags=["one:1"])
    rootless("load", "-i", tmp_path / "one.tar").ok()
    root = rootless.data / "rootless"
    [entry] = json.loads((root / "index.json").read_text())["manifests"]
    path = root / "blobs/sha256" / entry["digest"][7:]
    path.unlink() if damage is None else path.write_bytes(damage)
    found = rootless("system", "check")
    assert (found.status, found.stdout.split(":")[0]) == (
        1,
        "missing" if damage is None else "damaged",
    )
    assert rootless("system", "check", "--repair").status == 1
    assert (root / "layers" / sha256(tar(motd=b"hello\n"))[7:]).exists()
    rootless("load", "-i", tmp_path / "one.tar").ok()
    assert rootless("system", "check").ok().stdout == SOUND


def test_df_and_prune_count_what_is_abandoned(rootless):
    rootless("images").ok()
    store = Store.open(rootless.data / "rootless")
    leave_partial(store, data=b"x" * 3_000_000)
    row = json.loads(rootless("system", "df", "--format", "json").ok().stdout.splitlines()[0])
    assert (row["Size"], row["Reclaimable"]) == ("3MB", "3MB (100%)")
    assert "Total reclaimed space: 3" in rootless("system", "prune", "-f").ok().stdout
    assert os.listdir(f"{store.root}/partial") == []


def test_layers_of_a_container_stay_when_an_image_that_shares_them_goes(store, tmp_path):
    base, one, two = (tar(**{name: b"x"}) for name in ("base", "one", "two"))
    for name, top in (("one", one), ("two", two)):
        docker_archive(tmp_path / name, [base, top], tags=[f"{name}:1"])
        load(store, tmp_path / name)
    record = ContainerRecord(
        id="c" * 64,
        name="user",
        created="2024-01-01T00:00:00Z",
        image_id=resolve(store, "one:1").id,
    )
    remove(store, "one:1", lambda: [record], force=True)
    prune_images(store, lambda: [record], everything=True)
    assert all_images(store) == []
    assert [store.has_layer(sha256(each)) for each in (base, one, two)] == [True, True, False]
    prune_images(store, list)
    assert not store.has_layer(sha256(base))


@pytest.mark.parametrize("what", ["config", "manifest"])
def test_damaged_image_can_be_removed(store, tmp_path, what):
    docker_archive(tmp_path / "one.tar", [tar(one=b"x")], tags=["one:1"])
    load(store, tmp_path / "one.tar")
    image = resolve(store, "one:1")
    with open(store.blob_path({"config": image.id, "manifest": image.manifest.digest}[what]), "wb"):
        pass
    assert check(store, list)
    remove(store, "one:1", list)
    prune_images(store, list)
    assert (store.read_index().manifests, check(store, list)) == ((), [])
    assert os.listdir(f"{store.root}/layers") == []
