"""Loading images: every form of archive, what others read of it, and what bad input leaves
behind."""

import json
import lzma
import os
import shutil
import sqlite3
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
import zstandard

from rootless.errors import IntegrityError, InvalidDocumentError, NotFoundError, RootlessError
from rootless.images.formats.members import DirectoryMembers, read_small
from rootless.images.gc.check import check
from rootless.images.gc.remove import remove
from rootless.images.load import load
from rootless.images.tag import tag
from rootless.oci.platform import parse_platform
from rootless.store import chains
from rootless.store.chains import chain_index
from rootless.store.decompression import Limits
from rootless.store.image import all_images, resolve
from rootless.store.ingest import Ingest
from rootless.store.layers import layer_files
from rootless.store.layout import Store
from tests.support.images import (
    add_file,
    compressed_layout,
    docker_archive,
    gz,
    image_config,
    oci_archive,
    oci_layout,
    sha256,
    tar,
)
from unionfs.tar.chain import build_chain

BASE = tar(motd=b"hello\n", big=os.urandom(200_000))
TOP = tar(motd=b"bye\n")


@pytest.fixture
def store(tmp_path):
    return Store.open(tmp_path / "store")


def contents(store):
    """Every file of a store, so that a failed load can be shown to change nothing."""
    found = {}
    for path in sorted(Path(store.root).rglob("*")):
        if path.is_file() and path.name != ".lock":
            found[str(path.relative_to(store.root))] = path.read_bytes()
    return found


def check_loaded(store, layers, name="test:latest", platform=None):
    image = resolve(store, name, platform)
    assert image.diff_ids == tuple(sha256(layer) for layer in layers)
    for files, layer in zip(layer_files(store, image), layers, strict=True):
        assert Path(files.tar).read_bytes() == layer
        assert Path(files.index).exists()
    assert [p.name for p in (Path(store.root) / "tmp").iterdir()] == [".lock"]
    return image


COMPRESSIONS = {
    "plain": lambda data: data,
    "gzip": gz,
    "gzip in members": lambda data: gz(data[:50_000]) + gz(data[50_000:]),
    "zstd": zstandard.compress,
    "zstd in frames": lambda data: (
        zstandard.compress(data[:9])
        + b"\x50\x2a\x4d\x18\x03\0\0\0abc"
        + zstandard.compress(data[9:])
    ),
    "xz": lzma.compress,
}


@pytest.mark.parametrize("compression", COMPRESSIONS)
@pytest.mark.parametrize("write", [docker_archive, oci_archive])
def test_load_of_an_archive_in_any_compression(store, tmp_path, write, compression):
    path = tmp_path / "image.tar"
    write(path, [BASE, TOP], **({"name": "test"} if write is oci_archive else {}))
    path.write_bytes(COMPRESSIONS[compression](path.read_bytes()))
    (loaded,) = load(store, path)
    assert [tag.familiar for tag in loaded.tags] == ["test:latest"]
    assert check_loaded(store, [BASE, TOP]).id == loaded.id


def test_load_of_a_layout_directory(store, tmp_path):
    oci_layout(tmp_path / "layout", [BASE, TOP], name="quay.io/team/app:3")
    load(store, tmp_path / "layout")
    check_loaded(store, [BASE, TOP], "quay.io/team/app:3")


def test_load_from_a_pipe(store, tmp_path):
    docker_archive(tmp_path / "image.tar", [BASE])
    with subprocess.Popen(["cat", tmp_path / "image.tar"], stdout=subprocess.PIPE) as source:
        load(store, source.stdout.fileno())
    check_loaded(store, [BASE])


