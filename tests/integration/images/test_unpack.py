"""image unpack: the files of an image as the lower directory of containers on kernel overlayfs."""

import os
import re
import signal
import sys
from pathlib import Path

import pytest

from tests.support.command import run_command
from tests.support.waiting import wait_until

pytestmark = pytest.mark.needs("userns", "fuse", "busybox", "overlay")

OVERLAY = ("--storage-driver", "overlay")
LIST = "cd /; find . -xdev ! -path './etc/host*' ! -path ./etc/resolv.conf ! -path './dev*' "
LIST += "! -type d -exec stat -c '%n %F %u:%g %a %s %Y %h' '{}' +"
SOUND = "Everything is as it should be.\n"


def unpacked(rootless) -> list[Path]:
    return sorted((rootless.data / "rootless" / "unpacked").glob("*"))


def reclaimable(rootless) -> str:
    return rootless("system", "df", "--format", "{{.Type}} {{.Size}}").ok().stdout.splitlines()[0]


def test_container_reads_the_unpacked_image_and_changes_nothing_in_it(box):
    def listing(*options) -> list[str]:
        result = box("run", "--rm", *options, "box:1", "sh", "-c", LIST).ok()
        return sorted(result.stdout.splitlines())

    expected = listing(*OVERLAY)
    before = reclaimable(box)
    (place,) = box("image", "unpack", "box:1").ok().stdout.split()
    assert unpacked(box) == [Path(place)]
    assert reclaimable(box) != before
    assert listing(*OVERLAY) == expected
    script = "echo x >> /etc/passwd; chown 5:6 /etc/group; stat -c %u:%g /etc/group"
    result = box("-D", "run", "--name", "kept", *OVERLAY, "box:1", "sh", "-c", script).ok()
    assert result.stdout == "5:6\n"
    assert f"bind {place} on " in result.stderr
    assert listing(*OVERLAY) == expected
    assert "C /etc/passwd" in box("diff", "kept").ok().stdout
    box("commit", "kept", "box:2").ok()
    passwd = box("run", "--rm", "box:2", "tail", "-n", "1", "/etc/passwd").ok().stdout
    assert passwd == "x\n"


def test_second_unpack_keeps_the_first(box):
    first = box("image", "unpack", "box:1").ok().stdout
    assert box("image", "unpack", "box:1").ok().stdout == first
    assert box("image", "unpack", "nosuch").status == 1


def test_container_with_other_id_maps_goes_on_with_the_union(box):
    box("image", "unpack", "box:1").ok()
    script = "id -u; stat -c %u /etc/passwd"
    words = ("run", "--rm", *OVERLAY, "--userns=keep-id", "box:1", "sh", "-c", script)
    result = box("-D", *words).ok()
    assert result.stdout.split() == [str(os.getuid()), "0"]
    assert "/unpacked/" not in result.stderr


def test_prune_keeps_what_a_container_has_as_its_lower(box):
    box("image", "unpack", "box:1").ok()
    box("run", "-d", "--name", "kept", *OVERLAY, "box:1", "sleep", "1000").ok()
    box("image", "prune", "-f").ok()
    assert len(unpacked(box)) == 1
    assert box("exec", "kept", "cat", "/etc/passwd").ok().stdout
    box("rm", "-f", "kept").ok()
    result = box("image", "prune", "-f").ok()
    assert unpacked(box) == []
    assert not re.search(r"space: 0B", result.stdout)
    assert box("system", "check").ok().stdout == SOUND
    box("run", "--rm", *OVERLAY, "box:1", "true").ok()


def test_removed_image_takes_its_directory_along(box):
    box("image", "unpack", "box:1").ok()
    box("rmi", "box:1").ok()
    assert unpacked(box) == []
    assert box("system", "check").ok().stdout == SOUND


def test_killed_unpack_leaves_nothing_that_is_used(box):
    process = box.popen("image", "unpack", "box:1")
    directory = box.data / "rootless" / "unpacked"
    wait_until(lambda: any(directory.glob("*")) or process.poll() is not None)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=120)
    box("run", "--rm", *OVERLAY, "box:1", "true").ok()
    box("image", "unpack", "box:1").ok()
    wait_until(lambda: [each.name[0] for each in unpacked(box)].count(".") == 0)
    assert box("system", "check").ok().stdout == SOUND


