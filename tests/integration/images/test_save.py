"""Saving images: what is saved loads again, here and by others, with equal digests."""

import gzip
import hashlib
import io
import json
import os
import subprocess
import tarfile
from pathlib import Path

import pytest

from rootless.errors import ExistsError, IntegrityError, NotFoundError, UsageError
from rootless.images.load import load
from rootless.images.save import Format, save
from rootless.images.tag import tag
from rootless.store.image import resolve
from rootless.store.layout import Store
from tests.support.images import add_file, compressed_layout, docker_archive, gz, sha256


def layer(text):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        add_file(archive, "file", text.encode())
    return buffer.getvalue()


BASE, TOP, OTHER = layer("base"), layer("top" * 50_000), layer("other")


@pytest.fixture
def store(tmp_path):
    store = Store.open(tmp_path / "store")
    docker_archive(tmp_path / "one.tar", [BASE, TOP], tags=["one:1"])
    docker_archive(tmp_path / "two.tar", [BASE, OTHER], tags=["h:5000/t/two:x"])
    load(store, tmp_path / "one.tar")
    load(store, tmp_path / "two.tar")
    return store


@pytest.mark.parametrize("form", [form for form in Format if form is not Format.DOCKER_DIR])
def test_saved_images_load_into_another_store_as_the_same(store, tmp_path, form):
    save(store, ["one:1", "h:5000/t/two:x"], tmp_path / "saved", form)
    other = Store.open(tmp_path / "other")
    load(other, tmp_path / "saved")
    for name in ("one:1", "h:5000/t/two:x"):
        mine, theirs = resolve(store, name), resolve(other, name)
        assert (mine.id, mine.manifest.digest) == (theirs.id, theirs.manifest.digest)
        assert mine.tags == theirs.tags


@pytest.mark.needs("skopeo")
@pytest.mark.parametrize(
    ("form", "transport"),
    [
        (Format.DOCKER_ARCHIVE, "docker-archive"),
        (Format.DOCKER_ARCHIVE, "oci-archive"),
        (Format.OCI_ARCHIVE, "oci-archive"),
        (Format.OCI_DIR, "oci"),
        (Format.DOCKER_DIR, "dir"),
    ],
)
def test_skopeo_reads_what_is_saved(store, tmp_path, form, transport):
    save(store, ["one:1"], tmp_path / "saved", form)
    done = subprocess.run(
        ["skopeo", "inspect", "--raw", "--config", f"{transport}:{tmp_path / 'saved'}"],
        capture_output=True,
        check=True,
        timeout=120,
    )
    assert "sha256:" + hashlib.sha256(done.stdout).hexdigest() == resolve(store, "one:1").id


def test_docker_archive_is_an_oci_layout_too(store, tmp_path):
    """File by file what docker 28.5 writes of the same image."""
    tag(store, "one:1", "reg.test/team/app:v1")
    names = ["one:1", "reg.test/team/app:v1", "h:5000/t/two:x"]
    os.umask(os.umask(0o022))
    save(store, names, tmp_path / "saved")
    assert (tmp_path / "saved").stat().st_mode & 0o777 == 0o600
    with tarfile.open(tmp_path / "saved") as archive:
        files = {
            member.name: archive.extractfile(member).read() for member in archive if member.isreg()
        }
    blobs = {name for name in files if name.startswith("blobs/sha256/")}
    assert all(sha256(files[name])[7:] == name[13:] for name in blobs)
    assert files.keys() - blobs == {"index.json", "manifest.json", "oci-layout", "repositories"}
    one, two = resolve(store, "one:1"), resolve(store, "h:5000/t/two:x")
    listing = json.loads(files["manifest.json"])
    assert [(entry["Config"], entry["RepoTags"], entry["Layers"]) for entry in listing] == [
        (
            f"blobs/sha256/{image.id[7:]}",
            tags,
            [f"blobs/sha256/{diff_id[7:]}" for diff_id in image.diff_ids],
        )
        for image, tags in ((one, ["one:1", "reg.test/team/app:v1"]), (two, ["h:5000/t/two:x"]))
    ]
    assert listing[0]["LayerSources"][sha256(BASE)] == {
        "mediaType": "application/vnd.oci.image.layer.v1.tar",
        "digest": sha256(BASE),
        "size": len(BASE),
    }
    assert json.loads(files["repositories"]) == {
        "one": {"1": sha256(TOP)[7:]},
        "reg.test/team/app": {"v1": sha256(TOP)[7:]},
        "h:5000/t/two": {"x": sha256(OTHER)[7:]},
    }
    entries = json.loads(files["index.json"])["manifests"]
    assert [entry["annotations"] for entry in entries] == [
        {"io.containerd.image.name": name, "org.opencontainers.image.ref.name": short}
        for name, short in (
            ("docker.io/library/one:1", "1"),
            ("reg.test/team/app:v1", "v1"),
            ("h:5000/t/two:x", "x"),
        )
    ]


