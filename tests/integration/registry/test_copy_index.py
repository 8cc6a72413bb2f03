"""copy --all: an index with all its images, between every two places, byte for byte."""

from __future__ import annotations

import json
import os
from itertools import pairwise
from pathlib import Path

import pytest

from rootless.errors import (
    IntegrityError,
    InvalidDocumentError,
    NotFoundError,
    RootlessError,
    UsageError,
)
from rootless.images.transfer.copy import CopyOptions, MultiArch, copy
from rootless.oci.platform import parse_platform
from rootless.store.image import resolve
from tests.integration.registry.conftest import QUICK
from tests.support.command import run_command
from tests.support.docker_registry import docker_registry
from tests.support.images import layer_tar, oci_layout, sha256
from tests.support.registry import INDEX, FakeRegistry, serving

BASE = layer_tar({"etc/name": b"base\n"})
ALL = CopyOptions(QUICK, QUICK, multi_arch=MultiArch.ALL)


def index_of(registry, name, tag, architectures=("amd64", "arm64", "s390x"), *, kind=INDEX):
    """An index of images that share a layer; its digest."""
    entries = []
    for architecture in architectures:
        own = layer_tar({"arch": architecture.encode(), "data": os.urandom(50_000)})
        digest = registry.put_image(name, architecture, [BASE, own], config={"User": architecture})
        media_type, data = registry.manifests[name][digest]
        platform = {"os": "linux", "architecture": architecture}
        entry = {"mediaType": media_type, "digest": digest, "size": len(data)}
        entries.append({**entry, "platform": platform})
    document = {
        "schemaVersion": 2,
        "mediaType": kind,
        "manifests": entries,
        "annotations": {"k": "v"},
    }
    return registry.put_manifest(name, tag, document, kind)


def blobs(registry, name):
    return set(registry.blobs[name])


def scratch_of(store):
    return [each.name for each in (Path(store.root) / "tmp").iterdir() if each.is_dir()]


def test_index_goes_round_through_every_kind_of_place(registry, store, env, tmp_path):
    digest = index_of(registry, "app", "1")
    places = [
        f"docker://{registry.host}/app:1",
        f"oci:{tmp_path}/layout:one",
        f"dir:{tmp_path}/dir",
        f"oci-archive:{tmp_path}/archive.tar:two",
        f"docker://{registry.host}/back:1",
    ]
    for source, destination in pairwise(places):
        assert copy(store, source, destination, env, ALL) == digest
    assert registry.manifests["back"].keys() == {"1", digest, *registry.manifests["app"]} - {
        "amd64",
        "arm64",
        "s390x",
    }
    assert registry.manifests["back"]["1"] == registry.manifests["app"]["1"]
    assert blobs(registry, "back") == blobs(registry, "app")
    assert store.read_index().manifests == ()
    assert scratch_of(store) == []


def test_nothing_travels_between_repositories_of_one_registry(registry, store, env):
    digest = index_of(registry, "app", "1")
    name = f"docker://{registry.host}"
    assert copy(store, f"{name}/app:1", f"{name}/other:1", env, ALL) == digest
    assert registry.asked("GET .*/blobs/.*") == []
    assert registry.asked("PUT .*/blobs/.*") == []


def test_index_of_indexes_comes_whole(registry, store, env, tmp_path):
    inner = index_of(registry, "app", "inner")
    size = len(registry.manifests["app"][inner][1])
    entry = {"mediaType": INDEX, "digest": inner, "size": size}
    outer = {"schemaVersion": 2, "mediaType": INDEX, "manifests": [entry]}
    digest = registry.put_manifest("app", "outer", outer, INDEX)
    copy(store, f"docker://{registry.host}/app:outer", f"dir:{tmp_path}/dir", env, ALL)
    with serving(FakeRegistry()) as other:
        copy(store, f"dir:{tmp_path}/dir", f"docker://{other.host}/app:1", env, ALL)
        assert other.manifests["app"].keys() == {"1", digest, inner} | {
            each["digest"] for each in json.loads(registry.manifests["app"][inner][1])["manifests"]
        }
        assert other.violations == []


