"""Containers of images: what the image says, and what the command line says instead."""

import io
import tarfile

import pytest

from tests.support.images import add_file, docker_archive

pytestmark = pytest.mark.needs("userns", "fuse", "busybox")


@pytest.fixture
def box(rootless, busybox_image):
    changes = ['CMD ["echo", "from cmd"]', "ENV A=image", "LABEL level=image", "WORKDIR /home"]
    options = [word for change in changes for word in ("-c", change)]
    rootless("import", *options, busybox_image, "box:1").ok()
    return rootless


def test_command_of_the_image_runs(box):
    assert box("run", "--rm", "box:1").ok().stdout == "from cmd\n"


def test_command_line_stands_above_the_image(box):
    result = box("run", "--rm", "-e", "A=mine", "-w", "/tmp", "box:1", "sh", "-c", "echo $A; pwd")
    assert result.ok().stdout == "mine\n/tmp\n"
    result = box("run", "--rm", "box:1", "sh", "-c", "echo $A; pwd").ok()
    assert result.stdout == "image\n/home\n"


def test_volume_that_the_image_lacks_is_made_beneath_the_root(rootless, busybox_image, tmp_path):
    changes = ["-c", "VOLUME /data/x /a/../../../b", "-c", 'VOLUME ["/home", "/bound/below"]']
    rootless("import", *changes, busybox_image, "box:1").ok()
    (tmp_path / "bound").mkdir()
    script = "ls -d /data/x /b && touch /data/x/f && ls /bound"
    options = ["-v", f"{tmp_path}/bound:/bound"]
    result = rootless("run", "--rm", *options, "box:1", "sh", "-c", script).ok()
    assert result.stdout.split() == ["/b", "/data/x", "below"]
    # The place for the volume is made in what is bound there, as by docker.
    assert [each.name for each in (tmp_path / "bound").iterdir()] == ["below"]


def test_entry_point_takes_the_arguments(box):
    assert box("run", "--rm", "--entrypoint", "echo", "box:1", "a", "b").ok().stdout == "a b\n"


def test_user_is_looked_up_in_the_image(box):
    result = box("run", "--rm", "-u", "worker", "box:1", "sh", "-c", "echo $HOME; id -u").stdout
    assert result in ("/home/worker\n1000\n", "")
    unknown = box("run", "--rm", "-u", "nobody-here", "box:1", "true")
    assert unknown.status == 125
    assert "nobody-here" in unknown.stderr


def test_files_keep_the_owners_of_the_image(box):
    result = box("run", "--rm", "box:1", "stat", "-c", "%u %a", "/home/worker", "/etc/passwd").ok()
    first, second = result.stdout.splitlines()
    assert first in ("1000 700", "0 700")  # one id has no 1000 to show
    assert second == "0 644"


def test_changes_do_not_reach_the_image(box):
    box("run", "--rm", "box:1", "sh", "-c", "echo x > /etc/new; rm /etc/passwd").ok()
    result = box("run", "--rm", "box:1", "ls", "/etc").ok()
    assert "passwd" in result.stdout.split()
    assert "new" not in result.stdout.split()


def test_image_in_use_is_kept_until_the_container_is_removed(box):
    box("run", "--name", "user", "box:1").ok()
    refused = box("rmi", "box:1")
    assert refused.status == 1
    assert "user" in refused.stderr or "container" in refused.stderr
    box("rm", "user").ok()
    box("rmi", "box:1").ok()
    assert box("images", "-q").ok().stdout == ""


def test_inspect_shows_how_it_ran(box):
    import json

    box("run", "--name", "seen", "-l", "mine=1", "box:1", "sh", "-c", "exit 3")
    (document,) = json.loads(box("inspect", "seen").ok().stdout)
    assert document["State"]["ExitCode"] == 3
    assert document["State"]["Status"] == "exited"
    assert document["Config"]["Labels"] == {"level": "image", "mine": "1"}
    assert document["Config"]["Image"] == "box:1"
    assert document["Name"] == "/seen"


def test_layers_are_stacked(rootless, busybox_image, tmp_path):
    upper = io.BytesIO()
    with tarfile.open(fileobj=upper, mode="w") as archive:
        add_file(archive, "etc/added", b"second layer\n")
        add_file(archive, "etc/.wh.group", b"")
    docker_archive(tmp_path / "two.tar", [busybox_image.read_bytes(), upper.getvalue()])
    rootless("load", "-i", tmp_path / "two.tar").ok()
    script = "cat /etc/added; test -e /etc/group || echo gone; test -e /etc/passwd && echo there"
    result = rootless("run", "--rm", "test", "sh", "-c", script).ok()
    assert result.stdout == "second layer\ngone\nthere\n"


def test_unknown_image_says_how_to_get_one(rootless):
    # Nothing listens there: no test asks a registry of the world.
    result = rootless("run", "--rm", "localhost:1/debian:12", "true")
    assert result.status == 125
    assert "Unable to find image 'localhost:1/debian:12' locally" in result.stderr
    assert "localhost:1" in result.stderr.splitlines()[-2]
    assert "hint: " in result.stderr.splitlines()[-1]
    assert "rootless load" in result.stderr.splitlines()[-1]


def test_entry_point_of_several_words_comes_before_the_arguments(box):
    words = ("--entrypoint", '["/bin/echo", "one two"]', "box:1", "three")
    assert box("run", "--rm", *words).ok().stdout == "one two three\n"


def test_time_zone_is_that_of_the_host_s_file(box):
    words = ("box:1", "date", "-d", "@1600000000", "+%H:%M %Z")
    assert box("run", "--rm", *words).ok().stdout == "12:26 UTC\n"
    assert box("run", "--rm", "--tz", "America/New_York", *words).ok().stdout == "08:26 EDT\n"
    wrong = box("run", "--rm", "--tz", "Nowhere", *words)
    assert (wrong.status, "unknown time zone Nowhere" in wrong.stderr) == (125, True)
