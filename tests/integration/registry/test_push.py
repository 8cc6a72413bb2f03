"""Pushing to a registry that is strict, and from one that is broken; copying; lists."""

from __future__ import annotations

import json
import os
from itertools import pairwise
from pathlib import Path

import pytest

from rootless.errors import ExistsError, InvalidDocumentError, NotFoundError, UsageError
from rootless.images import manifest_lists
from rootless.images.load import load
from rootless.images.save import Format, save
from rootless.images.tag import tag
from rootless.images.transfer.copy import CopyOptions, copy
from rootless.images.transfer.pull import pull
from rootless.images.transfer.push import push
from rootless.images.transfer.registry_tags import registry_tags
from rootless.oci.platform import parse_platform
from rootless.registry import upload
from rootless.registry.authorization import Credentials
from rootless.registry.failures import DeniedError, RegistryError
from rootless.store.image import resolve
from rootless.store.layout import Store
from tests.integration.registry.conftest import QUICK
from tests.support.images import docker_archive, layer_tar
from tests.support.registry import FakeRegistry, Fault, hang_up, serving, status

BASE = layer_tar({"etc/name": b"base\n"})
TOP = layer_tar({"etc/top": os.urandom(300_000)})


@pytest.fixture
def made(store, tmp_path):
    """An image that was made here: its layers are not compressed."""
    docker_archive(tmp_path / "made.tar", [BASE, TOP, BASE], tags=["made:1"])
    load(store, tmp_path / "made.tar")
    return store


def again(tmp_path, registry, env, name):
    """What another machine gets."""
    other = Store.open(tmp_path / "other")
    pull(other, f"{registry.host}/{name}", env, options=QUICK)
    return resolve(other, f"{registry.host}/{name}")


def test_pushed_image_is_the_same_elsewhere(registry, made, env, tmp_path):
    tag(made, "made:1", f"{registry.host}/team/app:1")
    [pushed] = push(made, f"{registry.host}/team/app:1", env, options=QUICK)
    image = again(tmp_path, registry, env, "team/app:1")
    assert image.id == resolve(made, "made:1").id
    assert image.repo_digests == (f"{registry.host}/team/app@{pushed.digest}",)
    mine = resolve(made, f"{registry.host}/team/app:1")
    assert f"{registry.host}/team/app@{pushed.digest}" in mine.repo_digests
    assert all(len(blob) < 400_000 for blob in registry.blobs["team/app"].values())


def test_pulled_image_is_pushed_under_its_digests(registry, store, env):
    digest = registry.put_image("app", "1", [BASE, TOP])
    pull(store, f"{registry.host}/app:1", env, options=QUICK)
    with serving(FakeRegistry()) as other:
        tag(store, f"{registry.host}/app:1", f"{other.host}/app:1")
        [pushed] = push(store, f"{other.host}/app:1", env, options=QUICK)
        assert other.violations == []
        assert other.blobs["app"].keys() == registry.blobs["app"].keys()
    assert pushed.digest == digest


def test_push_again_sends_nothing(registry, made, env):
    name = f"{registry.host}/app:1"
    tag(made, "made:1", name)
    push(made, name, env, options=QUICK)
    registry.requests.clear()
    push(made, name, env, options=QUICK)
    assert registry.asked("(POST|PATCH) .*") == []


@pytest.mark.parametrize("mounts", [True, False])
def test_blob_of_another_repository_is_mounted_if_the_registry_does_so(
    registry, store, env, mounts
):
    registry.mounts = mounts
    registry.put_image("one", "1", [BASE, TOP])
    pull(store, f"{registry.host}/one:1", env, options=QUICK)
    tag(store, f"{registry.host}/one:1", f"{registry.host}/two:1")
    registry.requests.clear()
    push(store, f"{registry.host}/two:1", env, options=QUICK)
    sent = registry.asked("PUT .*/blobs/.*")
    # The config is small, and is sent.
    assert len(sent) == (1 if mounts else 3)
    assert registry.uploads == {}


def test_upload_that_breaks_off_goes_on_in_chunks(registry, made, env, monkeypatch):
    monkeypatch.setattr(upload, "CHUNK", 100_000)
    name = f"{registry.host}/app:1"
    tag(made, "made:1", name)
    registry.faults += [
        Fault("PUT .*/blobs/uploads/.*", hang_up, times=3),
        Fault("PATCH .*", hang_up, times=1),
        Fault("PATCH .*", status(503), times=1),
    ]
    push(made, name, env, options=QUICK)
    assert len(registry.asked("PATCH .*")) >= 6
    assert "1" in registry.manifests["app"]


def test_upload_that_is_never_taken_is_given_up(registry, made, env):
    name = f"{registry.host}/app:1"
    tag(made, "made:1", name)
    registry.faults.append(Fault("(PUT|PATCH) .*/blobs/uploads/.*", status(500)))
    with pytest.raises(RegistryError, match="status 500"):
        push(made, name, env, options=QUICK)
    assert "app" not in registry.manifests