def test_image_for_one_platform_is_chosen_of_what_was_copied_whole(registry, store, env, tmp_path):
    index_of(registry, "app", "1")
    for place in (f"oci:{tmp_path}/layout:x", f"dir:{tmp_path}/dir"):
        copy(store, f"docker://{registry.host}/app:1", place, env, ALL)
        options = CopyOptions(QUICK, QUICK, parse_platform("linux/s390x"))
        copy(store, place, "local:chosen", env, options)
        assert resolve(store, "chosen").config["User"] == "s390x"


@pytest.mark.needs("skopeo")
def test_index_that_another_tool_put_into_the_store_is_copied_whole(registry, store, env, tmp_path):
    digest = index_of(registry, "app", "1")
    copy(store, f"docker://{registry.host}/app:1", f"oci:{tmp_path}/layout:x", env, ALL)
    skopeo("copy", "--all", f"oci:{tmp_path}/layout:x", f"oci:{store.root}:localhost/app:1")
    assert copy(store, "local:localhost/app:1", f"dir:{tmp_path}/dir", env, ALL) == digest
    resolve(store, "localhost/app:1")


def test_progress_is_shown_blob_by_blob(rootless, registry, tmp_path):
    index_of(registry, "app", "1")
    places = (f"docker://{registry.host}/app:1", f"oci:{tmp_path}/layout:x")
    said = rootless("copy", "--all", *places).ok().stderr
    assert said.count(": Pushed\n") == 7  # three configs, three layers, one that is shared
    assert rootless("copy", "--all", "-q", *places).ok().stderr == ""


def test_index_only_leaves_the_images_where_they_are(registry, store, env, tmp_path):
    digest = index_of(registry, "app", "1")
    options = ALL._replace(multi_arch=MultiArch.INDEX_ONLY)
    source = f"docker://{registry.host}/app:1"
    assert copy(store, source, f"dir:{tmp_path}/dir", env, options) == digest
    assert sorted(os.listdir(tmp_path / "dir")) == ["manifest.json", "version"]


def test_all_of_a_single_image_is_that_image(registry, store, env, tmp_path):
    digest = registry.put_image("app", "1", [BASE])
    source = f"docker://{registry.host}/app:1"
    assert copy(store, source, f"oci:{tmp_path}/layout:x", env, ALL) == digest
    assert copy(store, source, "local:one", env, ALL) == digest
    archive = f"docker-archive:{tmp_path}/x.tar:one:1"
    copy(store, "local:one", archive, env, ALL)
    copy(store, archive, "local:two", env, ALL)
    assert resolve(store, "two").id == resolve(store, "one").id


