"""Squashfs and SIF images: under a container in place, and imported."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import pytest

from rootless.images.formats.squashfs import find_squashfs, open_squashfs
from tests.support import sif
from tests.support.images import add_file
from tests.support.sif import Part, write_sif
from tests.support.waiting import wait_until

pytestmark = pytest.mark.needs("squashfs", "busybox")
runs = pytest.mark.needs("userns", "fuse")


@pytest.fixture(scope="module")
def squashfs(busybox_image, tmp_path_factory):
    """A root file system with an owner, a link of two names and an attribute."""
    directory = tmp_path_factory.mktemp("squashfs")
    path, image = directory / "rootfs.tar", directory / "image.sqsh"
    path.write_bytes(busybox_image.read_bytes())
    with tarfile.open(path, "a", format=tarfile.PAX_FORMAT) as archive:
        add_file(archive, "etc/owned", b"x", 0o640, uid=33, gid=44)
        info = tarfile.TarInfo("etc/marked")
        info.pax_headers = {"SCHILY.xattr.user.mark": "yes"}
        archive.addfile(info)
    with path.open("rb") as source:
        argv = ["mksquashfs", "-", image, "-tar", "-quiet", "-no-progress"]
        subprocess.run(argv, stdin=source, check=True, capture_output=True, timeout=120)
    return image


@pytest.fixture(params=["squashfs", "sif"])
def image(request, squashfs, tmp_path):
    if request.param == "squashfs":
        return squashfs
    path = tmp_path / "image.sif"
    parts = [
        Part(b"Bootstrap: docker\n", sif.DEFINITION),
        Part(b"other", role=sif.SYSTEM),
        Part(b"data", role=sif.DATA),
        Part(squashfs.read_bytes()),
    ]
    write_sif(path, parts)
    return path


def serving(image: Path) -> list[str]:
    """The command lines of those who serve it, and what is mounted for it."""
    found = []
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            try:
                words = (process / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if os.fsencode(image) in words and b"squashfuse" in words[0]:
                found.append(process.name)
    mounts = Path("/proc/self/mountinfo").read_text()
    return found + [line for line in mounts.splitlines() if "rootless-mount-" in line]


def gone(image: Path) -> bool:
    places = Path(tempfile.gettempdir())
    return wait_until(lambda: not serving(image) and not list(places.glob("rootless-mount-*")))


@runs
def test_container_over_an_image_writes_to_its_own_layer(rootless, image):
    before = image.stat().st_mtime_ns
    script = "stat -c '%u %g %a' /etc/owned; echo y > /etc/new; rm /etc/group"
    done = rootless("run", "--name", "one", "--rootfs", image, "sh", "-c", script).ok()
    assert done.stdout in ("33 44 640\n", "0 0 640\n")  # one id has no 33 to show
    assert rootless("diff", "one").ok().stdout == "C /etc\nD /etc/group\nA /etc/new\n"
    (shown,) = json.loads(rootless("inspect", "one").ok().stdout)
    assert shown["GraphDriver"]["Data"]["LowerDir"] == str(image)
    assert image.stat().st_mtime_ns == before
    assert gone(image)


@runs
def test_container_over_an_image_is_exported(rootless, image, tmp_path):
    rootless("run", "--name", "one", "--rootfs", image, "touch", "/new").ok()
    rootless("export", "-o", tmp_path / "out.tar", "one").ok()
    with tarfile.open(tmp_path / "out.tar") as archive:
        members = {member.name.removeprefix("./"): member for member in archive}
    assert {"new", "bin/busybox", "etc/owned"} <= members.keys()
    assert (members["etc/owned"].uid, members["etc/owned"].gid) == (33, 44)
    refused = rootless("commit", "one", "x")
    assert (refused.status, f"was made of {image}" in refused.stderr) == (1, True)


@runs
def test_image_ends_with_a_container_that_is_killed(rootless, image):
    process = rootless.popen(
        "run", "-i", "--name", "one", "--rootfs", image, "sh", "-c", "echo; cat"
    )
    assert process.stdout.readline() == b"\n"
    assert serving(image) != []
    assert not list(Path(tempfile.gettempdir()).glob("rootless-mount-*"))
    rootless.end()
    assert gone(image)


def test_mount_of_a_process_that_was_killed_is_removed_by_the_next(squashfs):
    program = """
import os, signal, sys
from rootless.images.formats.fuse_program import served
with served(sys.argv[1], ("squashfuse_ll", "squashfuse"), ("ro",), package="squashfuse"):
    os.kill(os.getpid(), signal.SIGKILL)
