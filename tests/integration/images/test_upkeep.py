"""df, prune, check and verify: room is given back, damage is found and mended, and nothing goes
that somebody needs."""

import json
import os
import sqlite3
from pathlib import Path

import pytest

from rootless.store.ingest import Ingest
from rootless.store.layout import Store
from tests.support.images import docker_archive, sha256, tar

BASE, TOP, OTHER = tar(motd=b"hello\n"), tar(motd=b"bye\n"), tar(big=os.urandom(300_000))


@pytest.fixture
def stored(rootless, tmp_path):
    docker_archive(tmp_path / "one.tar", [BASE, TOP], tags=["one:1"], config={"Labels": {"k": "v"}})
    docker_archive(tmp_path / "two.tar", [BASE, OTHER], tags=["two:1"])
    for name in ("one.tar", "two.tar"):
        rootless("load", "-i", tmp_path / name).ok()
    return rootless


@pytest.fixture
def root(stored):
    return stored.data / "rootless"


def names(rootless):
    return sorted(rootless("images", "--format", "{{.Repository}}:{{.Tag}}").ok().stdout.split())


def test_untag_takes_names_and_leaves_the_image(stored):
    stored("tag", "one:1", "more:1").ok()
    image = stored("inspect", "-f", "{{.Id}}", "one:1").ok().stdout.strip()
    assert stored("untag", "one:1", "two:1").status == 1
    stored("untag", "one:1", "more:1").ok()
    assert names(stored) == ["one:1", "two:1"]
    stored("untag", "one:1").ok()
    assert names(stored) == ["<none>:<none>", "two:1"]
    stored("inspect", image).ok()


def test_prune_removes_images_without_a_name(stored):
    stored("untag", "two:1").ok()
    result = stored("image", "prune", "-f").ok()
    assert f"Deleted: {sha256(OTHER)}" in result.stdout
    assert sha256(BASE) not in result.stdout
    assert "Total reclaimed space: 3" in result.stdout
    assert names(stored) == ["one:1"]
    assert stored("system", "check").ok().stdout == "Everything is as it should be.\n"


def test_prune_asks_and_filters(stored):
    assert "Are you sure" in stored("image", "prune", "-a", stdin=b"n\n").ok().stdout
    assert "Are you sure" in stored("image", "prune", "-a").ok().stdout
    assert names(stored) == ["one:1", "two:1"]
    stored("image", "prune", "-af", "--filter", "label=k").ok()
    assert names(stored) == ["two:1"]
    stored("image", "prune", "-af", "--filter", "until=2001-01-01").ok()
    assert names(stored) == []  # these images do not say when they were made
    assert "invalid filter 'x'" in stored("image", "prune", "-f", "--filter", "x=y").stderr


@pytest.mark.needs("userns", "fuse", "busybox")
def test_prune_keeps_what_a_container_needs_until_that_is_pruned(stored, busybox_image):
    stored("import", busybox_image, "box:1").ok()
    stored("run", "--name", "one", "box:1", "sh", "-c", "echo x > /f").ok()
    stored("image", "prune", "-af").ok()
    assert names(stored) == ["box:1"]
    (row,) = map(
        json.loads, stored("system", "df", "--format", "json").ok().stdout.splitlines()[1:2]
    )
    assert (row["Type"], row["TotalCount"], row["Active"]) == ("Containers", "1", "0")
    process = stored.popen("run", "-i", "--name", "runs", "box:1", "cat")
    process.stdin.write(b"x\n")
    process.stdin.flush()
    assert process.stdout.readline() == b"x\n"
    stored("system", "prune", "-af").ok()
    assert stored("ps", "-a", "--format", "{{.Names}}").ok().stdout == "runs\n"
    assert names(stored) == ["box:1"]
    process.communicate(timeout=120)
    result = stored("system", "prune", "-af").ok()
    assert "Deleted Containers:" in result.stdout
    assert (names(stored), stored("ps", "-aq").ok().stdout) == ([], "")