def test_index_of_more_manifests_than_anybody_builds_is_refused(store, env, tmp_path):
    directory, entries = tmp_path / "dir", []
    directory.mkdir()
    for number in range(1001):
        inner = {"schemaVersion": 2, "mediaType": INDEX, "manifests": [], "n": number}
        data = json.dumps(inner).encode()
        (directory / f"{sha256(data)[7:]}.manifest.json").write_bytes(data)
        entries.append({"mediaType": INDEX, "digest": sha256(data), "size": len(data)})
    document = {"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}
    (directory / "manifest.json").write_text(json.dumps(document))
    with pytest.raises(InvalidDocumentError, match="more than 1000 manifests"):
        copy(store, f"dir:{directory}", f"oci:{tmp_path}/out:x", env, ALL)


@pytest.mark.parametrize("place", ["local:x", "docker-archive:{}/x.tar:x"])
def test_place_for_one_image_is_given_no_index(registry, store, env, tmp_path, place):
    index_of(registry, "app", "1")
    with pytest.raises(UsageError, match="cannot hold an index"):
        copy(store, f"docker://{registry.host}/app:1", place.format(tmp_path), env, ALL)
    assert not (tmp_path / "x.tar").exists()
    assert store.read_index().manifests == ()


def test_directory_that_held_another_image_holds_the_new_one_only(registry, store, env, tmp_path):
    registry.put_image("old", "1", [BASE])
    digest = index_of(registry, "app", "1")
    place = f"dir:{tmp_path}/dir"
    copy(store, f"docker://{registry.host}/app:1", place, env, ALL)
    copy(store, f"docker://{registry.host}/old:1", place, env, CopyOptions(QUICK, QUICK))
    assert len(os.listdir(tmp_path / "dir")) == 4  # version, manifest, config, layer
    assert copy(store, f"docker://{registry.host}/app:1", place, env, ALL) == digest


DAMAGE = [
    ("blob", IntegrityError, "is not sha256|does not match its"),
    ("size", IntegrityError, "bytes instead of|longer than|does not match its descriptor"),
    ("missing", RootlessError, "not found|unknown|404|has no"),
    ("manifest", IntegrityError, "does not match its"),
    ("deep", InvalidDocumentError, "nested too deeply"),
]


@pytest.mark.parametrize(("damage", "kind", "words"), DAMAGE, ids=[each[0] for each in DAMAGE])
@pytest.mark.parametrize("source", ["registry", "dir"])
@pytest.mark.parametrize("target", ["registry", "oci-archive", "oci"])
def test_what_is_not_as_its_descriptor_says_is_not_copied(
    registry, store, env, tmp_path, damage, kind, words, source, target
):
    digest = index_of(registry, "app", "1", ("amd64",))
    manifests, held = registry.manifests["app"], registry.blobs["app"]
    manifest = next(key for key in manifests if key.startswith("sha256:") and key != digest)
    layer = json.loads(manifests[manifest][1])["layers"][1]["digest"]
    start = f"docker://{registry.host}/app:1"

    def entry(name: str, size: int = 0) -> dict[str, object]:
        media_type, data = manifests[name]
        return {"mediaType": media_type, "digest": name, "size": len(data) + size}

    def point_at(*entries: dict[str, object]) -> None:
        document = {"schemaVersion": 2, "mediaType": INDEX, "manifests": list(entries)}
        registry.put_manifest("app", "1", document, INDEX)

    if damage == "size":
        point_at(entry(manifest, 5))
    elif damage == "deep":
        for _ in range(6):
            inner = {"schemaVersion": 2, "mediaType": INDEX, "manifests": [entry(digest)]}
            digest = registry.put_manifest("app", "1", inner, INDEX)
    if source == "dir":
        if damage in ("size", "deep"):
            directory = tmp_path / "dir"
            directory.mkdir()
            for name, (_, data) in manifests.items():
                if name.startswith("sha256:"):
                    (directory / f"{name[7:]}.manifest.json").write_bytes(data)
            for name, data in held.items():
                (directory / name[7:]).write_bytes(data)
            (directory / "manifest.json").write_bytes(manifests["1"][1])
            (directory / "version").write_text("Directory Transport Version: 1.1\n")
        else:
            copy(store, start, f"dir:{tmp_path}/dir", env, ALL)
        start = f"dir:{tmp_path}/dir"
    spoiled = bytearray(held[layer])
    spoiled[20] ^= 1
    if damage == "blob":
        held[layer] = bytes(spoiled)
        if source == "dir":
            (tmp_path / "dir" / layer[7:]).write_bytes(spoiled)
    elif damage == "missing":
        del held[layer]
        if source == "dir":
            (tmp_path / "dir" / layer[7:]).unlink()
    elif damage == "manifest":
        manifests[manifest] = (manifests[manifest][0], manifests[manifest][1] + b" ")
        if source == "dir":
            (tmp_path / "dir" / f"{manifest[7:]}.manifest.json").write_bytes(b"{}")
    with serving(FakeRegistry()) as other:
        end = {
            "registry": f"docker://{other.host}/copied:1",
            "oci-archive": f"oci-archive:{tmp_path}/copied.tar:x",
            "oci": f"oci:{tmp_path}/copied:x",
        }[target]
        with pytest.raises((kind, NotFoundError) if damage == "missing" else kind, match=words):
            copy(store, start, end, env, ALL)
        assert "1" not in other.manifests.get("copied", {})
        other.violations.clear()
    registry.violations.clear()
    assert not (tmp_path / "copied.tar").exists()
    assert not (tmp_path / "copied/index.json").exists()
    assert scratch_of(store) == []


@pytest.mark.needs("skopeo", "docker-registry")
@pytest.mark.parametrize("form", ["oci", "v2s2"])
def test_skopeo_and_we_copy_the_same_index(rootless, tmp_path, form):
    with docker_registry(tmp_path / "registry") as host:
        for architecture in ("amd64", "arm64"):
            layout = tmp_path / architecture
            oci_layout(layout, [BASE], config={"User": architecture})
            source, target = f"oci:{layout}:latest", f"docker://{host}/app:{architecture}"
            skopeo("copy", "--format", form, "--dest-tls-verify=false", source, target)
        names = [f"{host}/app:{each}" for each in ("amd64", "arm64")]
        rootless("manifest", "create", f"{host}/app:all", *names).ok()
        arm = ("--arch", "arm64", "--os", "linux")
        rootless("manifest", "annotate", *arm, f"{host}/app:all", names[1]).ok()
        digest = rootless("manifest", "push", f"{host}/app:all").ok().stdout.splitlines()[-1]
        ours, theirs = f"dir:{tmp_path}/ours", f"dir:{tmp_path}/theirs"
        there = f"docker://{host}/app:all"
        assert rootless("copy", "-q", "-a", there, ours).ok().stdout.strip() == digest
        skopeo("copy", "--all", "--src-tls-verify=false", there, theirs)
        assert contents(tmp_path / "ours") == contents(tmp_path / "theirs")
        # What skopeo wrote goes to another repository, and what we wrote skopeo brings to a third.
        rootless("copy", "-q", "--all", theirs, f"docker://{host}/b:1").ok()
        skopeo("copy", "--all", "--dest-tls-verify=false", ours, f"docker://{host}/c:1")
        for name in ("b", "c"):
            raw = skopeo("inspect", "--raw", "--tls-verify=false", f"docker://{host}/{name}:1")
            assert sha256(raw.encode()) == digest
        for kind in ("oci", "oci-archive"):
            place = f"{kind}:{tmp_path}/{kind}:x:1"
            copied = rootless("copy", "-q", "--multi-arch=all", there, place).ok().stdout.strip()
            assert sha256(skopeo("inspect", "--raw", place).encode()) == copied
            # Docker's manifests become OCI's there, which have other digests.
            assert (copied == digest) == (form == "oci")
            skopeo("copy", "--all", place, f"dir:{tmp_path}/from-{kind}")
            assert len(contents(tmp_path / f"from-{kind}")) == len(contents(tmp_path / "ours"))


def skopeo(*arguments: str) -> str:
    command, *rest = arguments
    quiet = ["-q"] if command == "copy" else []
    return run_command(["skopeo", command, *quiet, *rest]).ok().stdout


def contents(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def test_options_that_contradict_each_other_are_refused(rootless, tmp_path):
    places = (f"oci:{tmp_path}/a", f"oci:{tmp_path}/b")
    for options in (
        ("--all", "--multi-arch=system"),
        ("--multi-arch=some",),
        ("--all", "--platform=linux/arm64"),
    ):
        refused = rootless("copy", *options, *places)
        assert (refused.status, refused.stderr.count("\n")) in ((1, 1), (1, 2))