def test_layers_are_merged_into_one_index_that_others_build_on(store, tmp_path):
    docker_archive(tmp_path / "two.tar", [BASE, TOP], tags=["two"])
    docker_archive(tmp_path / "three.tar", [BASE, TOP, tar(more=b"x")], tags=["three"])
    load(store, tmp_path / "two.tar")
    index = Path(chain_index(store, resolve(store, "two")))
    assert index is not None
    load(store, tmp_path / "three.tar")
    larger = Path(chain_index(store, resolve(store, "three")))
    assert larger is not None
    shutil.rmtree(larger.parent)
    shutil.rmtree(index.parent)
    rebuilt = Path(chain_index(store, resolve(store, "three")))
    with sqlite3.connect(rebuilt) as database:
        names = {row[0] for row in database.execute("SELECT name FROM entry")}
    database.close()
    assert names == {b"", b"motd", b"big", b"more"}


def test_merged_index_is_made_of_the_layers_alone_if_that_of_the_lower_ones_is_removed_meanwhile(
    store, tmp_path, monkeypatch
):
    docker_archive(tmp_path / "three.tar", [BASE, TOP, tar(more=b"x")], tags=["three"])
    load(store, tmp_path / "three.tar")
    image = resolve(store, "three")
    index = Path(chain_index(store, image))
    whole = index.read_bytes()
    shutil.rmtree(index.parent)
    monkeypatch.setattr(chains, "merged_below", lambda *_: (2, str(tmp_path / "removed")))
    assert Path(chain_index(store, image)).read_bytes() == whole


def test_merged_index_of_a_layer_that_is_removed_meanwhile_is_not_found(
    store, tmp_path, monkeypatch
):
    docker_archive(tmp_path / "two.tar", [BASE, TOP], tags=["two"])
    load(store, tmp_path / "two.tar")
    image = resolve(store, "two")
    shutil.rmtree(Path(chain_index(store, image)).parent)
    bottom = layer_files(store, image)[0]

    def removed_while_it_is_read(*args, **kwargs):
        shutil.rmtree(Path(bottom.index).parent)
        build_chain(*args, **kwargs)

    monkeypatch.setattr("unionfs.tar.chain.build_chain", removed_while_it_is_read)
    with pytest.raises(NotFoundError, match="was removed while it was being prepared"):
        chain_index(store, image)


def test_uncompressed_layer_is_on_disk_once(store, tmp_path):
    docker_archive(tmp_path / "image.tar", [BASE])
    load(store, tmp_path / "image.tar")
    layer = Path(store.layer_files(sha256(BASE)).tar)
    assert os.path.samefile(layer, store.blob_path(sha256(BASE)))
    assert layer.stat().st_nlink == 2


@pytest.mark.parametrize(("compress", "suffix"), [(gz, "+gzip"), (zstandard.compress, "+zstd")])
def test_compressed_layers_keep_blob_and_manifest_digest(store, tmp_path, compress, suffix):
    digest = compressed_layout(tmp_path / "in", [BASE, TOP], compress, suffix)
    load(store, tmp_path / "in")
    image = check_loaded(store, [BASE, TOP])
    assert image.manifest.digest == digest
    assert Path(store.blob_path(sha256(compress(BASE)))).exists()


def test_several_images_of_one_archive_share_their_layers(store, tmp_path):
    config_a, config_b = image_config([BASE], {}), image_config([BASE, TOP], {"Cmd": ["b"]})
    with tarfile.open(tmp_path / "two.tar", "w") as archive:
        add_file(
            archive,
            "manifest.json",
            json.dumps(
                [
                    {"Config": "a.json", "RepoTags": ["a:1", "a:2"], "Layers": ["base/layer.tar"]},
                    {"Config": "b.json", "RepoTags": None, "Layers": ["base/layer.tar", "top.tar"]},
                ]
            ).encode(),
        )
        add_file(archive, "a.json", config_a)
        add_file(archive, "b.json", config_b)
        add_file(archive, "base/layer.tar", BASE)
        add_file(archive, "top.tar", TOP)
    first, second = load(store, tmp_path / "two.tar")
    assert [tag.familiar for tag in first.tags] == ["a:1", "a:2"]
    assert second.tags == ()
    assert resolve(store, second.id[7:19]).id == sha256(config_b)
    assert resolve(store, "a:2").id == resolve(store, "a:1").id == sha256(config_a)