def test_push_needs_an_account_that_may_write(registry, made, env):
    registry.account, registry.tokens = ("me", "secret"), True
    name = f"{registry.host}/app:1"
    tag(made, "made:1", name)
    with pytest.raises(DeniedError):
        push(made, name, env, options=QUICK)
    push(made, name, env, options=QUICK._replace(credentials=Credentials("me", "secret")))
    assert "1" in registry.manifests["app"]


def test_push_of_every_tag(registry, made, env):
    for each in ("1", "2"):
        tag(made, "made:1", f"{registry.host}/app:{each}")
    push(made, f"{registry.host}/app", env, options=QUICK, all_tags=True)
    assert registry_tags(f"{registry.host}/app", env, QUICK) == ("1", "2")


def test_push_of_what_is_not_here_is_said_as_docker_does(registry, store, env):
    with pytest.raises(NotFoundError, match="does not exist locally with the tag"):
        push(store, f"{registry.host}/app:1", env, options=QUICK)


def test_tags_that_are_none_are_refused(registry, env):
    registry.put_image("app", "1", [BASE])
    registry.put_image("app", "../../\x1b[2J", [BASE])
    with pytest.raises(InvalidDocumentError, match="is not a tag"):
        registry_tags(f"{registry.host}/app", env, QUICK)


# copy


def test_copy_goes_round_through_every_kind_of_place(registry, made, env, tmp_path):
    options = CopyOptions(QUICK, QUICK)
    places = [
        "local:made:1",
        f"docker://{registry.host}/app:1",
        f"oci:{tmp_path}/layout:one",
        f"oci-archive:{tmp_path}/archive.tar:two",
        f"dir:{tmp_path}/dir",
        f"docker-archive:{tmp_path}/docker.tar:three:3",
        "local:back:1",
    ]
    for source, destination in pairwise(places):
        copy(made, source, destination, env, options)
    assert resolve(made, "back:1").id == resolve(made, "made:1").id


def test_copy_keeps_the_digest_and_the_callers_names(registry, store, env, tmp_path):
    digest = registry.put_image("app", "1", [BASE, TOP])
    options = CopyOptions(QUICK, QUICK)
    layout = f"oci:{tmp_path}/layout:x"
    assert copy(store, f"docker://{registry.host}/app:1", layout, env, options) == digest
    assert copy(store, layout, f"docker://{registry.host}/b:2", env, options) == digest
    assert registry.manifests["b"]["2"] == registry.manifests["app"]["1"]
    assert store.read_index().manifests == ()
    assert [entry.name for entry in (Path(store.root) / "tmp").iterdir() if entry.is_dir()] == []


def test_copy_does_not_replace_what_it_did_not_make(made, env, tmp_path):
    (tmp_path / "taken.tar").write_text("mine")
    with pytest.raises(ExistsError):
        copy(made, "local:made:1", f"oci-archive:{tmp_path}/taken.tar", env, CopyOptions())
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken/mine").write_text("mine")
    for kind in ("oci", "dir"):
        with pytest.raises(ExistsError):
            copy(made, "local:made:1", f"{kind}:{tmp_path}/taken", env, CopyOptions())


# Lists


def test_list_is_pushed_and_pulled_by_platform(registry, store, env):
    host = registry.host
    one = registry.put_image("amd", "1", [BASE], config={"User": "amd"})
    two = registry.put_image("arm", "1", [TOP], config={"User": "arm"})
    images = [f"{host}/amd:1", f"{host}/arm:1"]
    manifest_lists.create(store, f"{host}/all:1", images, env, options=QUICK)
    with pytest.raises(ExistsError, match="--amend"):
        manifest_lists.create(store, f"{host}/all:1", images, env, options=QUICK)
    changes = manifest_lists.PlatformChanges(architecture="arm64", variant="v8")
    manifest_lists.annotate(store, f"{host}/all:1", f"{host}/arm:1", changes)
    digest = manifest_lists.push_list(store, f"{host}/all:1", env, options=QUICK, purge=True)
    assert {one, two, digest, "1"} == set(registry.manifests["all"])
    document = manifest_lists.inspect(store, f"{host}/all:1", env, QUICK)
    assert [each["platform"]["architecture"] for each in document["manifests"]] == [
        "amd64",
        "arm64",
    ]
    pull(store, f"{host}/all:1", env, options=QUICK, platform=parse_platform("linux/arm64"))
    # Of one repository of a registry into another nothing travels.
    assert registry.asked("GET /v2/a.*/blobs/.*") != []
    assert registry.asked("PUT .*/blobs/.*") == []


