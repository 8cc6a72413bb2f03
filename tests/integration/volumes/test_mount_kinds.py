"""Mounts of images, directories that are copied on write, and owners of what is mounted."""

import json
import os
from pathlib import Path

import pytest

from tests.support import probes
from tests.support.waiting import wait_until

pytestmark = pytest.mark.needs("userns", "fuse", "busybox")


@pytest.fixture
def source(tmp_path):
    directory = tmp_path / "source"
    directory.mkdir()
    (directory / "f").write_text("lower\n")
    return directory


def sh(rootless, script, *options):
    return rootless("run", "--rm", *options, "box:1", "sh", "-c", script).ok().stdout


def servers(rootless):
    return list((rootless.runtime / "rootless/volumes").glob("*/control.sock"))


def several_ids():
    return probes.lacking("subuid") is None


def test_image_is_mounted_read_only(box):
    option = ("--mount", "type=image,src=box:1,dst=/img")
    assert sh(box, "ls -d /img/bin/sh; cat /img/etc/group | head -1", *option) == (
        "/img/bin/sh\nroot:x:0:\n"
    )
    done = box("run", "--rm", *option, "box:1", "touch", "/img/x")
    assert "Read-only file system" in done.stderr
    if several_ids():
        assert sh(box, "stat -c %u /img/home/worker", *option) == "1000\n"
    assert servers(box) == []


def test_path_inside_an_image(box):
    mount = "type=image,src=box:1,dst=/img,image-subpath=etc"
    assert sh(box, "ls /img", "--mount", mount) == "group\npasswd\n"
    done = box("run", "--rm", "--mount", f"{mount}/nope", "box:1", "true")
    assert (done.status, done.stderr.count("\n")) == (127, 1)


def test_image_that_is_not_here_is_refused(box):
    option = ("--pull", "never", "--mount", "type=image,src=nosuch:1,dst=/img")
    done = box("run", "--rm", *option, "box:1", "true")
    assert (done.status, "No such image: nosuch:1" in done.stderr) == (125, True)


def test_mounted_image_stays_while_a_container_needs_it(box, busybox_image):
    box("import", "-c", "LABEL other=1", busybox_image, "other").ok()
    box("create", "--name", "web", "--mount", "type=image,src=other,dst=/img", "box:1", "true").ok()
    box("image", "prune", "-af").ok()
    done = box("rmi", "other")
    assert (done.status, "container" in done.stderr) == (1, True)
    box("rm", "web").ok()
    box("image", "prune", "-af").ok()
    assert box("images", "-q").ok().stdout == ""


def test_inspect_shows_an_image_mount(box):
    mount = "type=image,src=box:1,dst=/img,image-subpath=etc"
    box("create", "--name", "web", "--mount", mount, "box:1", "true").ok()
    document = json.loads(box("inspect", "web").ok().stdout)[0]
    (shown,) = document["Mounts"]
    assert (shown["Type"], shown["Name"], shown["RW"]) == ("image", "box:1", False)
    assert document["HostConfig"]["Mounts"] == [
        {"Type": "image", "Source": "box:1", "Target": "/img", "ImageOptions": {"Subpath": "etc"}}
    ]
    assert box("ps", "-a", "--format", "{{.Mounts}} {{.LocalVolumes}}").ok().stdout == "box:1 0\n"


def test_overlay_leaves_a_directory_as_it_is(box, source):
    script = "cat /o/f; echo up > /o/g; rm /o/f; ls /o"
    assert sh(box, script, "-v", f"{source}:/o:O") == "lower\ng\n"
    assert [each.name for each in source.iterdir()] == ["f"]
    assert (source / "f").read_text() == "lower\n"


def test_overlay_over_a_volume_is_gone_at_the_end(box):
    sh(box, "echo kept > /o/f; chown 5:6 /o/f", "-v", "data:/o")
    owner = "5:6" if several_ids() else "0:0"
    script = "stat -c %u:%g /o/f; echo x > /o/g; rm /o/f; ls /o"
    assert sh(box, script, "-v", "data:/o:O") == f"{owner}\ng\n"
    assert sh(box, "ls /o", "-v", "data:/o") == "f\n"
    # Each start begins anew.
    box("run", "--name", "web", "-v", "data:/o:O", "box:1", "sh", "-c", script).ok()
    box("start", "web").ok()
    assert box("wait", "web").ok().stdout == "0\n"