def test_layers_that_are_links_of_one_another_are_followed(store, tmp_path):
    config = image_config([BASE, TOP, BASE], {})
    with tarfile.open(tmp_path / "links.tar", "w") as archive:
        add_file(archive, "x/layer.tar", BASE)
        symlink = tarfile.TarInfo("y/layer.tar")
        symlink.type, symlink.linkname = tarfile.SYMTYPE, "../x/layer.tar"
        archive.addfile(symlink)
        add_file(archive, "z/layer.tar", TOP)
        hardlink = tarfile.TarInfo("w/layer.tar")
        hardlink.type, hardlink.linkname = tarfile.LNKTYPE, "z/layer.tar"
        archive.addfile(hardlink)
        add_file(archive, "c.json", config)
        layers = ["x/layer.tar", "w/layer.tar", "y/layer.tar"]
        entry = {"Config": "c.json", "RepoTags": ["test"], "Layers": layers}
        add_file(archive, "manifest.json", json.dumps([entry]).encode())
    load(store, tmp_path / "links.tar")
    check_loaded(store, [BASE, TOP, BASE])


def test_archive_of_old_docker_without_manifest_gets_a_config(store, tmp_path):
    with tarfile.open(tmp_path / "old.tar", "w") as archive:
        add_file(archive, "repositories", json.dumps({"old": {"1": "bb"}}).encode())
        aa = {
            "id": "aa",
            "created": "2014-01-01T00:00:00Z",
            "container_config": {"Cmd": ["/bin/sh"]},
        }
        bb = {"id": "bb", "parent": "aa", "os": "linux", "config": {"Cmd": ["top"]}}
        for name, document, layer in (("aa", aa, BASE), ("bb", bb, TOP)):
            add_file(archive, f"{name}/json", json.dumps(document).encode())
            add_file(archive, f"{name}/layer.tar", layer)
    load(store, tmp_path / "old.tar")
    image = check_loaded(store, [BASE, TOP], "old:1")
    assert image.config["Cmd"] == ["top"]
    assert len(image.image_config.history) == 2


def test_index_of_several_platforms_gives_the_one_asked_for(store, tmp_path):
    layout = tmp_path / "multi"
    entries = []
    for architecture, layer in (("amd64", BASE), ("arm64", TOP)):
        compressed_layout(tmp_path / architecture, [layer], gz, "+gzip")
        index = json.loads((tmp_path / architecture / "index.json").read_text())
        for blob in (tmp_path / architecture / "blobs/sha256").iterdir():
            (layout / "blobs/sha256").mkdir(parents=True, exist_ok=True)
            (layout / "blobs/sha256" / blob.name).write_bytes(blob.read_bytes())
        entry = index["manifests"][0]
        entries.append({**entry, "platform": {"os": "linux", "architecture": architecture}})
    inner = json.dumps({"schemaVersion": 2, "manifests": entries}).encode()
    (layout / "blobs/sha256" / sha256(inner)[7:]).write_bytes(inner)
    outer = {
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "digest": sha256(inner),
        "size": len(inner),
        "annotations": {"org.opencontainers.image.ref.name": "test"},
    }
    (layout / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [outer]}))
    load(store, layout, platform=parse_platform("linux/arm64"))
    assert resolve(store, "test").diff_ids == (sha256(TOP),)
    with pytest.raises(NotFoundError, match="no image for linux/s390x") as caught:
        load(store, layout, platform=parse_platform("s390x"))
    assert caught.value.hint == "choose one of its platforms: linux/amd64, linux/arm64"


# Other tools


