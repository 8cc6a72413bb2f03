"""Containers that mount volumes: what they see of each other, what the caller sees, and what is left."""

import json
import os
import signal
import sys
import tarfile
from contextlib import suppress

import pytest

from tests.support.file_servers import volume_servers
from tests.support.images import add_file
from tests.support.waiting import wait_until

pytestmark = pytest.mark.needs("userns", "fuse", "busybox")

SLEEP = ("sh", "-c", "trap 'exit 0' TERM; while :; do sleep 0.05; done")


@pytest.fixture
def seeded(rootless, busybox_image, tmp_path):
    """An image with a directory of files of other owners, a hard link, a symbolic link and an attribute."""
    path = tmp_path / "seeded.tar"
    path.write_bytes(busybox_image.read_bytes())
    with tarfile.open(path, "a", format=tarfile.PAX_FORMAT) as archive:
        directory = tarfile.TarInfo("srv/data")
        directory.type, directory.mode, directory.uid, directory.gid = (
            tarfile.DIRTYPE,
            0o750,
            999,
            998,
        )
        directory.mtime = 1_000_000_000
        archive.addfile(directory)
        add_file(archive, "srv/data/secret", b"seeded\n", 0o600, 999, 998)
        with_attribute = tarfile.TarInfo("srv/data/marked")
        with_attribute.mode, with_attribute.pax_headers = 0o4755, {"SCHILY.xattr.user.note": "kept"}
        archive.addfile(with_attribute)
        for name, kind, link in (
            ("srv/data/again", tarfile.LNKTYPE, "srv/data/secret"),
            ("srv/data/link", tarfile.SYMTYPE, "secret"),
            ("srv/via", tarfile.SYMTYPE, "/srv/data"),
            ("srv/file", tarfile.REGTYPE, ""),
        ):
            member = tarfile.TarInfo(name)
            member.type, member.linkname, member.mode = kind, link, 0o777
            archive.addfile(member)
    rootless("import", path, "seeded").ok()
    return rootless


def data(rootless, name="data"):
    return rootless.data / "rootless/volumes" / name / "_data"


def names(rootless):
    return rootless("volume", "ls", "-q").ok().stdout.split()


def sh(rootless, script, *options, image="box:1"):
    return rootless("run", "--rm", *options, image, "sh", "-c", script).ok().stdout


def servers(rootless):
    """The directories of the sockets of volumes' file servers."""
    return list((rootless.runtime / "rootless/volumes").glob("*/control.sock"))


def has_several_ids(rootless):
    return sh(rootless, "wc -l < /proc/self/uid_map").strip() != "1"


def test_volume_outlives_its_containers_and_is_the_caller_s(box):
    assert (
        sh(box, "mkdir -m 0 /data/d; echo hi > /data/f; chmod 0 /data/f", "-v", "data:/data") == ""
    )
    # No file server is left, and what the container wrote is there.
    assert servers(box) == []
    assert (data(box) / "f").read_text() == "hi\n"
    assert all(each.stat().st_uid == os.getuid() for each in data(box).rglob("*"))
    assert sh(box, "stat -c %a /data/f /data/d; cat /data/f", "-v", "data:/data") == "0\n0\nhi\n"
    assert names(box) == ["data"]


def test_owners_are_data(box):
    several = has_several_ids(box)
    sh(
        box,
        "echo hi > /data/f; chown 999:998 /data /data/f; chmod 4600 /data/f",
        "-v",
        "data:/data",
    )
    found = sh(box, "stat -c '%u:%g %a' /data /data/f", "-v", "data:/data").splitlines()
    owner = "999:998" if several else "0:0"
    assert found == [f"{owner} 755", f"{owner} 4600"]
    status = (data(box) / "f").stat()
    assert (status.st_uid, status.st_mode & 0o7777) == (os.getuid(), 0o600)
    if several:
        assert (
            sh(box, "cat /data/f; echo mine >> /data/f", "-u", "999:998", "-v", "data:/data")
            == "hi\n"
        )
        assert sh(
            box, "stat -c %u:%g /data/f", "--userns", "keep-id", "-u", "0", "-v", "data:/data"
        ) == (
            "998:997\n"  # the map of the caller's own id has it there
        )