def test_df_counts_shared_layers_once(stored):
    verbose = stored("system", "df", "-v", "--format", "{{json .Images}}").ok().stdout
    rows = {row["Repository"]: row for row in json.loads(verbose)}
    assert rows["one"]["SharedSize"] == rows["two"]["SharedSize"]
    assert rows["two"]["UniqueSize"].startswith("30")
    table = stored("system", "df").ok().stdout.splitlines()
    assert table[0].split() == ["TYPE", "TOTAL", "ACTIVE", "SIZE", "RECLAIMABLE"]
    assert table[1].split()[:3] == ["Images", "2", "0"]


def test_df_and_images_agree_about_sizes(rootless, tmp_path):
    """Whatever else lies on disk for an image: its index, and its compressed blob."""
    docker_archive(tmp_path / "one.tar", [tar(a=os.urandom(700_000)), tar(b=b"b")], tags=["one:1"])
    rootless("load", "-i", tmp_path / "one.tar").ok()
    (listed,) = rootless("images", "--format", "{{.Size}}").ok().stdout.splitlines()
    (row,) = [
        json.loads(line)
        for line in rootless("system", "df", "--format", "json").ok().stdout.splitlines()
        if '"Images"' in line
    ]
    assert (row["Size"], row["Reclaimable"]) == (listed, f"{listed} (100%)")
    ((image,),) = map(
        json.loads, [rootless("system", "df", "-v", "--format", "{{json .Images}}").stdout]
    )
    assert image["Size"] == listed


def test_damaged_layer_is_found_and_made_again(stored, root):
    layer = root / "layers" / sha256(OTHER)[7:]
    # It came uncompressed, so that the blob is the same file; only one of them is to be damaged.
    data = bytearray((layer / "layer.tar").read_bytes())
    data[100_000] ^= 1
    (layer / "layer.tar").unlink()
    (layer / "layer.tar").write_bytes(data)
    result = stored("image", "verify", "two:1")
    assert (result.status, result.stderr) == (1, f"two:1: damaged: layer {sha256(OTHER)}\n")
    assert stored("image", "verify", "one:1").ok().stdout == "one:1: OK\n"
    found = stored("system", "check")
    assert (found.status, found.stdout) == (1, f"damaged: layer {sha256(OTHER)}\n")
    mended = stored("system", "check", "--repair").ok()
    assert mended.stdout == f"damaged: layer {sha256(OTHER)} (repaired)\n"
    stored("image", "verify").ok()
    stored("system", "check").ok()


def test_damaged_indexes_are_made_again(stored, root):
    chain = next((root / "chains").iterdir())
    (chain / "index.sqlite").write_bytes(b"nothing")
    (root / "layers" / sha256(TOP)[7:] / "index.sqlite").unlink()
    assert stored("system", "check").status == 1
    stored("system", "check", "--repair").ok()
    assert stored("system", "check").ok().stdout == "Everything is as it should be.\n"
    database = sqlite3.connect(chain / "index.sqlite")
    assert database.execute("SELECT count(*) FROM entry").fetchone()[0] > 0
    database.close()


def test_missing_blob_of_a_plain_layer_is_made_again(stored, root):
    blob = root / "blobs/sha256" / sha256(OTHER)[7:]
    blob.unlink()
    result = stored("system", "check", "--repair").ok()
    assert result.stdout == f"missing: blob {sha256(OTHER)} (repaired)\n"
    assert blob.read_bytes() == OTHER
    assert stored("system", "check").ok().stdout == "Everything is as it should be.\n"


def test_layer_is_made_again_of_its_tar_where_its_blob_is_missing(stored, root):
    layer = root / "layers" / sha256(OTHER)[7:]
    (root / "blobs/sha256" / sha256(OTHER)[7:]).unlink()
    (layer / "index.sqlite").write_bytes(b"nothing")
    stored("system", "check", "--repair").ok()
    assert stored("system", "check").ok().stdout == "Everything is as it should be.\n"