@pytest.mark.needs("skopeo")
def test_skopeo_and_umoci_read_the_store(store, tmp_path):
    docker_archive(tmp_path / "image.tar", [BASE, TOP], tags=["docker.io/library/test:latest"])
    load(store, tmp_path / "image.tar")
    compressed_layout(tmp_path / "in", [TOP], gz, "+gzip", "localhost:5000/team/app:v1.2")
    load(store, tmp_path / "in")
    for name, layers in (("docker.io/library/test:latest", 2), ("localhost:5000/team/app:v1.2", 1)):
        shown = subprocess.run(
            ["skopeo", "inspect", f"oci:{store.root}:{name}"],
            capture_output=True,
            check=True,
            timeout=120,
        )
        assert len(json.loads(shown.stdout)["Layers"]) == layers
        subprocess.run(
            ["skopeo", "copy", "-q", f"oci:{store.root}:{name}", f"dir:{tmp_path / name[:4]}"],
            check=True,
            timeout=120,
        )
    if os.path.exists("/usr/bin/umoci"):
        shown = subprocess.run(
            ["umoci", "stat", "--json", "--image", f"{store.root}:docker.io/library/test:latest"],
            capture_output=True,
            check=True,
            timeout=120,
        )
        assert len(json.loads(shown.stdout)["history"]) == 2


@pytest.mark.needs("skopeo")
@pytest.mark.parametrize("transport", ["docker-archive", "oci-archive", "oci"])
def test_archives_of_skopeo_load(store, tmp_path, transport):
    docker_archive(tmp_path / "image.tar", [BASE, TOP])
    subprocess.run(
        [
            *("skopeo", "copy", "-q", f"docker-archive:{tmp_path / 'image.tar'}"),
            f"{transport}:{tmp_path / 'copy'}:test:latest",
        ],
        check=True,
        timeout=120,
    )
    load(store, tmp_path / "copy")
    check_loaded(store, [BASE, TOP])


@pytest.mark.needs("skopeo")
def test_image_that_another_tool_put_into_the_store_is_usable(store, tmp_path):
    docker_archive(tmp_path / "image.tar", [BASE, TOP])
    subprocess.run(
        [
            *("skopeo", "copy", "-q", f"docker-archive:{tmp_path / 'image.tar'}"),
            f"oci:{store.root}:other:9",
        ],
        check=True,
        timeout=120,
    )
    check_loaded(store, [BASE, TOP], "other:9")


LOADER = """
import sys
from pathlib import Path
from rootless.images.formats.members import DirectoryMembers, read_small
from rootless.images.load import load
from rootless.store.layout import Store
load(Store.open(Path(sys.argv[1])), Path(sys.argv[2]))
"""


# Bad input: one clear error, and the store as it was


def refuse(store, path, kind, message, **options):
    before = contents(store)
    with pytest.raises(kind, match=message) as caught:
        load(store, path, **options)
    assert "\n" not in caught.value.message
    assert contents(store) == before
    assert [p.name for p in (Path(store.root) / "tmp").iterdir()] == [".lock"]


def test_file_that_is_no_archive_is_refused(store, tmp_path):
    for data in (b"", b"hello", b"\0" * 100_000, os.urandom(5000)):
        (tmp_path / "junk").write_bytes(data)
        refuse(store, tmp_path / "junk", InvalidDocumentError, "junk")
    refuse(store, tmp_path / "none", NotFoundError, "no such file")


def test_root_file_system_given_to_load_names_import(store, tmp_path):
    (tmp_path / "rootfs.tar").write_bytes(BASE)
    with pytest.raises(
        InvalidDocumentError, match=r"neither manifest.json nor index.json"
    ) as caught:
        load(store, tmp_path / "rootfs.tar")
    assert "rootless import" in caught.value.hint


