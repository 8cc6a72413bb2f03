"""--overlay of an ext3 image: what is kept, who may have it, and what is left of it."""

import json
import os
import shutil
import signal
import subprocess

import pytest

from tests.support.sif import DATA, EXT3, OVERLAY, Part, write_sif
from tests.support.waiting import wait_until

pytestmark = pytest.mark.needs("userns", "fuse", "busybox", "ext3")


@pytest.fixture
def image(cluster):
    """An image of 64 MiB, which takes a few on the disk."""
    path = cluster.cwd / "kept.img"
    cluster.text("overlay", "create", "--sparse", path)
    assert (path.stat().st_size, path.stat().st_blocks < 32768) == (64 << 20, True)
    return path


def is_clean(image):
    e2fsck = shutil.which("e2fsck", path="/usr/sbin:/sbin:/usr/bin")
    done = subprocess.run([e2fsck, "-fn", image], capture_output=True, check=False)
    return done.returncode == 0


def is_served(image):
    done = subprocess.run(["ps", "-wweo", "args"], capture_output=True, text=True, check=True)
    return any("fuse2fs" in line and str(image) in line for line in done.stdout.splitlines())


def test_what_is_written_stays_in_the_image(cluster, image):
    script = "echo kept > /new; rm /bin/tac; mkdir /d; mv /bin/wc /d; ln /new /d/link"
    cluster.text("exec", "--overlay", image, "box:1", "sh", "-c", script)
    for each in (image, f"{image}:ro"):
        seen = cluster(
            *("exec", "--overlay", each, "box:1", "sh", "-c"),
            "cat /new; stat -c %h /d/link; ls -A /bin/tac /d",
        )
        assert seen.stdout.decode().split() == ["kept", "2", "/d:", "link", "wc"]
    wait_until(lambda: not is_served(image))
    assert is_clean(image)


def execute_in_place_of_fuse2fs(command, directory, monkeypatch):
    """Have containers find a script as fuse2fs, which executes `command` and ends when the image is mounted."""
    programs = directory / "programs"
    programs.mkdir()
    fuse2fs = programs / "fuse2fs"
    fuse2fs.write_text(
        f"""#!/bin/sh
for last; do :; done
{command} &
until mountpoint -q "$last"; do sleep 0.05; done
"""
    )
    fuse2fs.chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")


@pytest.fixture
def written(tmp_path, monkeypatch):
    """A file that is there as soon as fuse2fs has written an image, which takes it two seconds more."""
    path = tmp_path / "written"
    command = f'({shutil.which("fuse2fs")} -f "$@"; sleep 2; : > {path}) > /dev/null 2>&1'
    execute_in_place_of_fuse2fs(command, tmp_path, monkeypatch)
    return path


def test_the_end_of_a_container_is_known_when_its_image_is_written(rootless, image, written):
    options = ("--name", "keeper", "--overlay", image, "box:1")
    rootless("run", *options, "touch", "/new").ok()
    assert written.exists()
    rootless("rm", "keeper").ok()
    written.unlink()
    rootless("run", "-d", *options, "sleep", "1000").ok()
    rootless("stop", "-t", "0", "keeper").ok()
    assert written.exists()


@pytest.mark.parametrize(
    ("script", "status"),
    [
        ("touch /new", 0),
        ("exit 7", 7),
        ("kill -KILL $$", -signal.SIGKILL),
        ("no-such-command", 127),
        ("(exit 3) & (exit 4) | cat", 0),
    ],
)
def test_a_command_ends_when_its_image_is_written(cluster, image, written, script, status):
    env = {"PATH": os.environ["PATH"]}
    done = cluster("exec", "--overlay", image, "box:1", "sh", "-c", script, env=env)
    assert written.exists()
    assert is_clean(image)
    assert done.returncode == status


def test_a_command_does_not_wait_for_what_it_leaves_behind(cluster, image):
    script = "sleep 1000 > /dev/null 2>&1 & echo $!"
    sleeping = int(cluster.text("exec", "--overlay", image, "box:1", "sh", "-c", script))
    try:
        assert is_served(image)
    finally:
        os.kill(sleeping, signal.SIGKILL)
    wait_until(lambda: not is_served(image))


