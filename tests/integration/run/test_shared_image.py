"""Containers that only read their image, or write through kernel overlayfs, share one mount of it."""

import io
import json
import os
import shutil
import signal
import tarfile
from contextlib import suppress

import pytest

from tests.support.file_servers import open_files, volume_servers
from tests.support.waiting import wait_until

pytestmark = pytest.mark.needs("userns", "fuse", "busybox")

READ_ONLY = ("--read-only",)


def start(box, name, *options):
    return box("run", "-d", "--name", name, *options, "box:1", "sleep", "1000").ok()


def shell(box, name, script):
    return box("exec", name, "sh", "-c", script).ok().stdout


def monitors_of(box):
    records = (box.data / "rootless/containers").glob("*/container.json")
    return {record["name"]: record for record in map(json.loads, (r.read_text() for r in records))}


def has_no_server(box):
    return not list((box.runtime / "rootless/volumes").glob("*/control.sock"))


def test_read_only_containers_have_one_server(box):
    start(box, "one", *READ_ONLY)
    start(box, "two", *READ_ONLY)
    assert len(volume_servers(box)) == 1
    script = "stat -c %i /bin/busybox; touch /bin/x 2>&1; cat /etc/hostname | wc -c"
    seen = [shell(box, name, script) for name in ("one", "two")]
    assert seen[0] == seen[1]
    assert "Read-only file system" in seen[0]
    assert shell(box, "one", "cat /etc/hostname") != shell(box, "two", "cat /etc/hostname")


def test_image_is_read_from_disk_once_for_several_containers(box):
    start(box, "one", *READ_ONLY)
    start(box, "two", *READ_ONLY)
    (server,) = volume_servers(box)

    def read_bytes():
        with open(f"/proc/{server}/io", encoding="ascii") as file:
            return int(file.readline().split()[1])

    shell(box, "one", "cat /bin/busybox | wc -c")
    before = read_bytes()
    size = int(shell(box, "two", "cat /bin/busybox | wc -c"))
    assert read_bytes() - before < size / 2


@pytest.fixture
def files(box, busybox_image, tmp_path):
    """Images of 200 files: `plain:1`, and `attributes:1`, where one of them has an extended attribute."""
    for image, headers in (("plain", {}), ("attributes", {"SCHILY.xattr.user.color": "red"})):
        path = tmp_path / f"{image}.tar"
        shutil.copy(busybox_image, path)
        with tarfile.open(path, "a", format=tarfile.PAX_FORMAT) as archive:
            for number in range(200):
                entry = tarfile.TarInfo(f"srv/f{number}")
                entry.size = 100
                if number == 7:
                    entry.pax_headers = headers
                archive.addfile(entry, io.BytesIO(b"x" * 100))
        box("import", path, f"{image}:1").ok()
    return box


@pytest.mark.needs("overlay", "subuid")  # with one id the server has owners as attributes
@pytest.mark.parametrize("options", [READ_ONLY, ("--storage-driver", "overlay")])
def test_files_that_one_container_has_read_are_no_requests_of_another(files, options):
    for name in ("one", "two"):
        files("run", "-d", "--name", name, *options, "plain:1", "sleep", "1000").ok()
    (server,) = volume_servers(files)

    def requests():
        with open(f"/proc/{server}/io", encoding="ascii") as file:
            return int(dict(line.split(": ") for line in file)["syscr"])

    read = "cat /srv/* | wc -c"
    assert shell(files, "one", read) == "20000\n"
    before = requests()
    assert shell(files, "two", read) == "20000\n"
    assert requests() - before < 100


@pytest.mark.needs("overlay")
@pytest.mark.parametrize("options", [READ_ONLY, ("--storage-driver", "overlay")])
def test_attributes_of_a_shared_image_are_seen(files, options):
    files("run", "-d", "--name", "one", *options, "attributes:1", "sleep", "1000").ok()
    pid = files("inspect", "-f", "{{.State.Pid}}", "one").ok().stdout.strip()
    assert os.getxattr(f"/proc/{pid}/root/srv/f7", "user.color") == b"red"
    with pytest.raises(OSError, match="No data available"):
        os.getxattr(f"/proc/{pid}/root/srv/f8", "user.color")


@pytest.mark.needs("overlay")
def test_attributes_can_be_set_over_an_image_that_has_none(files):
    options = ("--storage-driver", "overlay")
    files("run", "-d", "--name", "one", *options, "plain:1", "sleep", "1000").ok()
    pid = files("inspect", "-f", "{{.State.Pid}}", "one").ok().stdout.strip()
    assert (
        shell(
            files,
            "one",
            "cp -a /srv /copied; echo y >> /srv/f8; chmod 4755 /srv/f9; ls /copied | wc -l",
        )
        == "200\n"
    )
    with pytest.raises(OSError, match=r"not supported|No data available"):
        os.getxattr(f"/proc/{pid}/root/srv/f7", "user.color")
    os.setxattr(f"/proc/{pid}/root/srv/f8", "user.color", b"blue")
    assert os.getxattr(f"/proc/{pid}/root/srv/f8", "user.color") == b"blue"


