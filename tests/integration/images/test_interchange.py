"""Every format, both ways, with every tool that has it: what is written here others read, and the
other way round, and an image is the same image afterwards."""

from __future__ import annotations

import hashlib
import json
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from tests.support.command import Result, run_command
from tests.support.docker_registry import docker_registry
from tests.support.images import docker_archive, image_config, layer_tar, sha256
from tests.support.podman import Podman
from tests.support.rootless import Rootless, remove_tree

BASE = layer_tar({"etc/name": b"base\n"})
TOP = layer_tar({"etc/top": b"top\n" * 1000})
OTHER = layer_tar({"etc/other": b"other\n"})
NAME = "localhost/team/app:1"
CONFIG = {"User": "1000", "Labels": {"a.b": "c"}}
ID = sha256(image_config([BASE, TOP], CONFIG))
DIFF_IDS = [sha256(BASE), sha256(TOP)]

# What each format is called by containers/image (skopeo, buildah).
TRANSPORTS = {
    "docker-archive": "docker-archive",
    "oci-archive": "oci-archive",
    "oci-dir": "oci",
    "docker-dir": "dir",
}
FORMATS = (*TRANSPORTS, "registry")
TOOLS = {"skopeo": "skopeo", "buildah": "buildah", "podman": "podman-images"}
MATRIX = [
    pytest.param(
        tool,
        form,
        marks=pytest.mark.needs(needed, *(["docker-registry"] if form == "registry" else [])),
        id=f"{tool}-{form}",
    )
    for form in FORMATS
    for tool, needed in TOOLS.items()
]
pytestmark = pytest.mark.needs("userns", "subuid", "fuse", "fuse-overlayfs")


@pytest.fixture(scope="module")
def podman() -> Iterator[Podman]:
    podman = Podman.create("fuse-overlayfs")
    yield podman
    podman.destroy()


@pytest.fixture
def seed(tmp_path: Path) -> Path:
    path = tmp_path / "seed.tar"
    docker_archive(path, [BASE, TOP], tags=[NAME], config=CONFIG)
    return path


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """podman and buildah take the path of a layout for a reference, in which they allow no capitals,
    nor a name that ends in an underscore; what pytest and tempfile give may have either."""
    directory = Path(f"/var/tmp/rl-{uuid4().hex}")
    directory.mkdir(mode=0o700)
    yield directory
    remove_tree(directory)


@pytest.fixture
def peers(tmp_path: Path, podman: Podman, monkeypatch: pytest.MonkeyPatch) -> Iterator[Peers]:
    monkeypatch.setenv("HOME", str(tmp_path))
    yield Peers(tmp_path, podman)
    podman("rmi", "--all", "--force")


class Peers:
    """The other tools, each of which brings an image in or out in any format."""

    def __init__(self, directory: Path, podman: Podman) -> None:
        self._directory = directory
        self._podman = podman

    def buildah(self, *arguments: str | Path) -> Result:
        root = self._directory / "buildah"
        storage = ["--storage-driver", "vfs", "--root", root, "--runroot", root / "run"]
        env = os.environ | {"TMPDIR": str(self._directory)}
        return run_command(["buildah", *storage, *arguments], env=env).ok()

    def skopeo(self, *arguments: str | Path) -> Result:
        return run_command(["skopeo", *arguments]).ok()

    def podman(self, *arguments: str | Path) -> Result:
        return self._podman(*arguments).ok()

    def read(self, tool: str, form: str, where: str) -> str:
        """Have a tool read an image, layers and all; the digest of its config."""
        if form == "registry":
            place, insecure = f"docker://{where}", ["--tls-verify=false"]
        else:
            place, insecure = f"{TRANSPORTS[form]}:{where}", []
        if tool == "skopeo":
            verify = ["--src-tls-verify=false"] if insecure else []
            self.skopeo("copy", "-q", *verify, place, f"dir:{self._directory}/read")
            out = self.skopeo("inspect", "--config", "--raw", *insecure, place).stdout
            return f"sha256:{hashlib.sha256(out.encode()).hexdigest()}"
        if tool == "buildah":
            return f"sha256:{self.buildah('pull', '-q', *insecure, place).stdout.strip()}"
        if form == "registry":
            self.podman("pull", "-q", *insecure, where)
        else:
            self.podman("load", "-q", "-i", where)
        (line,) = self.podman("images", "--no-trunc", "--quiet").stdout.splitlines()
        return line

    def write(self, tool: str, form: str, seed: Path, where: str) -> None:
        """Have a tool write the image that a docker-archive holds."""
        if form == "registry":
            place, insecure = f"docker://{where}", ["--tls-verify=false"]
        else:
            name = "" if form == "docker-dir" else f":{NAME}"
            place, insecure = f"{TRANSPORTS[form]}:{where}{name}", []
        if tool == "skopeo":
            verify = ["--dest-tls-verify=false"] if insecure else []
            self.skopeo("copy", "-q", *verify, f"docker-archive:{seed}", place)
        elif tool == "buildah":
            self.buildah("pull", "-q", f"docker-archive:{seed}")
            self.buildah("push", "-q", *insecure, NAME, place)
        else:
            self.podman("load", "-q", "-i", seed)
            if form == "registry":
                self.podman("push", "-q", *insecure, NAME, where)
            else:
                self.podman("save", "-q", "--format", form, "-o", where, NAME)


