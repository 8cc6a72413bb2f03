"""`run --overlay` and `--writable-tmpfs`: where what a container writes is kept, and for how long."""

from __future__ import annotations

import json
import os
import signal
import subprocess

import pytest

from tests.support.file_servers import server_of
from tests.support.waiting import wait_until

pytestmark = pytest.mark.needs("userns", "fuse", "busybox")


@pytest.fixture
def overlay(tmp_path):
    path = tmp_path / "kept"
    path.mkdir()
    return path


def data_of(rootless, name):
    return json.loads(rootless("inspect", name).ok().stdout)[0]["GraphDriver"]["Data"]


class TestOverlay:
    @pytest.mark.parametrize(
        "driver", ["unionfs", pytest.param("overlay", marks=pytest.mark.needs("overlay"))]
    )
    def test_writable_directory_outlives_its_container(self, box, overlay, driver):
        options = ("--rm", "--storage-driver", driver, "--overlay", overlay, "box:1")
        box("run", *options, "sh", "-c", "echo kept > /new; rm /etc/passwd").ok()
        script = "cat /new; test -e /etc/passwd || echo removed"
        assert box("run", *options, "sh", "-c", script).ok().stdout == "kept\nremoved\n"
        assert (overlay / "upper/new").read_text() == "kept\n"
        assert box("run", "--rm", "box:1", "ls", "/etc/passwd").status == 0

    @pytest.mark.needs("subuid")
    def test_owners_are_kept_with_the_files(self, box, overlay):
        script = "touch /new; chown 7:8 /new; chmod 4755 /new"
        box("run", "--rm", "--overlay", overlay, "box:1", "sh", "-c", script).ok()
        seen = box(
            "run", "--rm", "--overlay", f"{overlay}:ro", "box:1", "stat", "-c%u:%g %a", "/new"
        )
        assert seen.ok().stdout == "7:8 4755\n"

    def test_only_the_layer_of_the_container_is_changed_over_one_that_is_read(self, box, overlay):
        box("run", "--rm", "--overlay", overlay, "box:1", "sh", "-c", "echo 1 > /new").ok()
        script = "echo 2 >> /new; cat /new"
        over = box("run", "--rm", "--overlay", f"{overlay}:ro", "box:1", "sh", "-c", script).ok()
        assert over.stdout == "1\n2\n"
        assert (overlay / "upper/new").read_text() == "1\n"

    def test_first_of_several_that_are_read_is_on_top(self, box, tmp_path):
        for name in ("one", "two"):
            (tmp_path / name).mkdir()
            (tmp_path / name / "name").write_text(name)
            (tmp_path / name / name).touch()
        layers = [f"--overlay={tmp_path / name}:ro" for name in ("one", "two")]
        shown = box("run", "--rm", *layers, "box:1", "sh", "-c", "cat /name; ls /one /two").ok()
        assert shown.stdout == "one/one\n/two\n"

    @pytest.mark.needs("squashfs")
    def test_squashfs_file_is_a_layer_that_is_read(self, box, tmp_path):
        (tmp_path / "files").mkdir()
        (tmp_path / "files/new").write_text("from squashfs\n")
        image = tmp_path / "layer.sqfs"
        subprocess.run(["mksquashfs", tmp_path / "files", image, "-quiet"], check=True)
        shown = box(
            "run", "--rm", "--overlay", f"{image}:ro", "box:1", "cat", "/new", "/etc/passwd"
        )
        assert shown.ok().stdout.startswith("from squashfs\nroot:")

    @pytest.mark.parametrize(
        "driver", ["unionfs", pytest.param("overlay", marks=pytest.mark.needs("overlay"))]
    )
    def test_second_writer_at_the_same_time_is_refused(self, box, overlay, driver):
        options = ("--storage-driver", driver, "--overlay", overlay, "box:1")
        box("run", "-d", "--name", "first", *options, "sleep", "1000").ok()
        refused = box("run", "--rm", *options, "true")
        assert refused.status == 125
        assert refused.stderr.splitlines()[0] == (
            f"rootless: the overlay {overlay} is in use by another container"
        )
        box("rm", "-f", "first").ok()
        box("run", "--rm", *options, "true").ok()

    def test_start_stop_commit_and_diff_know_the_place(self, box, overlay):
        script = "echo $$ >> /new; exec sleep 1000"
        box("run", "-d", "--name", "c1", "--overlay", overlay, "box:1", "sh", "-c", script).ok()
        assert data_of(box, "c1")["UpperDir"] == f"{overlay}/upper"
        new = overlay / "upper/new"
        wait_until(lambda: new.exists() and new.read_text() == "1\n")
        box("restart", "-t", "0", "c1").ok()
        wait_until(lambda: new.read_text() == "1\n1\n")
        assert box("diff", "c1").ok().stdout == "A /new\n"
        box("stop", "-t", "0", "c1").ok()
        box("commit", "c1", "box:2").ok()
        assert box("run", "--rm", "box:2", "cat", "/new").ok().stdout == "1\n1\n"
        box("rm", "c1").ok()
        assert (overlay / "upper/new").exists(), "it is the user's"

    def test_image_below_the_host_is_no_obstacle(self, rootless, overlay):
        options = ("--rm", "--overlay", overlay, "--rootfs", "/")
        rootless("run", *options, "sh", "-c", "echo kept > /new").ok()
        assert rootless("run", *options, "cat", "/new").ok().stdout == "kept\n"

    def test_directory_that_is_gone_is_an_error_of_one_line(self, box, overlay):
        box("create", "--name", "c1", "--overlay", overlay, "box:1", "true").ok()
        overlay.rename(overlay.with_name("elsewhere"))
        for command in (("start", "c1"), ("commit", "c1", "box:2"), ("diff", "c1")):
            failed = box(*command)
            assert failed.status != 0
            assert (
                f"the writable layer of container c1 is gone: {overlay} does not" in failed.stderr
            )
            assert "Traceback" not in failed.stderr
        assert "c1" in box("ps", "-as").ok().stdout
        box("rm", "c1").ok()

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            (["--overlay", "{0}/none"], "the overlay {0}/none does not exist"),
            (["--overlay", "{0}", "--overlay", "{0}/b"], "the overlays {0} and {0}/b are both"),
            (["--overlay", "{0}", "--writable-tmpfs"], "--writable-tmpfs and the writable overlay"),
            (
                ["--overlay", "/etc/passwd"],
                "the overlay /etc/passwd cannot be written to: it is neither a directory nor an ext3 image",
            ),
            (["--overlay", "/etc/passwd:ro"], "the overlay /etc/passwd is neither a directory nor"),
            (["--overlay", "/usr"], "the overlay /usr cannot be written to: permission denied"),
        ],
    )
    def test_what_cannot_be_is_refused(self, box, overlay, options, message):
        given = [each.format(overlay) for each in options]
        refused = box("run", "--rm", *given, "box:1", "true")
        assert refused.status == 125
        assert message.format(overlay) in refused.stderr.splitlines()[0]