def test_one_writes_and_several_read(cluster, image):
    with cluster.popen(
        "exec", "--overlay", image, "box:1", "sh", "-c", "echo; sleep 1000"
    ) as writer:
        writer.stdout.readline()
        done = cluster("exec", "--overlay", f"{image}:ro", "box:1", "true")
        assert done.returncode == 125
        assert f"the overlay {image} is in use" in done.stderr.decode()
        writer.terminate()
    reading = ("exec", "--overlay", f"{image}:ro", "box:1", "sh", "-c", "echo; sleep 1000")
    with cluster.popen(*reading) as one, cluster.popen(*reading) as other:
        assert one.stdout.readline() == other.stdout.readline() == b"\n"
        assert b"in use" in cluster("exec", "--overlay", image, "box:1", "true").stderr
        one.terminate()
        other.terminate()
    cluster.text("exec", "--overlay", image, "box:1", "true")


def test_containers_of_run_have_it_while_they_run(rootless, cluster, image):
    rootless("run", "-d", "--name", "keeper", "--overlay", image, "box:1", "sleep", "1000").ok()
    rootless("exec", "keeper", "sh", "-c", "echo 1 > /new").ok()
    assert rootless("diff", "keeper").ok().stdout == "A /new\n"
    rootless("commit", "keeper", "with-new:1").ok()
    rootless("stop", "-t", "0", "keeper").ok()
    stopped = rootless("diff", "keeper")
    assert stopped.status == 1
    assert f"is in the image {image}, which can be read while the container runs" in stopped.stderr
    rootless("start", "keeper").ok()
    assert rootless("exec", "keeper", "cat", "/new").ok().stdout == "1\n"
    rootless("rm", "-f", "keeper").ok()
    assert rootless("run", "--rm", "with-new:1", "cat", "/new").ok().stdout == "1\n"
    assert cluster.text("exec", "--overlay", image, "box:1", "cat", "/new") == "1\n"


@pytest.mark.needs("subuid")
def test_owners_are_kept_in_the_image(rootless, cluster, image):
    script = "touch /new; chown 7:8 /new; chmod 4755 /new"
    rootless("run", "--rm", "--overlay", image, "box:1", "sh", "-c", script).ok()
    seen = rootless("run", "--rm", "--overlay", image, "box:1", "stat", "-c%u:%g %a", "/new")
    assert seen.ok().stdout == "7:8 4755\n"


def test_a_monitor_that_is_killed_leaves_no_program_and_no_damage(rootless, cluster, image):
    rootless("run", "-d", "--name", "keeper", "--overlay", image, "box:1", "sleep", "1000").ok()
    rootless("exec", "keeper", "sh", "-c", "echo 1 > /new; sync").ok()
    (record,) = (rootless.data / "rootless/containers").glob("*/container.json")
    os.kill(json.loads(record.read_text())["monitor_pid"], signal.SIGKILL)
    wait_until(lambda: not is_served(image))
    rootless("rm", "-f", "keeper").ok()
    assert is_clean(image)
    assert cluster.text("exec", "--overlay", image, "box:1", "cat", "/new") == "1\n"


@pytest.fixture
def whole(cluster):
    """An image that has all its blocks."""
    path = cluster.cwd / "whole.img"
    cluster.text("overlay", "create", path)
    assert path.stat().st_blocks * 512 >= path.stat().st_size
    return path


@pytest.mark.parametrize("name", ["image", "whole"])
def test_a_full_image_is_told_to_the_program(cluster, request, name):
    image = request.getfixturevalue(name)
    script = "dd if=/dev/zero of=/big bs=1M count=100 conv=fsync; status=$?; rm /big; exit $status"
    done = cluster("exec", "--overlay", image, "box:1", "sh", "-c", script)
    assert done.returncode == 1
    assert b"No space left on device" in done.stderr
    assert cluster.text("exec", "--overlay", image, "box:1", "echo", "ok") == "ok\n"


def test_a_change_in_a_full_image_is_kept_or_an_error(cluster, whole):
    script = (
        # Some blocks are left: whether a directory finds one behind the last write into a full image is chance.
        "blocks=$(($(stat -f -c %a /) * $(stat -f -c %S /) / 65536 - 4)); "
        "dd if=/dev/zero of=/big bs=64k count=$blocks 2>/dev/null; cd /bin; "
        "for each in $(seq 400); do mkdir -m 700 /$each 2>/dev/null && echo $each; done"
    )
    kept = cluster("exec", "--overlay", whole, "box:1", "sh", "-c", script).stdout.split()
    assert 0 < len(kept) < 400
    assert is_clean(whole)
    seen = cluster.text("exec", "--overlay", whole, "box:1", "ls", "/").split()
    assert {each.decode() for each in kept} <= set(seen)


@pytest.fixture
def requests(tmp_path, monkeypatch):
    """A file with a line for each request to fuse2fs."""
    path = tmp_path / "requests"
    command = f'{shutil.which("fuse2fs")} -d "$@" > /dev/null 2> {path}'
    execute_in_place_of_fuse2fs(command, tmp_path, monkeypatch)
    return path