"""
    subprocess.run([sys.executable, "-c", program, squashfs], check=False, timeout=120)
    assert serving(squashfs) != []
    image = find_squashfs(str(squashfs))
    assert image is not None
    open_squashfs(image).close()
    assert gone(squashfs)


def test_image_is_imported_with_owners_links_and_attributes(rootless, image, tmp_path):
    rootless("import", "-c", "CMD sh", image, "box:1").ok()
    assert gone(image)
    (shown,) = json.loads(rootless("inspect", "box:1").ok().stdout)
    assert (shown["Architecture"], shown["Config"]["Cmd"]) == ("amd64", ["/bin/sh", "-c", "sh"])
    rootless("save", "-o", tmp_path / "saved.tar", "box:1").ok()
    with tarfile.open(tmp_path / "saved.tar") as saved:
        name = json.load(saved.extractfile("manifest.json"))[0]["Layers"][0]
        with tarfile.open(fileobj=saved.extractfile(name)) as layer:
            members = {member.name.removeprefix("./"): member for member in layer}
    owned = members["etc/owned"]
    assert (owned.uid, owned.gid, owned.mode) == (33, 44, 0o640)
    assert members["etc/marked"].pax_headers["SCHILY.xattr.user.mark"] == "yes"
    assert sum(member.islnk() for member in members.values()) > 100
    assert members["home/worker"].mode == 0o700


@runs
def test_imported_image_runs(rootless, image):
    rootless("import", image, "box:1").ok()
    done = rootless("run", "--rm", "box:1", "cat", "/etc/owned")
    assert done.ok().stdout == "x"


def test_architecture_is_that_of_the_partition(rootless, squashfs, tmp_path):
    write_sif(tmp_path / "arm.sif", [Part(squashfs.read_bytes(), arch=b"04")])
    rootless("import", tmp_path / "arm.sif", "arm:1").ok()
    shown = rootless("inspect", "-f", "{{.Os}}/{{.Architecture}}", "arm:1").ok().stdout
    assert shown == "linux/arm64\n"


SMALL = b"hsqs" + bytes(200)
BROKEN = {
    "without a root": ([Part(b"x", sif.DEFINITION)], "without a root file system"),
    "encrypted": ([Part(SMALL, file_system=sif.ENCRYPTED)], "is encrypted squashfs, not squashfs"),
    "ext3": ([Part(SMALL, file_system=sif.EXT3)], "is ext3, not squashfs"),
    "not squashfs": ([Part(b"nothing of the kind")], "is not squashfs"),
    "damaged squashfs": ([Part(SMALL)], "cannot read "),
}


@pytest.mark.parametrize("case", BROKEN)
def test_sif_that_cannot_be_used_is_refused_by_what_is_wrong(rootless, tmp_path, case):
    parts, words = BROKEN[case]
    write_sif(tmp_path / "bad.sif", parts)
    refused(rootless, tmp_path / "bad.sif", words)


def refused(rootless, path, words):
    for command in (("import", path), ("run", "--rm", "--rootfs", path, "true")):
        result = rootless(*command)
        assert result.status == (125 if command[0] == "run" else 1)
        assert words in result.stderr
        assert len([x for x in result.stderr.splitlines() if not x.startswith("hint: ")]) == 1
    assert rootless("images", "-q").ok().stdout == ""
    assert rootless("ps", "-aq").ok().stdout == ""


def field(offset: int, number: int) -> tuple[int, bytes]:
    return offset, struct.pack("<q", number)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ((42, b"07\0"), "unknown version"),
        (field(64 + 3 * 8, 1 << 40), "descriptors exceed the file"),
        (field(64 + 3 * 8, -1), "descriptors exceed the file"),
        (field(64 + 4 * 8, -4096), "descriptors exceed the file"),
        (field(64 + 4 * 8, 1 << 62), "descriptors exceed the file"),
        (field(4096 + 17, 0), "is outside the file"),
        (field(4096 + 17, 1 << 62), "is outside the file"),
        (field(4096 + 25, 1 << 40), "is outside the file"),
        (field(4096 + 25, -1), "is outside the file"),
    ],
)
def test_sif_whose_numbers_lie_is_refused(rootless, squashfs, tmp_path, change, words):
    path = tmp_path / "bad.sif"
    write_sif(path, [Part(squashfs.read_bytes())])
    offset, data = change
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(data)
    refused(rootless, path, words)


def test_sif_that_is_cut_off_is_refused(rootless, squashfs, tmp_path):
    path = tmp_path / "cut.sif"
    write_sif(path, [Part(squashfs.read_bytes())])
    for size in (130, 5000, 40_000):
        os.truncate(path, size) if size < path.stat().st_size else None
        if size == 40_000:
            write_sif(path, [Part(squashfs.read_bytes())])
            os.truncate(path, size)
        result = rootless("import", path)
        assert (result.status, result.stderr.count("\n") <= 2) == (1, True)


def test_file_that_is_no_root_file_system_is_refused(rootless, tmp_path):
    (tmp_path / "file").write_text("text")
    result = rootless("run", "--rm", "--rootfs", tmp_path / "file", "true")
    assert result.status == 125
    assert f"the root file system {tmp_path}/file is not a directory" in result.stderr


@pytest.mark.needs("skopeo")
def test_sif_of_ours_is_a_sif_to_others(squashfs, tmp_path):
    """That what the tests write is what Apptainer writes, as far as skopeo's reader looks."""
    write_sif(
        tmp_path / "image.sif",
        [Part(b"Bootstrap: x\n", sif.DEFINITION), Part(squashfs.read_bytes())],
    )
    argv = ["skopeo", "inspect", "--config", f"sif:{tmp_path}/image.sif"]
    done = subprocess.run(argv, capture_output=True, check=False, timeout=120, text=True)
    print(done)
    assert done.returncode == 0