def test_image_saved_by_id_has_no_name_and_no_repositories(store, tmp_path):
    save(store, [resolve(store, "one:1").id], tmp_path / "saved")
    with tarfile.open(tmp_path / "saved") as archive:
        assert "repositories" not in archive.getnames()
        [entry] = json.load(archive.extractfile("index.json"))["manifests"]
        [listed] = json.load(archive.extractfile("manifest.json"))
    assert ("annotations" in entry, listed["RepoTags"]) == (False, None)


def test_saving_twice_makes_the_same_archive(store, tmp_path):
    save(store, ["one:1"], tmp_path / "a")
    save(store, ["one:1"], tmp_path / "a")
    save(store, ["one:1"], tmp_path / "b")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert sorted(os.listdir(tmp_path)) == ["a", "b", "one.tar", "store", "two.tar"]


def test_save_to_a_pipe(store, tmp_path):
    with (
        (tmp_path / "out").open("wb") as sink,
        subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=sink) as cat,
    ):
        save(store, ["one:1"], cat.stdin.fileno())
        cat.stdin.close()
        assert cat.wait(120) == 0
    other = Store.open(tmp_path / "other")
    assert load(other, tmp_path / "out")[0].id == resolve(store, "one:1").id


def test_compressed_layers_go_out_as_they_came(store, tmp_path):

    compressed_layout(tmp_path / "in", [TOP], gz, "+gzip", "zipped:1")
    load(store, tmp_path / "in")
    save(store, ["zipped:1"], tmp_path / "oci", Format.OCI_DIR)
    assert (
        gzip.decompress((tmp_path / "oci/blobs/sha256" / sha256(gz(TOP))[7:]).read_bytes()) == TOP
    )
    save(store, ["zipped:1"], tmp_path / "docker.tar")
    with tarfile.open(tmp_path / "docker.tar") as archive:
        assert archive.extractfile(f"blobs/sha256/{sha256(TOP)[7:]}").read() == TOP


def test_names_that_are_saved_are_those_asked_for(store, tmp_path):
    tag(store, "one:1", "one:2")
    tag(store, "one:1", "three")

    def tags(*names):
        save(store, names, tmp_path / "saved")
        with tarfile.open(tmp_path / "saved") as archive:
            manifest = json.load(archive.extractfile("manifest.json"))
        return [image["RepoTags"] for image in manifest]

    assert tags("one:1") == [["one:1"]]
    assert tags("one") == [["one:1", "one:2"]]
    assert tags("one:2", "three", "h:5000/t/two:x") == [
        ["one:2", "three:latest"],
        ["h:5000/t/two:x"],
    ]
    assert tags(resolve(store, "one:1").id) == [None]


def test_save_that_fails_leaves_no_file(store, tmp_path):
    with pytest.raises(NotFoundError, match=r"^No such image: none:latest$"):
        save(store, ["one:1", "none"], tmp_path / "saved")
    with pytest.raises(UsageError, match="standard output"):
        save(store, ["one:1"], 1, Format.OCI_DIR)
    (tmp_path / "there").mkdir()
    with pytest.raises(ExistsError, match="there exists already"):
        save(store, ["one:1"], tmp_path / "there", Format.OCI_DIR)
    path = Path(store.layer_files(sha256(TOP)).tar)
    data = bytearray(path.read_bytes())
    data[1000] ^= 1
    path.write_bytes(data)
    for form in Format:
        with pytest.raises(IntegrityError, match="damaged"):
            save(store, ["one:1"], tmp_path / "saved", form)
    assert sorted(os.listdir(tmp_path)) == ["one.tar", "store", "there", "two.tar"]


def test_docker_directory_holds_one_image_and_loads_again(store, tmp_path):
    with pytest.raises(UsageError, match="one image"):
        save(store, ["one:1", "h:5000/t/two:x"], tmp_path / "saved", Format.DOCKER_DIR)
    save(store, ["one:1"], tmp_path / "saved", Format.DOCKER_DIR)
    other = Store.open(tmp_path / "other")
    (loaded,) = load(other, tmp_path / "saved")
    assert loaded.id == resolve(store, "one:1").id
    assert loaded.tags == ()


@pytest.mark.needs("skopeo")
def test_what_skopeo_copies_to_a_directory_is_loaded(store, tmp_path):
    save(store, ["one:1"], tmp_path / "archive")
    source, target = f"docker-archive:{tmp_path / 'archive'}", f"dir:{tmp_path / 'dir'}"
    subprocess.run(["skopeo", "copy", "-q", source, target], check=True, timeout=120)
    other = Store.open(tmp_path / "other")
    (loaded,) = load(other, tmp_path / "dir")
    assert loaded.id == resolve(store, "one:1").id