@pytest.mark.parametrize("write", [docker_archive, oci_archive])
@pytest.mark.parametrize("compress", [lambda data: data, gz, zstandard.compress])
def test_truncated_archive_is_refused_wherever_it_ends(store, tmp_path, write, compress):
    path = tmp_path / "image.tar"
    write(path, [BASE, TOP])
    whole = compress(path.read_bytes())
    # What follows the last member of a tar is padding.
    for end in range(0, len(whole) - 11_000, len(whole) // 23 + 1):
        path.write_bytes(whole[:end])
        refuse(store, path, RootlessError, "image.tar")


@pytest.mark.parametrize("compress", [gz, zstandard.compress])
def test_layer_with_a_flipped_bit_is_refused(store, tmp_path, compress):
    compressed_layout(tmp_path / "in", [BASE], compress, "+gzip")
    blob = tmp_path / "in/blobs/sha256" / sha256(compress(BASE))[7:]
    data = blob.read_bytes()
    for position in range(0, len(data), len(data) // 17):
        damaged = bytearray(data)
        damaged[position] ^= 0x10
        blob.write_bytes(damaged)
        refuse(
            store, tmp_path / "in", (InvalidDocumentError, IntegrityError), r"layer sha256:.* in "
        )


def test_every_blob_of_a_layout_is_checked(store, tmp_path):
    oci_layout(tmp_path / "in", [BASE, TOP])
    for blob in (tmp_path / "in/blobs/sha256").iterdir():
        good = blob.read_bytes()
        blob.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
        refuse(store, tmp_path / "in", (InvalidDocumentError, IntegrityError), ".")
        blob.unlink()
        refuse(store, tmp_path / "in", NotFoundError, blob.name)
        blob.write_bytes(good)
    load(store, tmp_path / "in")


def test_layer_that_is_not_what_the_config_says_is_refused(store, tmp_path):
    config = image_config([BASE], {})
    with tarfile.open(tmp_path / "lie.tar", "w") as archive:
        entry = {"Config": "c.json", "RepoTags": [], "Layers": ["layer.tar"]}
        add_file(archive, "manifest.json", json.dumps([entry]).encode())
        add_file(archive, "c.json", config)
        add_file(archive, "layer.tar", TOP)
    refuse(store, tmp_path / "lie.tar", IntegrityError, r"layer.tar in .* instead of")


DIGEST = f"sha256:{'0' * 64}"


@pytest.mark.parametrize("name", [f"x@{DIGEST}", f"x:1@{DIGEST}", DIGEST, "sha256:1", "X", "x@y"])
def test_name_of_an_archive_that_is_no_tag_is_refused(store, tmp_path, name):
    """As docker refuses it; a name with a digest would be a lie, `sha256:…` an ambiguous one."""
    docker_archive(tmp_path / "image.tar", [BASE], tags=[name])
    refuse(store, tmp_path / "image.tar", InvalidDocumentError, "invalid tag")


def test_name_by_digest_in_a_layout_is_a_digest_and_no_second_tag(store, tmp_path):
    docker_archive(tmp_path / "other.tar", [TOP], tags=["y:latest"])
    load(store, tmp_path / "other.tar")
    oci_layout(tmp_path / "in", [BASE])
    index = json.loads((tmp_path / "in/index.json").read_text())
    [entry] = index["manifests"]
    for name in (f"docker.io/library/y@{entry['digest']}", f"y@{DIGEST}", DIGEST):
        entry["annotations"] = {"org.opencontainers.image.ref.name": name}
        (tmp_path / "in/index.json").write_text(json.dumps(index))
        [loaded] = load(store, tmp_path / "in")
        assert loaded.tags == ()
    assert resolve(store, "y").diff_ids == (sha256(TOP),)
    by_digest = resolve(store, f"y@{entry['digest']}")
    assert by_digest.diff_ids == (sha256(BASE),)
    assert by_digest.repo_digests == (f"docker.io/library/y@{entry['digest']}",)
    assert len(all_images(store)) == 2


def test_two_manifests_of_one_config_are_one_image(store, tmp_path):
    compressed_layout(tmp_path / "one", [BASE], gz, "+gzip", name="same:1")
    compressed_layout(tmp_path / "two", [BASE], lambda data: data, "", name="same:1")
    compressed_layout(tmp_path / "two-b", [BASE], zstandard.compress, "+zstd", name="same:2")
    for name in ("one", "two", "two-b"):
        load(store, tmp_path / name)
    [image] = all_images(store)
    assert [each.tag for each in image.tags] == ["1", "2"]
    assert check(store, list) == []
    remove(store, image.id, list, force=True)
    assert (all_images(store), check(store, list)) == ([], [])


@pytest.mark.parametrize("field", ["Cmd", "Entrypoint"])
def test_command_that_is_a_string_is_a_list_of_one(store, tmp_path, field):
    docker_archive(tmp_path / "image.tar", [BASE], tags=["x:1"], config={field: "id -u"})
    load(store, tmp_path / "image.tar")
    assert resolve(store, "x:1").config[field] == ["id -u"]


def test_bomb_ends_where_the_disk_is_about_to_be_full(store, tmp_path):
    bomb = gz(tar(zeros=bytes(40 << 20)))
    compressed_layout(tmp_path / "in", [b"x"], lambda _: bomb, "+gzip")
    limits = Limits(reserve=1 << 60)
    refuse(store, tmp_path / "in", RootlessError, "no space left", limits=limits)
    (tmp_path / "outer").write_bytes(bomb)
    refuse(store, tmp_path / "outer", RootlessError, "no space left", limits=limits)


def test_sparse_file_of_terabytes_is_refused_by_its_header(store):
    """Not when the disk is full: nothing of its content has been read."""
    member = tarfile.TarInfo("disk.img")
    member.size = 15 << 40
    pieces = iter([member.tobuf(tarfile.GNU_FORMAT), bytes(1 << 20)])
    with Ingest(store) as ingest, pytest.raises(RootlessError, match="no space left"):
        ingest.add_layer(lambda _: next(pieces), "it")


def test_full_disk_is_refused_before_it_is_full(store, tmp_path):
    docker_archive(tmp_path / "image.tar", [tar(data=bytes(40 << 20))])
    limits = Limits(reserve=1 << 60)
    refuse(store, tmp_path / "image.tar", RootlessError, "no space left", limits=limits)


def entry(name, kind=tarfile.REGTYPE, link=""):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info


@pytest.mark.parametrize(
    "member",
    [entry("../evil"), entry("a/../../evil"), entry(".wh..."), entry("d/.wh.."), entry("d/.wh.")],
    ids=lambda member: member.name,
)
def test_layer_with_a_hostile_name_is_refused(store, tmp_path, member):
    docker_archive(tmp_path / "image.tar", [BASE, tar(member)])
    refuse(
        store,
        tmp_path / "image.tar",
        InvalidDocumentError,
        r"layer 1/layer.tar in .*image.tar is not",
    )


def test_entry_under_a_link_of_the_same_layer_is_refused(store, tmp_path):
    layer = tar(entry("etc", tarfile.SYMTYPE, "/etc"), entry("etc/passwd"))
    docker_archive(tmp_path / "image.tar", [layer])
    refuse(store, tmp_path / "image.tar", InvalidDocumentError, "etc")


def test_odd_but_sound_layers_load(store, tmp_path):
    """Absolute links, device nodes and duplicates are data: nothing is unpacked."""
    layer = tar(
        entry("abs", tarfile.SYMTYPE, "/../../etc/shadow"),
        entry("null", tarfile.CHRTYPE),
        entry("twice"),
        entry("twice", tarfile.SYMTYPE, "abs"),
    )
    docker_archive(tmp_path / "image.tar", [layer])
    load(store, tmp_path / "image.tar")
    check_loaded(store, [layer])


@pytest.mark.parametrize("name", ["../x.json", "/../x.json", "a/../../x.json"])
def test_member_names_that_lead_out_of_the_archive_are_refused(store, tmp_path, name):
    with tarfile.open(tmp_path / "out.tar", "w") as archive:
        manifest = [{"Config": name, "RepoTags": [], "Layers": []}]
        add_file(archive, "manifest.json", json.dumps(manifest).encode())
    refuse(store, tmp_path / "out.tar", InvalidDocumentError, "points outside the archive")


def test_link_of_a_layout_directory_to_the_outside_is_not_followed(store, tmp_path):
    oci_layout(tmp_path / "in", [BASE])
    blob = tmp_path / "in/blobs/sha256" / sha256(BASE)[7:]
    blob.rename(tmp_path / "outside")
    blob.symlink_to(tmp_path / "outside")
    refuse(store, tmp_path / "in", NotFoundError, blob.name)


@pytest.mark.parametrize(
    ("manifest", "message"),
    [
        ({"manifests": []}, "both a manifest and an index"),
        ({"layers": {}}, "layers is not of type array"),
        ({"schemaVersion": 1}, "schemaVersion"),
        ({"config": {"digest": "sha256:12", "size": 1}}, "not a sha256 digest"),
        ({"config": {"digest": "sha256:" + "a" * 64, "size": -1}}, "negative"),
        (
            {"layers": [{"mediaType": "x", "digest": "sha256:" + "a" * 64, "size": True}] * 2},
            "size",
        ),
        ({"mediaType": "application/vnd.oci.image.index.v1+json"}, "but its descriptor has"),
    ],
)
def test_malformed_manifest_is_refused(store, tmp_path, manifest, message):
    compressed_layout(tmp_path / "in", [BASE], gz, "+gzip", manifest=manifest)
    refuse(store, tmp_path / "in", InvalidDocumentError, message)


def test_deeply_nested_json_is_refused(store, tmp_path):
    with tarfile.open(tmp_path / "deep.tar", "w") as archive:
        add_file(archive, "manifest.json", b"[" * 300_000)
    refuse(store, tmp_path / "deep.tar", InvalidDocumentError, "nested too deeply")


def test_disk_that_refuses_in_the_middle_is_one_clear_line(store, tmp_path):
    docker_archive(tmp_path / "image.tar", [tar(data=os.urandom(3 << 20))])
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))"
    done = subprocess.run(
        [sys.executable, "-c", limit + LOADER, store.root, tmp_path / "image.tar"],
        capture_output=True,
        timeout=120,
        check=False,
        text=True,
    )
    assert "RootlessError: cannot store layer 0/layer.tar in" in done.stderr
    assert done.stderr.rstrip().endswith(": File too large")
    assert [p.name for p in (Path(store.root) / "tmp").iterdir()] == [".lock"]
    assert store.read_index().manifests == ()