@pytest.mark.needs("overlay")
def test_overlay_containers_share_the_image_and_not_what_they_write(box):
    options = ("--storage-driver", "overlay")
    start(box, "one", *options)
    start(box, "two", *options)
    assert len(volume_servers(box)) == 1
    shell(box, "one", "echo one > /etc/motd; rm /etc/passwd; chmod 700 /bin/busybox")
    assert shell(box, "two", "ls /etc/passwd; stat -c %a /bin/busybox") == "/etc/passwd\n755\n"
    assert box("diff", "one").ok().stdout.splitlines() == [
        "C /bin",
        "C /bin/busybox",
        "C /etc",
        "A /etc/motd",
        "D /etc/passwd",
    ]


def test_read_only_container_is_mounted_on_where_the_image_has_nothing(box, tmp_path):
    (tmp_path / "file").write_text("of the host")
    script = "cat /srv/new/place/file; touch /srv/x 2>&1; ls /srv"
    mount = f"{tmp_path}:/srv/new/place"
    done = box("run", "--rm", *READ_ONLY, "-v", mount, "box:1", "sh", "-c", script).ok()
    assert done.stdout == "of the hosttouch: /srv/x: Read-only file system\nnew\n"


def test_volumes_and_a_shared_image_in_one_container(box):
    options = (*READ_ONLY, "-v", "data:/mnt")
    box("run", "--rm", *options, "box:1", "sh", "-c", "echo kept > /mnt/file").ok()
    assert box("run", "--rm", *options, "box:1", "cat", "/mnt/file").ok().stdout == "kept\n"
    wait_until(lambda: has_no_server(box))


def test_a_killed_server_is_replaced_for_all_containers(box):
    start(box, "one", *READ_ONLY)
    start(box, "two", *READ_ONLY)
    for _ in range(3):
        (server,) = volume_servers(box)
        os.kill(server, signal.SIGKILL)
        wait_until(lambda: volume_servers(box) not in ([], [server]))  # noqa: B023 - called at once
        for name in ("one", "two"):
            assert shell(box, name, "ls /bin | head -1; cat /bin/busybox | wc -c") != ""


def test_a_server_that_is_killed_during_a_start_is_told_in_one_line(box):
    for _ in range(20):
        run = box.popen("run", "--rm", *READ_ONLY, "box:1", "nproc")

        def has_ended(run=run):
            for server in volume_servers(box):
                # One that is killed before has nothing to give, and the container has a server of its own.
                if any(name.endswith("/fuse") for name in open_files(server)):
                    with suppress(ProcessLookupError):
                        os.kill(server, signal.SIGKILL)
            return run.poll() is not None

        wait_until(has_ended)
        told = run.stderr.read().decode().splitlines()
        if told:
            break
    assert told == ["rootless: the file server of image box:1 was killed"]


def test_the_server_outlives_the_container_that_started_it(box):
    start(box, "one", *READ_ONLY)
    start(box, "two", *READ_ONLY)
    os.kill(monitors_of(box)["one"]["monitor_pid"], signal.SIGKILL)
    wait_until(lambda: "one" not in box("ps", "--format", "{{.Names}}").ok().stdout.split())
    assert shell(box, "two", "echo still here") == "still here\n"
    box("rm", "-f", "two").ok()
    wait_until(lambda: has_no_server(box))


def test_containers_that_start_at_one_time_share_one_server(box):
    script = "echo up; read line"
    running = [
        box.popen("run", "--rm", "-i", *READ_ONLY, "box:1", "sh", "-c", script) for _ in range(12)
    ]
    for each in running:
        assert each.stdout.readline() == b"up\n"
    assert len(volume_servers(box)) == 1
    for each in running:
        each.communicate(b"\n", timeout=120)
        assert each.returncode == 0
    wait_until(lambda: has_no_server(box))


def test_layer_that_is_gone_is_an_error_of_one_line(box):
    (index,) = (box.data / "rootless/layers").glob("*/index.sqlite")
    index.unlink()
    failed = box("run", "--rm", *READ_ONLY, "box:1", "true")
    assert failed.status == 125
    assert len(failed.stderr.splitlines()) == 1
    assert "no such index" in failed.stderr


def test_shared_server_is_not_upgraded_alone_and_copies_nothing_up(box):
    start(box, "one", *READ_ONLY)
    failed = box("system", "upgrade-servers", "one")
    assert failed.status == 1
    assert "shares the file server of its image" in failed.stderr
    assert "read-only" in box("cow", "one").stderr