def test_caller_deletes_and_moves_the_files(box):
    sh(
        box,
        "mkdir -p -m 0 /data/a/b; echo x > /data/a/b/f; chown -R 999 /data/a",
        "-v",
        "data:/data",
    )
    data(box).rename(data(box).with_name("elsewhere"))
    for top, directories, files in os.walk(data(box).with_name("elsewhere"), topdown=False):
        for each in files:
            os.unlink(f"{top}/{each}")
        for each in directories:
            os.rmdir(f"{top}/{each}")


def test_first_use_copies_what_the_image_has(seeded):
    several = has_several_ids_of(seeded)
    script = "cd /srv/data; stat -c '%n %u:%g %a %h %Y' . * | sort; readlink link; cat link; getfattr marked"
    expected = sh(seeded, script.replace("; getfattr marked", ""), image="seeded")
    found = sh(
        seeded, script.replace("; getfattr marked", ""), "-v", "data:/srv/data", image="seeded"
    )
    assert found == expected
    assert ("999:998" in found) is several
    assert (data(seeded) / "secret").stat().st_ino == (data(seeded) / "again").stat().st_ino
    assert (data(seeded) / "secret").read_text() == "seeded\n"
    assert os.getxattr(data(seeded) / "marked", "user.note") == b"kept"
    assert (data(seeded) / "marked").stat().st_mode & 0o4000 == 0
    assert not data(seeded).with_name("_seed").exists()


def has_several_ids_of(rootless):
    return sh(rootless, "wc -l < /proc/self/uid_map", image="seeded").strip() != "1"


def test_volume_is_filled_once_and_only_if_it_is_empty(seeded):
    sh(seeded, "rm /srv/data/secret", "-v", "data:/srv/data", image="seeded")
    assert "secret" not in sh(seeded, "ls /srv/data", "-v", "data:/srv/data", image="seeded")
    sh(seeded, "touch /x/own", "-v", "other:/x", image="seeded")
    assert sh(seeded, "ls /srv/data", "-v", "other:/srv/data", image="seeded") == "own\n"


def test_nocopy_leaves_a_volume_empty(seeded):
    assert sh(seeded, "ls /srv/data", "-v", "data:/srv/data:nocopy", image="seeded") == ""
    mount = "type=volume,src=more,dst=/srv/data,volume-nocopy"
    assert sh(seeded, "ls /srv/data", "--mount", mount, image="seeded") == ""


def test_create_fills_a_volume_before_the_start(seeded):
    seeded("create", "--name", "web", "-v", "data:/srv/via", "seeded", "true").ok()
    assert (data(seeded) / "secret").read_text() == "seeded\n"  # through the image's link
    done = seeded("create", "-v", "data2:/srv/file", "seeded", "true")
    assert (done.status, "cannot mount volume over existing file" in done.stderr) == (1, True)


def test_killed_copy_leaves_nothing_half_done(seeded):
    left = data(seeded).with_name("_seed")
    seeded("volume", "create", "data").ok()
    (left / "half").mkdir(parents=True)
    assert "secret" in sh(seeded, "ls /srv/data", "-v", "data:/srv/data", image="seeded")
    assert not left.exists()
    assert not (data(seeded) / "half").exists()


def test_two_containers_see_each_other_s_writes(box):
    for name in ("one", "two"):
        box("run", "-d", "--name", name, "-v", "data:/data", "box:1", *SLEEP).ok()
    assert len(servers(box)) == 1
    box("exec", "one", "sh", "-c", "echo one > /data/f; mkdir /data/d").ok()
    assert box("exec", "two", "sh", "-c", "cat /data/f; ls -d /data/d; rm /data/f").ok().stdout == (
        "one\n/data/d\n"
    )
    assert box("exec", "one", "ls", "/data").ok().stdout == "d\n"
    box("rm", "-f", "one").ok()
    assert box("exec", "two", "ls", "/data").ok().stdout == "d\n"
    box("rm", "-f", "two").ok()
    assert servers(box) == []


def test_two_containers_share_locks(rootless):
    """Those of flock(2) and of fcntl(2)."""
    script = """if True:
        import fcntl, sys
        flock, lockf = (open(f"/mnt/{name}", "w") for name in ("flock", "lockf"))
        try:
            fcntl.flock(flock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            print("flock")
        except BlockingIOError:
            print("busy")
        try:
            fcntl.lockf(lockf, fcntl.LOCK_EX | fcntl.LOCK_NB)
            print("lockf", flush=True)
        except BlockingIOError:
            print("busy", flush=True)
        sys.stdin.read()
    """
    options = ("--rm", "-i", "-v", "data:/mnt", "--rootfs", "/", sys.executable, "-c", script)
    first = rootless.popen("run", *options)
    assert [first.stdout.readline(), first.stdout.readline()] == [b"flock\n", b"lockf\n"]
    assert rootless("run", *options).ok().stdout == "busy\nbusy\n"
    first.communicate(timeout=120)
    assert rootless("run", *options).ok().stdout == "flock\nlockf\n"