def test_index_of_several_platforms_that_another_tool_wrote_is_used_and_removed(store, tmp_path):
    entries = []
    for architecture, layer in (("amd64", BASE), ("arm64", TOP)):
        compressed_layout(tmp_path / architecture, [layer], gz, "+gzip")
        shutil.copytree(
            tmp_path / architecture / "blobs", Path(store.root) / "blobs", dirs_exist_ok=True
        )
        entry = json.loads((tmp_path / architecture / "index.json").read_text())["manifests"][0]
        entries.append({**entry, "platform": {"os": "linux", "architecture": architecture}})
    inner = json.dumps({"schemaVersion": 2, "manifests": entries}).encode()
    Path(store.blob_path(sha256(inner))).write_bytes(inner)
    outer = {
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "digest": sha256(inner),
        "size": len(inner),
        "annotations": {"org.opencontainers.image.ref.name": "multi:1"},
    }
    (Path(store.root) / "index.json").write_text(
        json.dumps({"schemaVersion": 2, "manifests": [outer]})
    )
    check_loaded(store, [BASE], "multi:1", parse_platform("linux/amd64"))
    tag(store, "multi:1", "multi:2")
    remove(store, "multi:1", list)
    remove(store, "multi:2", list)
    assert store.read_index().manifests == ()
    assert os.listdir(Path(store.root) / "blobs/sha256") == []