@pytest.mark.parametrize(("name", "is_synced"), [("image", True), ("whole", False)])
def test_copied_files_are_synced_where_blocks_may_be_missing(
    cluster, busybox_image, requests, request, name, is_synced
):
    """fuse2fs answers before it writes to the file, and a sparse one may find no room then."""
    tree = cluster.cwd / "tree"
    (tree / "files").mkdir(parents=True)
    subprocess.run(["tar", "-xf", busybox_image, "-C", tree], check=True)
    for number in range(40):
        (tree / f"files/{number}").write_text("text\n")
    env = {"PATH": os.environ["PATH"]}
    image = request.getfixturevalue(name)
    script = "chmod 700 /files/*"
    done = cluster("exec", "--overlay", image, tree, "sh", "-c", script, env=env)
    assert done.returncode == 0
    assert (requests.read_text().count("opcode: FSYNC") > 30) == is_synced


def test_what_cannot_be_mounted_is_named(cluster, image, tmp_path):
    truncated = tmp_path / "truncated.img"
    truncated.write_bytes(image.read_bytes()[:20000])
    image.chmod(0o400)
    no_programs = {"PATH": str(tmp_path)}
    for path, env, reason in (
        (truncated, {}, f"cannot read {truncated}: "),
        (f"{truncated}:ro", {}, f"cannot read {truncated}: "),
        (image, {}, f"the overlay {image} cannot be written to: permission denied"),
        (f"{image}:ro", no_programs, "fuse2fs is not installed"),
    ):
        done = cluster("exec", "--overlay", path, "box:1", "true", env=env)
        assert done.returncode in {125, 126, 127}
        assert reason in done.stderr.decode()
    assert cluster("exec", "--overlay", f"{image}:ro", "box:1", "true").returncode == 0


def test_a_mount_that_does_not_come_about_is_an_error(cluster, image, tmp_path):
    """fuse2fs succeeds all the same: what the container wrote would be in a bare directory."""
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "fuse2fs").symlink_to("/bin/true")
    env = {"PATH": f"{programs}:{os.environ['PATH']}"}
    done = cluster("exec", "--overlay", image, "box:1", "touch", "/new", env=env)
    assert done.returncode == 125
    assert f"cannot read {image}: " in done.stderr.decode()
    assert not list(cluster.cwd.parent.glob("**/rootless-mount-*"))


def test_a_place_that_fusermount_refuses_gives_way_to_another(cluster, image, tmp_path):
    message = "fusermount3: mounting over filesystem type 0x1 is forbidden"
    programs = tmp_path / "programs"
    programs.mkdir()
    fuse2fs = programs / "fuse2fs"
    fuse2fs.write_text(
        f'#!/bin/sh\ncase "$*" in */tmp/refused/*) echo "{message}" >&2; exit 0 ;; esac\n'
        f'exec {shutil.which("fuse2fs")} "$@"\n'
    )
    fuse2fs.chmod(0o755)
    refused = tmp_path / "tmp/refused"
    refused.mkdir(parents=True)
    env = {"PATH": f"{programs}:{os.environ['PATH']}", "TMPDIR": str(refused)}
    assert cluster("exec", "--overlay", image, "box:1", "touch", "/new", env=env).returncode == 0
    assert not list(refused.iterdir())
    cluster.text("exec", "--overlay", image, "box:1", "ls", "/new")


def test_kernel_overlayfs_is_refused(rootless, image):
    options = ("--rm", "--storage-driver", "overlay", "--overlay", image)
    done = rootless("run", *options, "box:1", "true")
    assert done.status == 125
    assert "is an image, which kernel overlayfs cannot write to" in done.stderr


def test_an_image_larger_than_the_disk_is_refused_before_anything_is_written(cluster):
    for options in ((), ("--sparse",)):
        done = cluster("overlay", "create", "--size", 1 << 40, *options, "huge.img")
        assert (done.returncode, done.stdout) == (1, b"")
        assert b"rootless: cannot write huge.img: its file system has no" in done.stderr
        assert not (cluster.cwd / "huge.img").exists()


def test_an_image_is_given_once(cluster, image):
    done = cluster("exec", "--overlay", f"{image},{image}:ro", "box:1", "true")
    assert done.returncode == 125
    assert f"the overlay {image} is given more than once" in done.stderr.decode()