def test_two_containers_share_mapped_memory(rootless):
    """One waits for a byte in memory that the other writes to its own mapping of the file."""
    script = """if True:
        import mmap, os, sys
        with open("/mnt/shared", "a+b") as file:
            file.truncate(4096)
            memory = mmap.mmap(file.fileno(), 4096)
        mine, other = (0, 1) if sys.argv[1] == "a" else (1, 0)
        memory[mine] = 7
        while memory[other] != 7:
            os.sched_yield()
        print("seen")
    """
    options = ("--rm", "-v", "data:/mnt", "--rootfs", "/", sys.executable, "-c", script)
    first = rootless.popen("run", *options, "a")
    assert rootless("run", *options, "b").ok().stdout == "seen\n"
    assert first.communicate(timeout=120)[0] == b"seen\n"


def test_read_only_volume(box):
    sh(box, "echo hi > /data/f", "-v", "data:/data")
    for option in (("-v", "data:/data:ro"), ("--mount", "src=data,dst=/data,readonly")):
        script = "cat /data/f; touch /data/g 2>&1 || true"
        assert sh(box, script, *option) == "hi\ntouch: /data/g: Read-only file system\n"


def test_one_volume_on_two_paths(box):
    assert sh(box, "echo hi > /a/f; cat /b/f", "-v", "data:/a", "-v", "data:/b:ro") == "hi\n"


def test_several_volumes_share_one_user_namespace(box):
    box("run", "-d", "--name", "first", "-v", "one:/one", "box:1", *SLEEP).ok()
    script = "echo hi > /two/f; ls /one; cat /two/f; echo x > /one/x"
    assert sh(box, script, "-v", "one:/one", "-v", "two:/two") == "hi\n"
    assert box("exec", "first", "ls", "/one").ok().stdout == "x\n"


def test_path_inside_a_volume(box):
    sh(box, "mkdir -p /data/a/b; echo hi > /data/a/b/f; ln -s /etc /data/out", "-v", "data:/data")
    option = "src=data,dst=/x,volume-subpath=a/b"
    assert (
        sh(box, "cat /x/f; echo more >> /x/f; grep -c /x /proc/mounts", "--mount", option)
        == "hi\n1\n"
    )
    assert (data(box) / "a/b/f").read_text() == "hi\nmore\n"
    done = box("run", "--rm", "--mount", "src=data,dst=/x,volume-subpath=nope", "box:1", "true")
    assert done.status == 127
    assert "cannot access path" in done.stderr
    # A link in the volume leads nowhere else.
    done = box("run", "--rm", "--mount", "src=data,dst=/x,volume-subpath=out", "box:1", "true")
    assert done.status == 127


def test_anonymous_volumes_go_with_rm_and_are_kept_by_rm_without_v(rootless, busybox_image):
    rootless("import", "-c", "VOLUME /var/own", busybox_image, "box:1").ok()
    assert sh(rootless, "touch /var/own/f /anon/f", "-v", "/anon") == ""
    assert names(rootless) == []
    rootless("create", "--name", "web", "-v", "/anon", "--mount", "dst=/x", "box:1", "true").ok()
    made = names(rootless)
    assert [len(name) for name in made] == [64, 64, 64]
    rootless("rm", "web").ok()
    assert names(rootless) == made
    assert rootless("volume", "prune", "-f").ok().stdout.count("\n") == 6
    rootless("create", "--name", "web", "-v", "/anon", "-v", "named:/n", "box:1", "true").ok()
    rootless("rm", "-v", "web").ok()
    assert names(rootless) == ["named"]


def test_failed_create_leaves_no_anonymous_volume(box):
    done = box("run", "--rm", "-v", "/anon", "-v", "v!1:/x", "box:1", "true")
    assert (done.status, names(box)) == (125, [])
    assert 'create v!1: "v!1" includes invalid characters for a local volume name' in done.stderr
    box("create", "--name", "web", "box:1", "true").ok()
    assert box("create", "--name", "web", "-v", "/anon", "box:1", "true").status == 1
    assert names(box) == []