@pytest.mark.needs("userns", "fuse", "busybox")
def test_image_that_cannot_be_repaired_is_kept_until_force_removes_it(rootless, busybox_image):
    """One bit of a file that no program reads, in a layer whose blob is the same file."""
    rootless("import", busybox_image, "box:1").ok()
    rootless("tag", "box:1", "box:2").ok()
    root = rootless.data / "rootless"
    [tar_file] = (root / "layers").glob("*/layer.tar")
    with tar_file.open("r+b") as stream:
        stream.seek(-1, os.SEEK_END)
        stream.write(b"\1")
    what = f"{tar_file.parent.name}"
    result = rootless("system", "check", "--repair")
    assert result.status == 1
    assert set(result.stdout.splitlines()) == {
        f"damaged: {kind} sha256:{what} (kept: it cannot be made again here)"
        for kind in ("blob", "layer")
    }
    assert result.stderr == (
        "hint: load or pull the images again, or remove them: "
        "rootless system check --repair --force\n"
    )
    assert rootless("run", "--rm", "box:1", "echo", "works").ok().stdout == "works\n"
    assert rootless("system", "check", "--force").status == 1
    forced = rootless("system", "check", "--repair", "--force").ok()
    assert "(removed)" in forced.stdout
    assert rootless("images", "-q").ok().stdout == ""
    assert rootless("system", "check").ok().stdout == "Everything is as it should be.\n"


def test_image_that_loads_again_is_repaired(stored, root, tmp_path):
    """The way that `check --repair` names: loading replaces what is damaged."""
    layer = root / "layers" / sha256(OTHER)[7:]
    os.truncate(layer / "layer.tar", 1000)
    assert stored("system", "check", "--repair").status == 1
    stored("load", "-i", tmp_path / "two.tar").ok()
    assert stored("system", "check").ok().stdout == "Everything is as it should be.\n"


def test_leftovers_are_found_and_removed(stored, root):
    stray = b"stray"
    (root / "blobs/sha256" / sha256(stray)[7:]).write_bytes(stray)
    (root / "tmp/0123456789abcdef").mkdir()
    found = stored("system", "check")
    assert found.status == 1
    assert set(found.stdout.splitlines()) == {
        f"unused: blob {sha256(stray)}",
        "left over: tmp/0123456789abcdef",
    }
    stored("system", "check", "--repair").ok()
    assert stored("system", "check").ok().stdout == "Everything is as it should be.\n"
    assert names(stored) == ["one:1", "two:1"]


def test_what_is_being_brought_in_is_left_alone(stored, root):
    stray = sha256(b"stray")[7:]
    store = Store.open(root)
    with Ingest(store) as ingest:
        ingest.add_document(b"stray")
        os.link(ingest.directory / "blobs" / stray, root / "blobs/sha256" / stray)
        stored("system", "check", "--repair").ok()
        assert store.has_blob(f"sha256:{stray}")
        assert ingest.directory.exists()
    assert stored("system", "check").stdout == f"unused: blob sha256:{stray}\n"


def test_image_diff_says_what_differs(stored):
    assert stored("image", "diff", "one:1", "two:1").ok().stdout == "A /big\nC /motd\n"
    assert stored("image", "diff", "one:1", "one:1").ok().stdout == ""
    rows = stored("image", "diff", "--format", "json", "one:1", "two:1").ok().stdout.splitlines()
    assert json.loads(rows[0]) == {"Kind": "A", "Path": "/big"}


@pytest.mark.needs("fuse", "fusermount")
def test_mounted_image_is_read_and_unmounted(stored):
    place = stored("image", "mount", "one:1").ok().stdout.strip()
    try:
        assert stored("image", "mount", "one:1").ok().stdout.strip() == place
        assert Path(place, "motd").read_bytes() == b"bye\n"
        assert place in stored("image", "mount").ok().stdout
        with pytest.raises(OSError, match="Read-only"):
            Path(place, "new").touch()
    finally:
        stored("image", "unmount", "one:1").ok()
    assert not os.path.exists(place)
    assert stored("image", "unmount", "one:1").status == 1