def test_create_takes_no_name_that_is_there(cluster, image):
    (cluster.cwd / "directory").mkdir()
    for name, reason in (
        (image, "exists"),
        ("directory", "is a directory, which needs no image"),
        ("x.sif", "nothing is added to a SIF file"),
        ("no/such/x.img", "cannot write no/such/x.img: no such file or directory"),
    ):
        done = cluster("overlay", "create", name)
        assert (done.returncode, done.stdout) == (1, b"")
        assert reason in done.stderr.decode()
    assert not (cluster.cwd / "x.sif").exists()


@pytest.fixture
def made_by_others(tmp_path):
    """A function that makes an image of a directory."""

    def make(directory):
        path = tmp_path / "others.img"
        program = shutil.which("mkfs.ext3", path="/usr/sbin:/sbin:/usr/bin")
        subprocess.run([program, "-q", "-F", "-d", directory, path, "16M"], check=True)
        return path

    return make


@pytest.fixture
def victim(tmp_path):
    """A directory of the user's, to which what others have made leads."""
    path = tmp_path / "victim"
    path.mkdir()
    (path / "secret").write_text("secret\n")
    return path


@pytest.mark.parametrize("name", ["upper", "work"])
def test_an_image_does_not_lead_out_of_itself(cluster, made_by_others, victim, tmp_path, name):
    top = tmp_path / "top"
    top.mkdir()
    (top / name).symlink_to(victim)
    image = made_by_others(top)
    for path in (image, f"{image}:ro"):
        script = "cat /secret; echo x > /new"
        done = cluster("exec", "--overlay", path, "box:1", "sh", "-c", script)
        assert (done.returncode, done.stdout) == (125, b"")
        assert f"cannot read {image}: /{name} in it is not a directory" in done.stderr.decode()
    assert os.listdir(victim) == ["secret"]


@pytest.mark.parametrize("name", ["metadata", "attributes", "ending"])
def test_files_of_the_work_directory_do_not_lead_out_of_an_image(
    cluster, made_by_others, victim, tmp_path, name
):
    top = tmp_path / "top"
    (top / "upper").mkdir(parents=True)
    (top / "work").mkdir()
    target = "ending" if name == "ending" else "secret"
    (top / "work" / f"rootless.{name}").symlink_to(victim / target)
    image = made_by_others(top)
    for path in (image, f"{image}:ro"):
        script = "echo x >> /etc/group; chmod 600 /etc/passwd; rm /bin/tac"
        cluster("exec", "--overlay", path, "box:1", "sh", "-c", script)
    assert os.listdir(victim) == ["secret"]
    assert (victim / "secret").read_text() == "secret\n"


@pytest.mark.parametrize("name", ["upper", "work", ".lock"])
def test_a_directory_does_not_lead_out_of_itself(cluster, victim, tmp_path, name):
    top = tmp_path / "top"
    top.mkdir()
    (top / name).symlink_to(victim / "new" if name == ".lock" else victim)
    done = cluster("exec", "--overlay", top, "box:1", "sh", "-c", "cat /secret; echo x > /new")
    assert (done.returncode, done.stdout) == (125, b"")
    if name != ".lock":
        reason = f"the overlay {top} cannot be written to: {name} in it is not a directory"
        assert reason in done.stderr.decode()
    done = cluster("exec", "--overlay", f"{top}:ro", "box:1", "cat", "/secret")
    assert done.stdout == b""
    assert os.listdir(victim) == ["secret"]


@pytest.mark.needs("squashfs")
def test_the_overlay_in_a_sif_file_lies_over_its_image(cluster, image):
    """As `apptainer overlay create FILE.sif` puts one there."""
    script = "echo kept > /new; rm /bin/tac; echo over > /etc/group.new"
    cluster.text("exec", "--overlay", image, "box:1", "sh", "-c", script)
    cluster.text("pull", "-q", "box:1", "box.sqfs")
    parts = [
        Part((cluster.cwd / "box.sqfs").read_bytes()),
        Part(image.read_bytes(), file_system=EXT3, role=OVERLAY),
        Part(b"other", file_system=EXT3, role=DATA),
    ]
    write_sif(cluster.cwd / "both.sif", parts)
    cluster.text("build", "-q", "flat.sif", "./both.sif")
    for name in ("both.sif", "flat.sif"):
        for options in ((), ("--fakeroot",), ("--writable-tmpfs",)):
            shown = cluster.text("exec", *options, name, "sh", "-c", "cat /new; ls /bin/tac || :")
            assert shown == "kept\n"
    write_sif(cluster.cwd / "bad.sif", [parts[0], parts[1]._replace(data=b"no ext3" * 1000)])
    done = cluster("exec", "bad.sif", "true")
    assert done.returncode == 125
    assert b"cannot read " in done.stderr