def test_user_mount_takes_the_place_of_the_image_s_volume(rootless, busybox_image, tmp_path):
    rootless("import", "-c", "VOLUME /var/own /tmp", busybox_image, "box:1").ok()
    options = ("-v", f"{tmp_path}:/var/own", "--tmpfs", "/tmp")
    rootless("run", "--name", "web", *options, "box:1", "true").ok()
    assert names(rootless) == []


def test_volume_in_use_is_not_removed(box):
    container = (
        box("create", "--name", "web", "-v", "data:/data", "box:1", "true").ok().stdout.strip()
    )
    done = box("volume", "rm", "-f", "data")
    assert (done.status, done.stderr) == (
        1,
        f"Error: remove data: volume is in use - [{container}]\n",
    )
    assert box("volume", "prune", "-af").ok().stdout == "Total reclaimed space: 0B\n"
    assert box("volume", "ls", "-q", "-f", "dangling=false").ok().stdout == "data\n"
    box("rm", "web").ok()
    assert box("volume", "rm", "data").ok().stdout == "data\n"


def test_inspect_and_ps_show_volumes(box, tmp_path):
    options = ("-v", "v1:/x", "-v", "/anon", "-v", "v9:/z:ro,nocopy", "-v", f"{tmp_path}:/b")
    mount = "src=v8,dst=/y,readonly,volume-label=k=v"
    box("run", "-d", "--name", "c1", *options, "--mount", mount, "box:1", *SLEEP).ok()
    document = json.loads(box("inspect", "c1").ok().stdout)[0]
    mounts = {each["Destination"]: each for each in document["Mounts"]}
    assert mounts["/x"] == {
        "Type": "volume",
        "Name": "v1",
        "Source": str(data(box, "v1")),
        "Destination": "/x",
        "Driver": "local",
        "Mode": "z",
        "RW": True,
        "Propagation": "",
    }
    assert (mounts["/z"]["Mode"], mounts["/z"]["RW"], mounts["/y"]["RW"]) == (
        "ro,nocopy",
        False,
        False,
    )
    anonymous = mounts["/anon"]["Name"]
    assert (len(anonymous), mounts["/anon"]["Mode"]) == (64, "")
    host = document["HostConfig"]
    assert host["Binds"] == ["v1:/x", "v9:/z:ro,nocopy", f"{tmp_path}:/b"]
    assert host["Mounts"] == [
        {
            "Type": "volume",
            "Source": "v8",
            "Target": "/y",
            "ReadOnly": True,
            "VolumeOptions": {"Labels": {"k": "v"}, "DriverConfig": {}},
        }
    ]
    assert document["Config"]["Volumes"] == {"/anon": {}}
    assert json.loads(box("volume", "inspect", "v8").ok().stdout)[0]["Labels"] == {"k": "v"}
    shown = box("ps", "--no-trunc", "--format", "{{.Mounts}} {{.LocalVolumes}}").ok().stdout
    assert set(shown.split()[0].split(",")) == {"v1", anonymous, "v9", str(tmp_path), "v8"}
    assert shown.split()[1] == "4"
    for value, count in (("v1", 1), ("/x", 1), (str(tmp_path), 1), ("nope", 0), ("/", 0)):
        found = box("ps", "-q", "--filter", f"volume={value}").ok().stdout.split()
        assert len(found) == count, value
    rows = box("system", "df", "--format", "{{.Type}} {{.TotalCount}} {{.Active}}").ok().stdout
    assert "Local Volumes 4 4" in rows


def test_volume_stays_with_a_container_that_is_started_again(box):
    box("run", "--name", "web", "-v", "data:/data", "box:1", "sh", "-c", "echo x >> /data/f").ok()
    box("start", "web").ok()
    assert box("wait", "web").ok().stdout == "0\n"
    assert (data(box) / "f").read_text() == "x\nx\n"


def test_volume_that_stands_for_a_directory(box, tmp_path):
    box(
        "volume", "create", "-o", "type=none", "-o", "o=bind", "-o", f"device={tmp_path}", "here"
    ).ok()
    sh(box, "echo hi > /data/f", "-v", "here:/data")
    assert (tmp_path / "f").read_text() == "hi\n"
    box("volume", "rm", "here").ok()
    assert (tmp_path / "f").exists()


def test_missing_volume_is_one_line(box):
    box("create", "--name", "web", "-v", "data:/data", "box:1", "true").ok()
    data(box).rename(data(box).with_name("elsewhere"))
    done = box("start", "web")
    assert done.status == 1
    assert "Error: cannot mount volume data: " in done.stderr.splitlines()[0]
    assert not data(box).exists()