# Two at once, and killed at any instant


def start_load(store, path):
    return subprocess.Popen(
        [sys.executable, "-c", LOADER, store.root, path], stderr=subprocess.PIPE
    )


def test_same_image_loaded_by_four_processes_at_once(store, tmp_path):
    docker_archive(tmp_path / "image.tar", [BASE, TOP])
    loaders = [start_load(store, tmp_path / "image.tar") for _ in range(4)]
    for loader in loaders:
        _, complaint = loader.communicate(timeout=120)
        assert loader.returncode == 0, complaint.decode()
    check_loaded(store, [BASE, TOP])
    assert len(store.read_index().manifests) == 1


WORKER = """
import sys
from pathlib import Path
from rootless.errors import NotFoundError
from rootless.images.formats.members import DirectoryMembers, read_small
from rootless.images.load import load
from rootless.images.gc.check import check
from rootless.images.gc.remove import remove
from rootless.store.layout import Store
store, rounds = Store.open(Path(sys.argv[1])), int(sys.argv[2])
for i in range(rounds):
    load(store, Path(sys.argv[3 + i % 2]))
    try:
        remove(store, sys.argv[5], list)
    except NotFoundError:
        pass
"""


def test_loads_and_removals_of_images_that_share_layers_do_not_disturb_each_other(store, tmp_path):
    layers = {"a": [BASE, TOP], "b": [BASE]}
    for name, content in layers.items():
        docker_archive(tmp_path / name, content, tags=[name])
    workers = [
        subprocess.Popen(
            [
                sys.executable,
                "-c",
                WORKER,
                store.root,
                "12",
                tmp_path / "a",
                tmp_path / "b",
                victim,
            ],
            stderr=subprocess.PIPE,
        )
        for victim in ("a", "b", "a")
    ]
    complaints = [worker.communicate(timeout=120)[1].decode() for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0, 0], "".join(complaints)
    for name, content in layers.items():
        load(store, tmp_path / name)
        check_loaded(store, content, name)
        remove(store, name, list)
    for directory in ("blobs/sha256", "layers", "chains"):
        assert os.listdir(Path(store.root) / directory) == []