@pytest.fixture
def place(request: pytest.FixtureRequest, tmp_path: Path, form: str) -> Iterator[str]:
    """Where an image of a format is to be: a path, or a name at a registry."""
    if form != "registry":
        yield str(tmp_path / "image")
        return
    with docker_registry(tmp_path / "registry") as host:
        yield f"{host}/team/app:1"


def inspected(rootless: Rootless, name: str) -> dict[str, object]:
    (document,) = json.loads(rootless("image", "inspect", name).ok().stdout)
    return document


@pytest.mark.parametrize(("tool", "form"), MATRIX)
def test_what_is_written_here_a_peer_reads_as_the_same_image(
    rootless, peers, seed, tool, form, place
):
    rootless("load", "-i", seed).ok()
    if form == "registry":
        rootless("tag", NAME, place).ok()
        rootless("push", "-q", place).ok()
    else:
        rootless("save", "--format", form, "-o", place, NAME).ok()
    assert peers.read(tool, form, place) == ID


@pytest.mark.parametrize(("tool", "form"), MATRIX)
def test_what_a_peer_writes_is_read_here_as_the_same_image(
    rootless, peers, seed, tool, form, place
):
    peers.write(tool, form, seed, place)
    if form == "registry":
        rootless("pull", "-q", place).ok()
        name = place
    else:
        (said,) = rootless("load", "-i", place).ok().stdout.splitlines()
        name = said.partition(": ")[2]
        assert said.startswith("Loaded image")
    document = inspected(rootless, name)
    assert document["RootFS"]["Layers"] == DIFF_IDS
    assert document["Config"]["Labels"] == {"a.b": "c"}
    # A config that was Docker's may have been rewritten as OCI's; what is read is what was written.
    assert document["Id"] == peers.read("skopeo", form, place)


@pytest.mark.parametrize("form", [form for form in FORMATS if form != "registry"])
@pytest.mark.needs("skopeo")
def test_digest_of_the_manifest_is_the_same_for_skopeo(rootless, peers, seed, tmp_path, form):
    if form == "docker-archive":
        rootless("load", "-i", seed).ok()
        assert inspected(rootless, NAME)["Id"] == ID
        return
    peers.write("skopeo", form, seed, str(tmp_path / "image"))
    theirs = json.loads(peers.skopeo("inspect", f"{TRANSPORTS[form]}:{tmp_path}/image").stdout)
    copied = rootless("copy", "-q", f"{TRANSPORTS[form]}:{tmp_path}/image", "local:copied").ok()
    assert copied.stdout.strip() == theirs["Digest"]


@pytest.mark.needs("skopeo", "podman-images")
@pytest.mark.parametrize("form", ["oci-archive", "oci-dir"])
def test_image_of_docker_s_types_goes_into_a_layout_as_oci_s(rootless, peers, seed, tmp_path, form):
    """Readers of layouts find nothing else by name."""
    peers.write("skopeo", "docker-dir", seed, str(tmp_path / "v2s2"))
    rootless("copy", "-q", f"dir:{tmp_path}/v2s2", f"local:{NAME}").ok()
    rootless("save", "--format", form, "-o", tmp_path / "saved", NAME).ok()
    place = f"{TRANSPORTS[form]}:{tmp_path}/copied:{NAME}"
    said = rootless("copy", "-q", f"local:{NAME}", place).ok().stdout.strip()
    for where in (place, f"{TRANSPORTS[form]}:{tmp_path}/saved:{NAME}"):
        raw = peers.skopeo("inspect", "--raw", where).stdout
        assert "docker" not in raw
        assert sha256(raw.encode()) == said
        assert sha256(peers.skopeo("inspect", "--raw", "--config", where).stdout.encode()) == ID
    peers.podman("load", "-q", "-i", tmp_path / "saved")