@pytest.mark.parametrize("driver", ["unionfs", "overlay"])
def test_storage_drivers(box, driver):
    if (
        driver == "overlay"
        and box("run", "--rm", "--storage-driver", "overlay", "box:1", "true").status
    ):
        pytest.skip("no overlay for this account")
    script = "echo hi > /data/f; cat /data/f"
    assert sh(box, script, "--storage-driver", driver, "-v", "data:/data") == "hi\n"


def test_limits_and_network_beside_a_volume(box):
    assert sh(
        box,
        "cat /data/x || echo none; hostname",
        "--network",
        "none",
        "-h",
        "h",
        "-v",
        "data:/data",
    ).endswith("none\nh\n")


def test_file_servers_that_are_killed_again_and_again_end_the_container(box):
    box("run", "-d", "--name", "web", "-v", "data:/data", "box:1", *SLEEP).ok()
    box("exec", "web", "sh", "-c", "echo kept > /data/f; sync /data/f").ok()

    def kill_and_look():
        for pid in volume_servers(box):
            with suppress(ProcessLookupError):  # it had been killed already
                os.kill(pid, signal.SIGKILL)
        return box("ps", "-q").ok().stdout == ""

    wait_until(kill_and_look)
    state = json.loads(box("inspect", "web").ok().stdout)[0]["State"]
    assert state["ExitCode"] != 0
    assert state["Error"] == "the file server of volume data was killed"
    assert sh(box, "cat /data/f", "-v", "data:/data") == "kept\n"


def test_killed_monitor_leaves_no_file_server(box):
    box("run", "-d", "--name", "web", "-v", "data:/data", "box:1", *SLEEP).ok()
    record = next((box.data / "rootless/containers").glob("*/container.json"))
    os.kill(json.loads(record.read_text())["monitor_pid"], signal.SIGKILL)
    wait_until(lambda: not servers(box))
    assert sh(box, "echo again", "-v", "data:/data") == "again\n"


def test_containers_that_start_at_once_share_one_server(box):
    box("volume", "create", "data").ok()
    options = (
        "run",
        "--rm",
        "-v",
        "data:/data",
        "box:1",
        "sh",
        "-c",
        "echo x >> /data/f; wc -l < /data/f",
    )
    running = [box.popen(*options) for _ in range(6)]
    for each in running:
        output, errors = each.communicate(timeout=120)
        assert (each.returncode, errors) == (0, b""), output
    assert (data(box) / "f").read_text() == "x\n" * 6
    assert servers(box) == []


@pytest.mark.parametrize("runs", [True, False])
def test_files_are_copied_into_and_out_of_a_volume(box, tmp_path, runs):
    several = has_several_ids(box)
    (tmp_path / "in").write_text("copied\n")
    verb = ("run", "-d") if runs else ("create",)
    box(*verb, "--name", "web", "-v", "data:/data", "box:1", *SLEEP).ok()
    box("cp", tmp_path / "in", "web:/data/f").ok()
    sh(box, "cat /data/f; chown 999 /data/f", "-v", "data:/data")
    assert (data(box) / "f").read_text() == "copied\n"
    assert "copied" in box("cp", "web:/data/f", "-").ok().stdout
    box("cp", "web:/data/f", tmp_path / "out").ok()
    assert (tmp_path / "out").read_text() == "copied\n"
    assert sh(box, "stat -c %u /data/f", "-v", "data:/data") == ("999\n" if several else "0\n")