def test_volume_is_given_to_the_user(box):
    sh(box, "mkdir /o/d; touch /o/d/f; ln -s /etc/passwd /o/d/link", "-v", "data:/o")
    if several_ids():
        script = "stat -c %u:%g /o /o/d /o/d/f /o/d/link /etc/passwd; touch /o/d/mine"
        assert sh(box, script, "-u", "5:6", "-v", "data:/o:U") == "5:6\n5:6\n5:6\n5:6\n0:0\n"
    else:
        assert sh(box, "touch /o/d/mine; ls /o/d", "-v", "data:/o:U") == "f\nlink\nmine\n"


@pytest.mark.needs("subuid")
def test_directory_is_given_to_the_user(box, source):
    assert sh(box, "stat -c %u:%g /p /p/f", "-u", "5:6", "-v", f"{source}:/p:U") == "5:6\n5:6\n"
    # And back: as the container's root it is the caller's again.
    assert sh(box, "stat -c %u:%g /p/f", "-v", f"{source}:/p:U") == "0:0\n"
    assert (source / "f").stat().st_uid == os.getuid()


@pytest.mark.parametrize("user", ["0", "1000:1000", "worker"])
@pytest.mark.parametrize("form", ["-v", "--mount"])
def test_caller_s_files_are_the_user_s(box, source, user, form):
    if user != "0" and not several_ids():
        pytest.skip("this account has one id, which is 0 inside")
    option = f"{source}:/p:idmap" if form == "-v" else f"type=bind,src={source},dst=/p,idmap"
    script = "stat -c %u:%g /p/f; echo made > /p/g; mkdir /p/d; chmod 700 /p/d; cat /p/f"
    owner = "0:0" if user == "0" else "1000:1000"
    assert sh(box, script, "-u", user, form, option) == f"{owner}\nlower\n"
    for each in ("f", "g", "d"):
        assert (source / each).stat().st_uid == os.getuid()
    assert (source / "g").read_text() == "made\n"


def test_caller_and_user_see_each_other_s_changes(box, source):
    user = ("-u", "1000") if several_ids() else ()
    script = "until [ -e /p/go ]; do sleep 0.02; done; cat /p/go; echo answer > /p/f"
    options = ("--name", "web", *user, "-v", f"{source}:/p:idmap")
    box("run", "-d", *options, "box:1", "sh", "-c", script).ok()
    (source / "new").write_text("go\n")
    (source / "new").rename(source / "go")
    wait_until(lambda: (source / "f").read_text() == "answer\n")
    assert box("logs", "web").ok().stdout == "go\n"


@pytest.mark.needs("subuid")
def test_idmap_and_another_user_namespace_are_refused(box, source):
    options = ("--userns", "keep-id", "-u", "1000", "-v", f"{source}:/p:idmap")
    done = box("run", "--rm", *options, "box:1", "true")
    assert (done.status, "conflicting options: idmap" in done.stderr) == (125, True)


def test_unknown_user_of_idmap_is_refused(box, source):
    done = box("run", "--rm", "-u", "nosuch", "-v", f"{source}:/p:idmap", "box:1", "true")
    assert (done.status, "unable to find user nosuch" in done.stderr) == (125, True)


def test_propagation_reaches_the_mount(box, source):
    option = f"type=bind,src={source},dst=/p,bind-propagation=rslave"
    line = sh(box, "grep ' /p ' /proc/self/mountinfo", "--mount", option)
    assert "/p" in line
    assert "shared:" not in line


def test_read_only_forms(box, source):
    for option in (f"type=bind,src={source},dst=/p,readonly,bind-recursive=writable",):
        done = box("run", "--rm", "--mount", option, "box:1", "touch", "/p/x")
        assert "Read-only file system" in done.stderr
    assert not (source / "x").exists()


def test_tmpfs_with_size_and_mode(box):
    mount = "type=tmpfs,dst=/t,tmpfs-size=1m,tmpfs-mode=0700"
    assert sh(box, "stat -c %a /t; df -k /t | tail -1 | awk '{print $2}'", "--mount", mount) == (
        "700\n1024\n"
    )


def test_nothing_of_mounts_is_left(box, source):
    sh(box, "echo x > /o/g", "-v", f"{source}:/o:O", "--mount", "type=image,src=box:1,dst=/img")
    assert servers(box) == []
    assert list(Path(box.runtime / "rootless/volumes").glob("*.lock")) in (
        [],
        [box.runtime / "rootless/volumes/namespace.lock"],
    )