def test_list_of_images_at_another_registry_takes_them_along(registry, store, env):
    digest = registry.put_image("app", "1", [BASE, TOP])
    with serving(FakeRegistry()) as other:
        name = f"{other.host}/all:1"
        images = [f"{registry.host}/app:1"]
        manifest_lists.create(store, name, images, env, options=QUICK)
        manifest_lists.push_list(store, name, env, options=QUICK)
        assert digest in other.manifests["all"]
        assert other.violations == []


# Names in archives


def test_image_of_many_is_copied_by_whatever_name_it_has(made, env, tmp_path):
    docker_archive(tmp_path / "other.tar", [BASE], tags=["other:1", "other:2"])
    load(made, tmp_path / "other.tar")
    ids = {name: resolve(made, name).id for name in ("made:1", "other:1")}
    save(made, ["made:1", "other"], tmp_path / "both.tar")
    archive = f"docker-archive:{tmp_path}/both.tar"
    for name, wanted in (
        ("made:1", "made:1"),
        ("docker.io/library/other:2", "other:1"),
        ("@0", "made:1"),
        ("@1", "other:1"),
    ):
        copy(made, f"{archive}:{name}", "local:got", env, CopyOptions())
        assert resolve(made, "got").id == ids[wanted]
    for name in ("none:1", "@2", "@x"):
        with pytest.raises(NotFoundError, match=f"holds no image named {name}"):
            copy(made, f"{archive}:{name}", "local:got", env, CopyOptions())
    with pytest.raises(UsageError, match="several images"):
        copy(made, archive, "local:got", env, CopyOptions())
    layout = f"oci:{tmp_path}/layout"
    copy(made, "local:made:1", f"{layout}:Any Name", env, CopyOptions())
    copy(made, "local:other:1", f"{layout}:other:1", env, CopyOptions())
    for name, wanted in (("Any Name", "made:1"), ("docker.io/library/other:1", "other:1")):
        copy(made, f"{layout}:{name}", "local:got", env, CopyOptions())
        assert resolve(made, "got").id == ids[wanted]
    with pytest.raises(NotFoundError, match="holds no image named Any Other"):
        copy(made, f"{layout}:Any Other", "local:got", env, CopyOptions())


@pytest.mark.parametrize(
    ("kind", "files"),
    [
        ("oci", ["blobs/sha256/.tmp-1", "blobs/sha256/" + "a" * 64, ".tmp-oci-layout-1"]),
        ("oci", ["blobs/sha256/x", "oci-layout"]),
        ("dir", ["a" * 64, ".tmp-1"]),
        ("dir", ["version", "a" * 64]),
    ],
)
def test_copy_goes_on_where_a_killed_one_left_off(made, env, tmp_path, kind, files):
    for name in files:
        path = tmp_path / "target" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    copy(made, "local:made:1", f"{kind}:{tmp_path}/target", env, CopyOptions())
    copy(made, f"{kind}:{tmp_path}/target", "local:got", env, CopyOptions())
    assert resolve(made, "got").id == resolve(made, "made:1").id


@pytest.mark.parametrize("kind", ["oci", "dir"])
def test_copy_takes_no_directory_of_something_else(made, env, tmp_path, kind):
    (tmp_path / "target/blobs").mkdir(parents=True)
    (tmp_path / "target/notes.txt").touch()
    with pytest.raises(ExistsError):
        copy(made, "local:made:1", f"{kind}:{tmp_path}/target", env, CopyOptions())


def test_only_the_image_that_is_copied_is_read(made, env, tmp_path):
    layout = f"oci:{tmp_path}/layout"
    docker_archive(tmp_path / "other.tar", [layer_tar({"x": b"x"})], tags=["other:1"])
    load(made, tmp_path / "other.tar")
    copy(made, "local:made:1", f"{layout}:one", env, CopyOptions())
    copy(made, "local:other:1", f"{layout}:two", env, CopyOptions())
    for digest in resolve(made, "made:1").diff_ids:
        (tmp_path / "layout/blobs/sha256" / digest[7:]).unlink(missing_ok=True)
    copy(made, f"{layout}:two", "local:got", env, CopyOptions())
    assert resolve(made, "got").id == resolve(made, "other:1").id


def test_archive_of_newer_docker_has_its_names_in_annotations_of_containerd(made, tmp_path):
    """Since 25 `docker save` writes a layout, whose ref.name is the tag alone, with a manifest.json."""
    copied = tmp_path / "layout"
    save(made, ["made:1"], copied, Format.OCI_DIR)
    index = json.loads((copied / "index.json").read_text())
    index["manifests"][0]["annotations"] = {
        "io.containerd.image.name": "docker.io/team/app:7",
        "org.opencontainers.image.ref.name": "7",
    }
    (copied / "index.json").write_text(json.dumps(index))
    (copied / "manifest.json").write_text("[]")
    (loaded,) = load(made, copied)
    assert [tag.familiar for tag in loaded.tags] == ["team/app:7"]