def test_volumes_from_another_container(box, tmp_path):
    (tmp_path / "b").write_text("bound\n")
    options = ("-v", "named:/n", "-v", "/anon", "-v", f"{tmp_path}:/bound", "--tmpfs", "/t")
    box("run", "-d", "--name", "first", *options, "box:1", *SLEEP).ok()
    box("exec", "first", "sh", "-c", "echo one > /n/f; echo two > /anon/f").ok()
    script = "cat /n/f /anon/f /bound/b; ls -d /t 2>&1; touch /n/g 2>/dev/null && echo written"
    assert sh(box, f"{script}; true", "--volumes-from", "first") == (
        "one\ntwo\nbound\nls: /t: No such file or directory\nwritten\n"
    )
    assert "written" not in sh(box, f"{script}; true", "--volumes-from", "first:ro")
    assert sh(box, "ls /n", "--volumes-from", "first:ro,z", "-v", "other:/n") == ""
    assert len(names(box)) == 3  # what --rm removes is not the other container's
    box("create", "--name", "second", "--volumes-from", "first", "box:1", "true").ok()
    document = json.loads(box("inspect", "second").ok().stdout)[0]
    assert document["HostConfig"]["VolumesFrom"] == ["first"]
    assert document["HostConfig"]["Binds"] is None
    assert document["Config"]["Volumes"] is None
    assert {each["Destination"] for each in document["Mounts"]} == {"/n", "/anon", "/bound"}
    box("rm", "-f", "-v", "first").ok()
    assert len(names(box)) == 3
    box("rm", "-v", "second").ok()
    assert names(box) == ["named", "other"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--volumes-from", "nope"), "No such container: nope"),
        (("--volumes-from", "nope:zz"), "invalid mode: zz"),
        (("--volume-driver", "nope", "-v", "vz:/x"), 'plugin "nope" not found'),
        (("-v", "data:/x", "--tmpfs", "/x"), "Duplicate mount point: /x"),
    ],
)
def test_mounts_that_cannot_be_are_one_line(box, options, message):
    done = box("run", "--rm", *options, "box:1", "true")
    assert (done.status, message in done.stderr) == (125, True)
    assert names(box) == []


def test_export_and_import_keep_owners(seeded, tmp_path):
    sh(seeded, "true", "-v", "data:/srv/data", image="seeded")
    archive = tmp_path / "data.tar"
    seeded("volume", "export", "-o", archive, "data").ok()
    with tarfile.open(archive) as members:
        found = {each.name: each for each in members}
    assert set(found) >= {"secret", "again", "link", "marked"}
    assert {found["secret"].uid, found["again"].uid} == {999}
    seeded("volume", "create", "copy").ok()
    seeded("volume", "import", "copy", archive).ok()
    script = "cd /x; stat -c '%n %u:%g %a %h %Y' * | sort; readlink link; cat link"
    expected = sh(seeded, script, "-v", "data:/x", image="seeded")
    assert sh(seeded, script, "-v", "copy:/x", image="seeded") == expected
    packed = tmp_path / "data.tar.gz"
    with tarfile.open(packed, "w:gz") as members:
        add_file(members, "more", b"more\n", uid=5, gid=6)
    # Into a volume that a container has mounted, which sees it at once.
    seeded("run", "-d", "--name", "web", "-v", "copy:/x", "seeded", *SLEEP).ok()
    seeded("volume", "import", "copy", stdin=packed.read_bytes()).ok()
    assert (
        seeded("exec", "web", "sh", "-c", "cat /x/more; ls /x | wc -l").ok().stdout == "more\n5\n"
    )


def test_export_and_import_refuse_in_a_line(box, tmp_path):
    box("volume", "create", "data").ok()
    for arguments, message in (
        (("export", "nope"), "get nope: no such volume"),
        (("import", "nope", "/dev/null"), "get nope: no such volume"),
        (("import", "data", "/nonex"), "unable to open input file: open /nonex: no such file"),
        (("import", "data", __file__), "cannot read the archive"),
        (("export", "-o", "/nonex/x", "data"), "no such file or directory"),
    ):
        done = box("volume", *arguments)
        assert (done.status, done.stderr.count("\n")) == (1, 1), done.stderr
        assert message in done.stderr


def test_events_of_volumes(box):
    box("volume", "create", "data").ok()
    box("run", "--name", "web", "-v", "data:/x:ro", "-v", "/anon", "box:1", "true").ok()
    box("rm", "-v", "web").ok()
    box("volume", "rm", "data").ok()
    lines = box("events", "--since", "1h", "--until", "0s", "--format", "{{json .}}").ok().stdout
    events = [json.loads(line) for line in lines.splitlines()]
    actions = [(each["Type"], each["Action"]) for each in events]
    of_data = [each for each in events if each["Actor"]["ID"] == "data"]
    assert [each["Action"] for each in of_data] == ["create", "mount", "unmount", "destroy"]
    mount = of_data[1]["Actor"]["Attributes"]
    assert (mount["destination"], mount["driver"], mount["read/write"]) == ("/x", "local", "false")
    assert actions.index(("volume", "mount")) < actions.index(("container", "start"))
    assert actions.index(("container", "die")) < actions.index(("volume", "unmount"))
    assert actions.count(("volume", "destroy")) == 2
