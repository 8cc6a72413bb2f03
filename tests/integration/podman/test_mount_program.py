"""podman uses the union as its mount program, and what comes out is what fuse-overlayfs gives."""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.images import add_file, docker_archive
from tests.support.podman import Podman

pytestmark = [
    pytest.mark.needs("userns", "subuid", "fuse", "podman", "fuse-overlayfs", "busybox"),
    pytest.mark.slow,
]

CHANGES = """
set -e
echo new > /etc/new
rm /etc/removed-by-container
mkdir -p /srv/made && echo deep > /srv/made/deep
mv /opt/lower /opt/moved
echo more >> /opt/moved/file
chown 33:44 /etc/owned && chmod 4755 /etc/owned
ln /etc/owned /etc/linked
ln -s new /etc/symlink
rm -rf /var/replaced && mkdir /var/replaced && echo fresh > /var/replaced/only
mkfifo /run/fifo
truncate -s 3 /etc/group
"""


def second_layer() -> bytes:
    """A layer with a whiteout, an opaque directory and files of other owners."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        add_file(archive, "etc/owned", b"owned", 0o640, uid=1000, gid=50)
        add_file(archive, "etc/removed-by-container", b"x")
        add_file(archive, "home/.wh.worker", b"")
        add_file(archive, "opt/lower/file", b"lower\n")
        add_file(archive, "opt/lower/sub/file", b"lower\n")
        add_file(archive, "var/replaced/old", b"old")
        add_file(archive, "usr/bin/.wh..wh..opq", b"")
        add_file(archive, "usr/bin/only", b"#!/bin/sh\necho only\n", 0o755)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def archive(busybox_image: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("podman") / "image.tar"
    docker_archive(
        path, [busybox_image.read_bytes(), second_layer()], tags=["localhost/two:layers"]
    )
    return path


@pytest.fixture(scope="module", params=["unionfs", "fuse-overlayfs"])
def podman(request: pytest.FixtureRequest, archive: Path) -> Iterator[Podman]:
    # The peer goes through the same assertions: they say what podman does, not what we do.
    engine = Podman.create(request.param)
    try:
        engine("load", "-q", "-i", archive).ok()
        yield engine
    finally:
        engine.destroy()


def exported(engine: Podman, container: str, directory: Path) -> dict[str, tuple[object, ...]]:
    """What `podman export` makes of a container: name to type, mode, owner, link target and content."""
    path = directory / f"{container}.tar"
    engine("export", "-o", path, container).ok()
    found: dict[str, tuple[object, ...]] = {}
    with tarfile.open(path) as tree:
        for member in tree:
            content = tree.extractfile(member) if member.isreg() else None
            digest = hashlib.sha256(content.read()).hexdigest() if content else ""
            found[member.name] = (
                member.type,
                member.mode,
                member.uid,
                member.gid,
                member.linkname,
                digest,
            )
    return found


def test_loaded_image_is_mounted_through_the_program(podman: Podman) -> None:
    mounts = podman.run("localhost/two:layers", "cat", "/proc/self/mountinfo").ok().stdout
    root = next(line for line in mounts.splitlines() if line.split()[4] == "/")
    assert " fuse" in root, root


def test_whiteouts_of_the_image_hide_what_lies_below(podman: Podman) -> None:
    listing = podman.run("localhost/two:layers", "ls", "/home", "/usr/bin").ok().stdout
    assert listing.split() == ["/home:", "/usr/bin:", "only"]


def test_owners_of_the_image_are_seen_in_the_container(podman: Podman) -> None:
    seen = podman.run("localhost/two:layers", "stat", "-c", "%u:%g %a", "/etc/owned").ok().stdout
    assert seen.strip() == "1000:50 640"


def test_exit_status_of_the_command_is_podmans(podman: Podman) -> None:
    assert podman.run("localhost/two:layers", "sh", "-c", "exit 23").status == 23


def test_changes_are_diffed_and_committed(podman: Podman, tmp_path: Path) -> None:
    podman(
        "run", "--name=changed", "--network=none", "localhost/two:layers", "sh", "-c", CHANGES
    ).ok()
    diff = set(podman("diff", "changed").ok().stdout.splitlines())
    assert {
        "A /etc/new",
        "D /etc/removed-by-container",
        "A /srv/made/deep",
        "D /opt/lower",
        "A /opt/moved",
    } <= diff
    podman("commit", "-q", "changed", "localhost/committed").ok()
    script = "cat /etc/new /opt/moved/file /var/replaced/only; stat -c '%u:%g %a %h' /etc/owned; ls /opt /var/replaced"
    seen = podman.run("localhost/committed", "sh", "-c", script).ok().stdout
    assert seen.split() == [
        "new", "lower", "more", "fresh", "33:44", "4755", "2", "/opt:", "moved", "/var/replaced:", "only",
    ]  # fmt: skip
    podman("rm", "changed").ok()


def test_built_image_holds_what_its_steps_made(podman: Podman, tmp_path: Path) -> None:
    (tmp_path / "copied").write_text("copied\n")
    (tmp_path / "Containerfile").write_text(
        "FROM localhost/two:layers\n"
        "COPY copied /etc/copied\n"
        "RUN echo one > /etc/one && rm /etc/passwd && chown 7:8 /etc/one\n"
        "RUN mv /opt/lower /opt/built && cat /etc/copied >> /etc/one\n"
        'CMD ["sh", "-c", "cat /etc/one /opt/built/file; stat -c %u:%g /etc/one; ls /etc/passwd"]\n'
    )
    podman(
        "build", "-q", "--network=none", "--layers", "-t", "localhost/built", tmp_path, timeout=300
    ).ok()
    result = podman.run("localhost/built")
    assert result.stdout.split() == ["one", "copied", "lower", "7:8"]
    assert "No such file" in result.stderr
    history = json.loads(podman("history", "--format=json", "localhost/built").ok().stdout)
    assert len(history) >= 4


@pytest.mark.parametrize("image", ["localhost/two:layers"])
def test_exported_tree_is_the_one_that_fuse_overlayfs_gives(
    image: str, archive: Path, tmp_path: Path
) -> None:
    trees = {}
    for program in ("unionfs", "fuse-overlayfs"):
        engine = Podman.create(program)
        try:
            engine("load", "-q", "-i", archive).ok()
            engine("run", "--name=changed", "--network=none", image, "sh", "-c", CHANGES).ok()
            trees[program] = exported(engine, "changed", tmp_path)
        finally:
            engine.destroy()
    ours, theirs = trees["unionfs"], trees["fuse-overlayfs"]
    different = {name: (ours.get(name), theirs.get(name)) for name in ours.keys() | theirs.keys()}
    assert {name: pair for name, pair in different.items() if pair[0] != pair[1]} == {}


@pytest.mark.parametrize(
    ("options", "owner"),
    [
        (("--userns=keep-id",), "1000:50"),
        (("--userns=auto:size=2000",), "1000:50"),
        (("--uidmap=0:0:1", "--uidmap=1:1:2000", "--gidmap=0:0:1", "--gidmap=1:1:2000"), "1000:50"),
        (("--userns=nomap",), "1000:50"),
        (("--userns=host",), "1000:50"),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_user_namespace_modes_of_podman_show_the_images_owners(
    podman: Podman, options: tuple[str, ...], owner: str
) -> None:
    """Each but host makes podman pass uidmapping= and gidmapping=."""
    script = "stat -c %u:%g /etc/owned; id -u; touch /tmp/new && stat -c %u /tmp/new"
    done = podman.run("localhost/two:layers", "sh", "-c", script, options=options)
    shown = done.ok().stdout.split()
    assert shown[0] == owner
    assert shown[1] == shown[2]


def test_overlay_volume_takes_writes_and_leaves_the_directory_as_it_was(
    podman: Podman, tmp_path: Path
) -> None:
    """podman passes `private`."""
    (tmp_path / "kept").write_text("below\n")
    script = "echo above > /data/kept; echo new > /data/new; cat /data/kept /data/new"
    done = podman.run(
        "localhost/two:layers", "sh", "-c", script, options=("-v", f"{tmp_path}:/data:O")
    )
    assert done.ok().stdout.split() == ["above", "new"]
    assert (tmp_path / "kept").read_text() == "below\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["kept"]


def test_root_file_system_with_an_overlay_stays_as_it_was(
    podman: Podman, busybox_image: Path, tmp_path: Path
) -> None:
    subprocess.run(["tar", "-xf", busybox_image, "-C", tmp_path], check=True)
    script = "echo new > /new; rm /bin/ls; cat /new"
    done = podman(
        "run", "--rm", "--network=none", "--rootfs", f"{tmp_path}:O", "/bin/sh", "-c", script
    )
    assert done.ok().stdout == "new\n"
    assert not (tmp_path / "new").exists()
    assert (tmp_path / "bin/ls").exists()