@pytest.mark.needs("umoci")
def test_umoci_unpacks_what_is_written_and_what_it_repacks_is_read(rootless, seed, tmp_path):
    rootless("load", "-i", seed).ok()
    rootless("copy", "-q", f"local:{NAME}", f"oci:{tmp_path}/layout:one").ok()
    bundle = tmp_path / "bundle"
    image = f"{tmp_path}/layout:one"
    run_command(["umoci", "unpack", "--rootless", "--image", image, bundle]).ok()
    assert (bundle / "rootfs/etc/name").read_text() == "base\n"
    (bundle / "rootfs/etc/new").write_text("new\n")
    (bundle / "rootfs/etc/name").unlink()
    run_command(["umoci", "repack", "--image", f"{tmp_path}/layout:two", bundle]).ok()
    rootless("copy", "-q", f"oci:{tmp_path}/layout:two", "local:two").ok()
    assert inspected(rootless, "two")["RootFS"]["Layers"][:2] == DIFF_IDS
    changed = rootless("image", "diff", NAME, "two").ok().stdout.splitlines()
    assert [line for line in changed if "etc/" in line] == ["D /etc/name", "A /etc/new"]


def two(rootless: Rootless, seed: Path, tmp_path: Path) -> None:
    rootless("load", "-i", seed).ok()
    docker_archive(tmp_path / "other.tar", [BASE, OTHER], tags=["localhost/other:2"])
    rootless("load", "-i", tmp_path / "other.tar").ok()


@pytest.mark.needs("podman-images", "skopeo")
def test_several_images_of_one_archive_are_read_by_peers(rootless, peers, seed, tmp_path):
    two(rootless, seed, tmp_path)
    names = [NAME, "localhost/other:2"]
    rootless("save", "-o", tmp_path / "docker.tar", *names).ok()
    rootless("save", "--format", "oci-archive", "-o", tmp_path / "oci.tar", *names).ok()
    peers.podman("load", "-q", "-i", tmp_path / "docker.tar")
    listed = peers.podman("images", "--format", "{{.Repository}}:{{.Tag}}").stdout.split()
    assert sorted(listed) == sorted(names)
    ids = {name: inspected(rootless, name)["Id"] for name in names}
    for archive in ("docker", "oci"):
        for name in names:
            place = f"{archive}-archive:{tmp_path}/{archive}.tar:{name}"
            config = peers.skopeo("inspect", "--raw", "--config", place).stdout
            assert sha256(config.encode()) == ids[name]


@pytest.mark.needs("podman-images")
def test_several_images_of_an_archive_of_podman_are_read(rootless, peers, seed, tmp_path):
    two(rootless, seed, tmp_path)
    for archive in (seed, tmp_path / "other.tar"):
        peers.podman("load", "-q", "-i", archive)
    peers.podman("save", "-q", "-m", "-o", tmp_path / "both.tar", NAME, "localhost/other:2")
    rootless("rmi", NAME, "localhost/other:2").ok()
    said = rootless("load", "-i", tmp_path / "both.tar").ok().stdout.splitlines()
    assert sorted(said) == sorted(["Loaded image: localhost/other:2", f"Loaded image: {NAME}"])


def test_docker_archive_follows_the_rules_of_docker_load(rootless, seed, tmp_path):
    """moby image/tarexport: Config and Layers are blobs of an OCI layout, the layers' digests are the
    diffIDs in order, every RepoTags entry has a tag, and no member is a link."""
    two(rootless, seed, tmp_path)
    rootless("save", "-o", tmp_path / "saved.tar", NAME, "localhost/other:2").ok()
    with tarfile.open(tmp_path / "saved.tar") as archive:
        members = {member.name: member for member in archive}
        assert all(member.isreg() or member.isdir() for member in members.values())
        listing = json.load(archive.extractfile("manifest.json"))
        for image in listing:
            config = archive.extractfile(image["Config"]).read()
            assert image["Config"] == f"blobs/sha256/{sha256(config)[7:]}"
            layers = [sha256(archive.extractfile(each).read()) for each in image["Layers"]]
            assert layers == json.loads(config)["rootfs"]["diff_ids"]
            assert all(":" in tag.rpartition("/")[2] for tag in image["RepoTags"])
    assert len(listing) == 2
    assert len({layer for image in listing for layer in image["Layers"]}) == 3  # BASE once
