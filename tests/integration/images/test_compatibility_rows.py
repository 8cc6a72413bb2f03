"""docs/compatibility.md, the rows about images that no other test is about."""

from __future__ import annotations

import json
import tarfile

import pytest

from tests.support.images import add_file, docker_archive, layer_tar

BASE = layer_tar({"etc/name": b"base\n"})


@pytest.fixture
def stored(rootless, tmp_path):
    docker_archive(tmp_path / "one.tar", [BASE], tags=["one:1", "one:2"])
    rootless("load", "-q", "-i", tmp_path / "one.tar").ok()
    return rootless


@pytest.mark.parametrize(
    "command",
    [
        ("images", "--tree"),
        ("rmi", "--platform", "linux/amd64", "one:1"),
        ("push", "--platform", "linux/amd64", "one:1"),
        ("image", "nothing"),
    ],
    ids=" ".join,
)
def test_what_is_refused_is_an_error_that_names_it(stored, command):
    result = stored(*command)
    assert result.status == (1 if command == ("image", "nothing") else 125)
    assert command[1] in result.stderr
    assert len(stored("images", "-q", "one:1").ok().stdout.splitlines()) == 1


def test_no_prune_is_accepted_and_changes_nothing(stored):
    said = stored("rmi", "--no-prune", "one:1", "one:2").ok().stdout
    assert said.startswith("Untagged: one:1\nUntagged: one:2\nDeleted: sha256:")


def test_saved_archive_is_docker_s_by_default(stored, tmp_path):
    stored("save", "-o", tmp_path / "default.tar", "one:1").ok()
    stored("save", "--format=docker-archive", "-o", tmp_path / "named.tar", "one:1").ok()
    assert (tmp_path / "default.tar").read_bytes() == (tmp_path / "named.tar").read_bytes()
    with tarfile.open(tmp_path / "default.tar") as archive:
        assert {"manifest.json", "repositories", "oci-layout"} <= set(archive.getnames())


def test_time_of_the_last_tag_is_never_set(stored):
    stored("tag", "one:1", "three:3").ok()
    (shown,) = json.loads(stored("image", "inspect", "three:3").ok().stdout)
    assert shown["Metadata"] == {"LastTagTime": "0001-01-01T00:00:00Z"}


def test_sizes_that_only_df_knows_are_not_said(stored):
    form = "{{.SharedSize}} {{.UniqueSize}} {{.Containers}}"
    assert stored("images", "--format", form, "one:1").ok().stdout == "N/A N/A N/A\n"


def test_difference_of_images_does_not_look_at_times(rootless, tmp_path):
    for name, moment in (("old", 1), ("new", 1_700_000_000)):
        with tarfile.open(tmp_path / "layer.tar", "w") as archive:
            add_file(archive, "same", b"x")
            info = tarfile.TarInfo("timed")
            info.mtime = moment
            archive.addfile(info)
            info = tarfile.TarInfo(f"only-{name}")
            archive.addfile(info)
        docker_archive(
            tmp_path / "image.tar", [(tmp_path / "layer.tar").read_bytes()], tags=[f"{name}:1"]
        )
        rootless("load", "-q", "-i", tmp_path / "image.tar").ok()
    assert rootless("image", "diff", "old:1", "new:1").ok().stdout == "A /only-new\nD /only-old\n"


@pytest.mark.needs("userns", "fuse", "busybox")
def test_image_that_a_container_uses_is_not_pruned(rootless, busybox_image):
    rootless("import", busybox_image, "box:1").ok()
    rootless("run", "--name", "user", "box:1", "true").ok()
    rootless("image", "prune", "-af").ok()
    assert rootless("images", "-q", "box:1").ok().stdout != ""
    rootless("rm", "user").ok()
    assert "Untagged: box:1" in rootless("image", "prune", "-af").ok().stdout