def test_leftovers_are_found_and_removed(box):
    box("image", "unpack", "box:1").ok()
    (place,) = unpacked(box)
    place.rename(place.parent / ".old-1")
    (place.parent / ".new-1").mkdir()
    (place.parent / ".new-1/.lock").touch()
    assert "left over: unpacked/.old-1" in box("system", "check").stdout
    box("system", "check", "--repair")
    assert unpacked(box) == []


def test_image_of_several_layers_shows_the_merged_files(rootless, busybox_image, tmp_path):
    rootless("import", busybox_image, "box:1").ok()
    build = tmp_path / "build"
    build.mkdir()
    (build / "Dockerfile").write_text(
        "FROM box:1\nRUN rm /etc/group && mkdir /new && echo a > /new/a && ln /new/a /new/b\n"
        "RUN chown 7:8 /new/a && mkfifo /new/fifo && ln -s a /new/link\n"
    )
    rootless("build", "-t", "more:1", build).ok()
    rootless("image", "unpack", "more:1").ok()
    script = "test ! -e /etc/group && stat -c '%n %F %u:%g %h' /new/*"
    native = rootless("-D", "run", "--rm", *OVERLAY, "more:1", "sh", "-c", script).ok()
    assert "/unpacked/" in native.stderr
    assert native.stdout == rootless("run", "--rm", "more:1", "sh", "-c", script).ok().stdout


def test_image_of_a_site_is_unpacked_to_the_users_store(box, tmp_path, monkeypatch):
    box("save", "-o", tmp_path / "box.tar", "box:1").ok()
    site = tmp_path / "site"
    box("--root", str(site), "load", "-i", tmp_path / "box.tar").ok()
    box("rmi", "box:1").ok()
    monkeypatch.setenv("ROOTLESS_IMAGE_STORES", str(site))
    box("image", "unpack", "box:1").ok()
    assert len(unpacked(box)) == 1
    result = box("-D", "run", "--rm", *OVERLAY, "box:1", "true").ok()
    assert str(unpacked(box)[0]) in result.stderr
    assert box("system", "check").ok().stdout == SOUND
    assert not (site / "unpacked").exists()


@pytest.mark.needs("subuid")
@pytest.mark.parametrize("kind", ["bytes", "inodes"])
def test_full_disk_leaves_no_directory_and_a_later_unpack_succeeds(
    rootless, busybox_image, tmp_path, kind
):
    disk = tmp_path / "disk"
    disk.mkdir()
    fill = {
        "bytes": f"dd if=/dev/zero of={disk}/rest bs=4k count=2400 2>/dev/null || true",
        "inodes": f"i=0; while true 2>/dev/null >{disk}/$i.rest; do i=$((i+1)); done || true\n"
        f"rm -f {disk}/[0-9].rest {disk}/1[0-9].rest",
    }
    script = f"""
        mount -t tmpfs -o size=10m,nr_inodes=500 none {disk}
        run() {{ {sys.executable} -m rootless --root {disk}/store "$@"; }}
        run import {busybox_image} box:1 >/dev/null
        {fill[kind]}
        status=0; error=$(run image unpack box:1 2>&1) || status=$?
        echo "$status|$(echo "$error" | wc -l)|$error"
        ls -A {disk}/store/unpacked | grep -v '^[.]lock' | wc -l
        rm -f {disk}/*rest
        run system check
        test -d "$(run image unpack box:1)" && echo unpacked
        """
    enter = ["unshare", "--user", "--map-auto", "--map-root-user", "--mount", "sh", "-ec"]
    result = run_command([*enter, script], env=rootless.env, timeout=120).ok()
    error, left, sound, done = result.stdout.splitlines()
    assert error.startswith("1|1|Error: "), error
    assert "no space left on device" in error.lower(), error
    assert (left, f"{sound}\n", done) == ("0", SOUND, "unpacked")
