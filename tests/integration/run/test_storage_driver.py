"""`--storage-driver overlay`: kernel overlayfs over a read-only union of the image's layers."""

import json
import os
import sys
from pathlib import Path

import pytest

from tests.support.command import run_command

pytestmark = pytest.mark.needs("userns", "fuse", "busybox", "overlay")

CHECKOUT = Path(__file__).parents[3]
OVERLAY = ("--storage-driver", "overlay")


def shell(rootless, script, *options):
    return rootless("run", *options, "box:1", "sh", "-c", script)


def containers_of(rootless) -> Path:
    return rootless.data / "rootless" / "containers"


def test_root_is_the_kernels_overlay_and_no_layer_is_unpacked(box):
    script = "grep ' / ' /proc/mounts; cat /etc/group > /dev/null; echo x >> /etc/passwd"
    result = shell(box, script, *OVERLAY, "--name", "kept").ok()
    device, _, fstype, options, *_ = result.stdout.split()
    assert (device, fstype) == ("overlay", "overlay")
    assert "userxattr" in options
    assert str(box.data) not in result.stdout  # no path of the host is shown
    (directory,) = containers_of(box).glob("?" * 64)
    assert [p.name for p in directory.glob("upper/*")] == ["etc"]
    assert [p.name for p in directory.glob("upper/etc/*") if p.stat().st_size] == ["passwd"]
    assert list(directory.glob("lower/*")) == []


def test_both_drivers_show_the_same_tree(box):
    script = "cd /; find . -xdev ! -path './etc/host*' ! -path ./etc/resolv.conf"
    script += " ! -path './dev*' -exec stat -c '%n %F %u:%g %a %s %Y' '{}' +"
    rows = {}
    for driver in ("unionfs", "overlay"):
        result = shell(box, script, "--rm", "--storage-driver", driver).ok()
        rows[driver] = sorted(
            line for line in result.stdout.splitlines() if " directory " not in line
        )
    assert rows["overlay"] == rows["unionfs"]
    assert len(rows["overlay"]) > 10


def test_changes_stay_in_the_container(box):
    script = "rm /etc/passwd; rm -r /home; mkdir /home; echo x > /home/new; ls -A /home"
    assert shell(box, script, "--rm", *OVERLAY).ok().stdout == "new\n"
    assert "worker" in shell(box, "ls /home; cat /etc/passwd", "--rm", *OVERLAY).ok().stdout


def test_root_directory_looks_like_the_images(box):
    script = "stat -c '%u:%g %a' /"
    for driver in ("unionfs", "overlay"):
        options = ("--rm", "--userns", "keep-id", "-u", "0", "--storage-driver", driver)
        result = shell(box, script, *options)
        if result.status == 0:  # without subordinate ids there is no other id than one's own
            assert result.stdout == "0:0 755\n", driver
        assert shell(box, script, "--rm", "--storage-driver", driver).ok().stdout == "0:0 755\n"


@pytest.mark.needs("subuid")
def test_owners_are_real_and_the_container_can_be_removed(box):
    script = "mkdir -m 700 /d && echo x > /d/f && chown -R 1000:1000 /d && stat -c %u /d/f"
    assert shell(box, script, *OVERLAY, "--name", "owners").ok().stdout == "1000\n"
    (directory,) = containers_of(box).glob("?" * 64)
    assert (directory / "upper/d").stat().st_uid != os.getuid()
    box("rm", "owners").ok()
    assert list(containers_of(box).glob("?" * 64)) == []
    assert list(containers_of(box).glob(".old-*")) == []


@pytest.mark.needs("subuid")
def test_container_that_removes_itself_leaves_nothing_of_other_ids(box):
    shell(box, "mkdir -p /d/e; chmod 700 /d; chown -R 7:7 /d", "--rm", *OVERLAY).ok()
    assert [p for p in os.listdir(containers_of(box)) if p not in ("names", ".lock")] == []


def test_root_can_be_read_only_with_places_made_for_volumes(box, tmp_path):
    for driver in ("unionfs", "overlay"):
        options = (
            "--rm",
            "--read-only",
            "-v",
            f"{tmp_path}:/new/place",
            "--storage-driver",
            driver,
        )
        result = shell(box, "touch /new/place/x && touch /x", *options)
        assert result.status == 1
        assert "Read-only file system" in result.stderr
        (tmp_path / "x").unlink()


def test_inspect_and_info_say_which_driver(box):
    shell(box, "true", *OVERLAY, "--name", "one").ok()
    shell(box, "true", "--name", "two").ok()
    drivers = {}
    for name in ("one", "two"):
        (document,) = json.loads(box("inspect", name).ok().stdout)
        assert document["Driver"] == document["GraphDriver"]["Name"]
        drivers[name] = (document["Driver"], document["GraphDriver"]["Data"]["Ownership"])
    assert drivers == {"one": ("overlay", "real"), "two": ("unionfs", "data")}
    assert json.loads(box("info", "-f", "json").ok().stdout)["Driver"] == "unionfs"
    info = json.loads(box(*OVERLAY, "info", "-f", "json").ok().stdout)
    assert info["Driver"] == "overlay"


def test_default_comes_from_the_global_option_or_the_environment(box, monkeypatch):
    script = "grep -c '^overlay / ' /proc/mounts"
    assert box(*OVERLAY, "run", "--rm", "box:1", "sh", "-c", script).ok().stdout == "1\n"
    monkeypatch.setenv("ROOTLESS_STORAGE_DRIVER", "overlay")
    assert shell(box, script, "--rm").ok().stdout == "1\n"
    assert shell(box, script, "--rm", "--storage-driver", "unionfs").stdout == "0\n"
    monkeypatch.setenv("ROOTLESS_STORAGE_DRIVER", "aufs")
    refused = shell(box, script, "--rm")
    assert refused.status == 125
    assert "ROOTLESS_STORAGE_DRIVER" in refused.stderr
    assert "'aufs'" in refused.stderr


def test_store_without_user_attributes_is_refused_and_nothing_takes_its_place(box, busybox_image):
    command = f"{sys.executable} -m rootless"
    script = f"mount -t ramfs ramfs {box.data} && {command} import {busybox_image} box:1"
    script += f" >/dev/null && {command} run --rm {' '.join(OVERLAY)} box:1 true"
    argv = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script]
    result = run_command(argv, env=box.env)
    assert result.status == 125, result.stderr
    first, hint, *rest = result.stderr.splitlines()
    assert first.startswith(f"rootless: cannot mount kernel overlayfs on {containers_of(box)}/")
    assert first.endswith(": operation not supported")
    assert hint.startswith("hint: kernel overlayfs needs")
    assert rest == []


def test_store_may_lie_on_a_union_of_ours(box, busybox_image):
    """It has all that overlayfs asks of an upper: files without a name, whiteouts, attributes."""
    command = f"{sys.executable} -m rootless --root /var/tmp/in/root --runroot /var/tmp/in/run"
    inner = f"{command} run --rm {' '.join(OVERLAY)} box:1 sh -c"
    script = f"cd {CHECKOUT} && {command} import /image box:1 >/dev/null &&"
    script += f" {inner} 'rm /etc/passwd; mkdir /d; mv /d /e; echo x > /e/f; ls /e'"
    options = ("--rm", "--privileged", "--rootfs", "/", "-v", f"{busybox_image}:/image")
    result = box("run", *options, "-e", "PYTHONDONTWRITEBYTECODE=1", "sh", "-c", script).ok()
    assert result.stdout == "f\n"