@pytest.mark.slow
def test_load_killed_at_any_moment_leaves_a_store_that_loads_again(store, tmp_path):
    import time

    layers = [tar(data=os.urandom(8 << 20)), BASE]
    docker_archive(tmp_path / "image.tar", layers)
    started = time.monotonic()
    first = start_load(store, tmp_path / "image.tar")
    first.communicate(timeout=120)
    assert first.returncode == 0
    whole = time.monotonic() - started
    for i in range(30):
        victim_store = Store.open(tmp_path / f"store{i}")
        loader = start_load(victim_store, tmp_path / "image.tar")
        try:
            loader.wait(whole * (i + 1) / 30)
        except subprocess.TimeoutExpired:
            loader.kill()
        loader.communicate(timeout=120)
        for other in Store.open(victim_store.root).read_index().manifests:
            assert victim_store.has_blob(other.digest)
        load(victim_store, tmp_path / "image.tar")
        check_loaded(victim_store, layers)


def test_members_of_a_directory_do_not_stay_open(tmp_path):
    """RLIMIT_NOFILE is 1024 for most."""
    (tmp_path / "full").write_bytes(b"x" * 10)
    (tmp_path / "empty").touch()
    with DirectoryMembers(tmp_path, "here") as members:
        before = len(os.listdir("/proc/self/fd"))
        for name, content in (("full", b"x" * 10), ("empty", b"")):
            for _ in range(20):
                assert read_small(members, name) == content
                read = members.reader(name)
                assert b"".join(iter(lambda read=read: read(3), b"")) == content
                assert read(3) == b""
        # Of an empty document nothing is read, so its end is not met before that of all.
        assert len(os.listdir("/proc/self/fd")) <= before + 20
    assert len(os.listdir("/proc/self/fd")) < before