class TestWritableTmpfs:
    def test_layer_is_in_memory_and_ends_with_the_run(self, box):
        script = "test ! -e /new && echo more > /new && exec sleep 1000"
        box("run", "-d", "--name", "c1", "--writable-tmpfs", "box:1", "sh", "-c", script).ok()
        data = data_of(box, "c1")
        assert data["WritableLayer"] == "tmpfs"
        wait_until(lambda: box("diff", "c1").ok().stdout == "A /new\n")
        on_disk = box.data / "rootless/containers" / data["ID"] / "upper"
        assert list(on_disk.iterdir()) == []
        box("commit", "c1", "box:2").ok()
        assert box("run", "--rm", "box:2", "cat", "/new").ok().stdout == "more\n"
        box("stop", "-t", "0", "c1").ok()
        assert box("diff", "c1").ok().stdout == ""
        box("start", "c1").ok()
        wait_until(lambda: box("diff", "c1").ok().stdout == "A /new\n")

    def test_size_is_a_limit(self, box):
        script = "df -k / | tail -1; dd if=/dev/zero of=/big bs=64k; echo $?; rm /big; touch /next"
        result = box("run", "--rm", "--writable-tmpfs=8M", "box:1", "sh", "-c", script).ok()
        lines = result.stdout.splitlines()
        assert lines[0].split()[1] == "8192"
        assert lines[1] == "1"
        assert "No space left on device" in result.stderr

    def test_it_is_over_the_host_too(self, rootless):
        options = ("--rm", "--writable-tmpfs=16M", "--rootfs", "/")
        assert rootless("run", *options, "sh", "-c", "echo 1 > /new; cat /new").ok().stdout == "1\n"

    @pytest.mark.needs("fuse-resend")
    def test_file_server_that_is_killed_is_replaced_over_the_same_files(self, box):
        script = "echo before > /new; while ! test -e /go; do sleep 0.1; done; cat /new"
        box("run", "-d", "--name", "c1", "--writable-tmpfs", "box:1", "sh", "-c", script).ok()
        wait_until(lambda: "A /new" in box("diff", "c1").ok().stdout)
        os.kill(server_of(box), signal.SIGKILL)
        box("exec", "c1", "touch", "/go").ok()
        assert box("wait", "c1").ok().stdout == "0\n"
        assert box("logs", "c1").ok().stdout == "before\n"

    def test_restarted_container_begins_with_its_image(self, box):
        options = ("--name", "c1", "--writable-tmpfs", "--restart", "on-failure:2", "box:1")
        box("run", "-d", *options, "sh", "-c", "test -e /new && echo old; touch /new; exit 1").ok()
        wait_until(lambda: box("inspect", "-f", "{{.State.Status}}", "c1").stdout == "exited\n")
        assert box("logs", "c1").ok().stdout == ""
        assert box("inspect", "-f", "{{.RestartCount}}", "c1").ok().stdout == "2\n"

    def test_kernel_overlayfs_has_none(self, box):
        options = ("--rm", "--storage-driver", "overlay", "--writable-tmpfs")
        refused = box("run", *options, "box:1", "true")
        assert refused.status == 125
        assert "cannot keep the writable layer in memory" in refused.stderr
