"""commit, export and diff of containers: the image is what the container was, to us and to others."""

import contextlib
import io
import json
import os
import shutil
import subprocess
import tarfile
import time
from pathlib import Path

import pytest

from tests.support.command import run_command
from tests.support.images import add_file
from tests.support.rootless import remove_tree, short_directory
from tests.support.waiting import wait_until

pytestmark = pytest.mark.needs("userns", "fuse", "busybox")

CHANGES = """
set -e
echo new > /etc/new
rm /etc/passwd
mkdir -p /made/deep
echo x > /made/deep/file
ln /made/deep/file /made/second
chmod 4751 /made/second
ln -s ../etc/new /made/link
mkfifo /made/pipe
mv /tree /moved
echo inside > /moved/added
rm /moved/sub/gone
rm -rf /opaque
mkdir /opaque
echo only > /opaque/this
dd if=/dev/zero of=/made/sparse bs=1 count=1 seek=3000000 2>/dev/null
chmod 700 /root
echo changed >> /links/a
touch -d '1969-12-31 00:00:01' /made/old
printf '\\0\\377' > "/made/$(printf 'odd\\377name')"
"""
MOUNTED = {"dev", "proc", "sys", "etc/hosts", "etc/hostname", "etc/resolv.conf"}


@pytest.fixture
def box(rootless, busybox_image, tmp_path):
    """An image with a tree to move, a directory to replace and a file of two names."""
    path = tmp_path / "rootfs.tar"
    path.write_bytes(busybox_image.read_bytes())
    with tarfile.open(path, "a") as archive:
        for name in ("tree", "tree/sub", "opaque", "links"):
            info = tarfile.TarInfo(name)
            info.type, info.mode = tarfile.DIRTYPE, 0o755
            archive.addfile(info)
        for name in ("tree/file", "tree/sub/gone", "tree/sub/stays", "opaque/hidden", "links/a"):
            add_file(archive, name, name.encode())
        link = tarfile.TarInfo("links/b")
        link.type, link.linkname = tarfile.LNKTYPE, "links/a"
        archive.addfile(link)
    rootless("import", "-c", 'CMD ["sh"]', path, "box:1").ok()
    return rootless


def members(archive):
    """What an archive says of each name, contents included, times of directories apart. Links of a
    file are told by their group."""
    found = {}
    groups = {}
    for member in archive:
        name = member.name.removeprefix("./").rstrip("/")
        if name in MOUNTED or name in (".", ""):
            continue
        if member.islnk():
            target = member.linkname.removeprefix("./")
            groups[name] = groups.get(target, target)
            found[name] = found[groups[name]]
            continue
        content = archive.extractfile(member).read() if member.isreg() else b""
        found[name] = (
            member.type,
            member.mode,
            member.uid,
            member.gid,
            member.linkname,
            None if member.isdir() else member.mtime,
            {k: v for k, v in member.pax_headers.items() if k.startswith("SCHILY.xattr")},
            content,
        )
    links = {}
    for name, first in groups.items():
        links.setdefault(first, set()).update({first, name})
    return found, sorted(map(sorted, links.values()))


def files_of(rootless, container, tmp_path):
    path = tmp_path / f"{container}.tar"
    rootless("export", "-o", path, container).ok()
    with tarfile.open(path) as archive:
        return members(archive)


def newest_layer(rootless, image):
    """The layer on top, as an archive."""
    (document,) = json.loads(rootless("inspect", image).ok().stdout)
    path = document["GraphDriver"]["Data"]["LowerDir"].split(":")[0]
    return tarfile.open(path)


def test_committed_image_has_the_files_of_the_container(box, tmp_path):
    box("run", "--name", "one", "box:1", "sh", "-c", CHANGES).ok()
    box("commit", "one", "box:2").ok()
    box("run", "--name", "two", "box:2", "true").ok()
    before, after = files_of(box, "one", tmp_path), files_of(box, "two", tmp_path)
    assert before[0] == after[0]
    assert before[1] == after[1]
    assert before[0]["moved/added"][-1] == b"inside\n"
    assert before[0]["links/b"][-1] == b"links/achanged\n"
    assert "opaque/hidden" not in after[0]
    assert after[0]["made/second"][1] == 0o4751
    assert box("diff", "two").ok().stdout == ""


@pytest.mark.needs("subuid")
def test_owners_are_those_that_the_container_saw(box, tmp_path):
    script = "mkdir /mine; echo x > /mine/file; ln -s x /mine/link; chown -hR 1000:50 /mine"
    box("run", "--name", "one", "box:1", "sh", "-c", script).ok()
    box("commit", "one", "box:2").ok()
    with newest_layer(box, "box:2") as layer:
        owners = {member.name: (member.uid, member.gid) for member in layer}
    assert owners == dict.fromkeys(["mine", "mine/file", "mine/link"], (1000, 50))


def test_layer_says_the_change_and_nothing_else(box):
    script = "rm /etc/passwd; echo x >> /links/a; mv /tree/sub /tree/bus"
    box("run", "--name", "one", "box:1", "sh", "-c", script).ok()
    box("commit", "one", "box:2").ok()
    with newest_layer(box, "box:2") as layer:
        names = layer.getnames()
    assert names == [
        "etc",
        "etc/.wh.passwd",
        "links",
        "links/a",
        "links/b",
        "tree",
        "tree/bus",
        "tree/bus/gone",
        "tree/bus/stays",
        "tree/.wh.sub",
    ]


def test_diff_is_dockers(box):
    script = "rm /etc/passwd; mkdir /d; echo x > /d/f; chmod 600 /etc/group; mv /opaque /other"
    box("run", "--name", "one", "box:1", "sh", "-c", script).ok()
    assert box("diff", "one").ok().stdout.splitlines() == [
        "A /d",
        "A /d/f",
        "C /etc",
        "C /etc/group",
        "D /etc/passwd",
        "D /opaque",
        "A /other",
        "A /other/hidden",
    ]


def test_what_the_engine_makes_is_not_a_change(box, tmp_path):
    (tmp_path / "volume").mkdir()
    volume = f"{tmp_path}/volume:/brand/new/place"
    box("run", "--name", "one", "-v", volume, "box:1", "sh", "-c", "echo x > /brand/new/place/f")
    assert box("diff", "one").ok().stdout == ""
    box("commit", "one", "box:2").ok()
    with newest_layer(box, "box:2") as layer:
        assert layer.getnames() == []


def test_config_is_the_containers(box):
    options = ["-e", "B=2", "-w", "/tmp", "-u", "0:0", "-l", "seen=yes"]
    box("run", "--name", "one", *options, "box:1", "sh", "-c", "true").ok()
    box("commit", "-a", "me", "-m", "why", "-c", "ENV A=1", "-c", "EXPOSE 80", "one", "box:2").ok()
    (document,) = json.loads(box("inspect", "box:2").ok().stdout)
    config = document["Config"]
    assert config["Cmd"] == ["sh", "-c", "true"]
    assert config["Env"][-2:] == ["B=2", "A=1"]
    assert not any(entry.startswith(("HOSTNAME=", "TERM=")) for entry in config["Env"])
    assert config["WorkingDir"] == "/tmp"
    assert config["Labels"] == {"seen": "yes"}
    assert config["ExposedPorts"] == {"80/tcp": {}}
    assert (document["Author"], document["Comment"]) == ("me", "why")


def test_equal_changes_are_equal_images_at_a_given_time(box):
    def commit(name):
        box("run", "--name", name, "box:1", "sh", "-c", CHANGES).ok()
        env = box.env | {"SOURCE_DATE_EPOCH": "1700000000"}
        process = box.popen("commit", name, env=env)
        out, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
        return out

    first = commit("one")
    assert commit("two") == first


def test_running_container_is_committed_as_it_is_and_goes_on(box, tmp_path):
    script = (
        "exec 3> /tmp/open; echo written >&3; echo ready; read line; "
        "echo more >&3; exec 3>&-; cat /tmp/open"
    )
    process = box.popen("run", "-i", "--name", "one", "box:1", "sh", "-c", script)
    assert process.stdout.readline() == b"ready\n"
    box("commit", "one", "box:2").ok()
    box("commit", "--pause=false", "one", "box:3").ok()
    out, err = process.communicate(b"go\n", timeout=120)
    assert (process.returncode, out) == (0, b"written\nmore\n"), err
    for image in ("box:2", "box:3"):
        assert box("run", "--rm", image, "cat", "/tmp/open").ok().stdout == "written\n"


def states(pids: list[int]) -> str:
    """R, S, T … of each (proc_pid_stat(5)); nothing of one that is gone."""
    found = ""
    for pid in pids:
        with contextlib.suppress(OSError):
            found += Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0]
    return found


def test_container_goes_on_when_the_commit_that_holds_it_is_killed(box):
    script = (
        "dd if=/dev/urandom of=/tmp/much bs=1M count=60 2>/dev/null; echo ready; "
        "while :; do sleep 0.01; done"
    )
    process = box.popen("run", "--name", "one", "box:1", "sh", "-c", script)
    assert process.stdout.readline() == b"ready\n"
    pid = int(box("inspect", "-f", "{{.State.Pid}}", "one").ok().stdout)
    commit = box.popen("commit", "one", "box:2")
    deadline = time.monotonic() + 120
    while states([pid]) != "T":
        assert commit.poll() is None, "it was never seen to be still"
        assert time.monotonic() < deadline
    commit.kill()
    commit.wait()
    wait_until(lambda: states([pid]) != "T")
    box("commit", "one", "box:3").ok()
    process.terminate()
    process.communicate(timeout=120)


def test_container_of_a_directory_is_exported_and_not_committed(rootless, tmp_path):
    root = tmp_path / "root"
    (root / "bin").mkdir(parents=True)
    shutil.copy(shutil.which("busybox"), root / "bin/sh")
    rootless("run", "--name", "one", "--rootfs", root, "/bin/sh", "-c", "echo x > /bin/new").ok()
    refused = rootless("commit", "one", "x:1")
    assert refused.status == 1
    assert "export" in refused.stderr
    files, _ = files_of(rootless, "one", tmp_path)
    assert files["bin/new"][-1] == b"x\n"
    assert rootless("diff", "one").ok().stdout == "C /bin\nA /bin/new\n"


@pytest.mark.needs("umoci", "skopeo")
def test_others_unpack_a_commit_to_the_same_files(box, tmp_path):
    box("run", "--name", "one", "box:1", "sh", "-c", CHANGES).ok()
    box("commit", "one", "box:2").ok()
    box("save", "--format", "oci-dir", "-o", tmp_path / "oci", "box:2").ok()
    subprocess.run(
        [
            "umoci",
            "unpack",
            "--rootless",
            "--image",
            f"{tmp_path}/oci:docker.io/library/box:2",
            "u",
        ],
        cwd=tmp_path,
        check=True,
        capture_output=True,
        timeout=120,
    )
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.add(tmp_path / "u/rootfs", ".", filter=lambda each: each)
    buffer.seek(0)
    with tarfile.open(fileobj=buffer) as archive:
        theirs, _ = members(archive)
    ours, _ = files_of(box, "one", tmp_path)

    def shape(files):
        # An ordinary user cannot have other owners or devices on disk.
        return {name: (each[0], each[4], each[7]) for name, each in files.items()}

    assert shape(theirs) == shape(ours)


@pytest.mark.needs("buildah", "subuid")
@pytest.mark.parametrize("form", ["oci-archive", "docker-archive"])
def test_buildah_sees_the_owners_and_modes_of_a_commit(box, tmp_path, form):
    box("run", "--name", "one", "box:1", "sh", "-c", CHANGES + "chown -h 1000:50 /made/*").ok()
    box("commit", "one", "box:2").ok()
    box("save", "--format", form, "-o", tmp_path / "saved", "box:2").ok()
    listing = "find . -xdev ! -path './[dps][ery][vos]*' ! -path './etc/[hr][oe]*' "
    listing += "-exec stat -c '%n %f %u %g %s %h' {} + | LC_ALL=C sort"
    ours = box("run", "--rm", "box:2", "sh", "-c", f"cd /; {listing}").ok().stdout
    home = short_directory()
    buildah = f"buildah --root {home}/root --runroot {home}/run --storage-driver vfs"
    script = f"set -e; name=$({buildah} from {form}:{tmp_path}/saved); "
    script += f"cd $({buildah} mount $name); {listing}"
    env = os.environ | {"HOME": str(home), "XDG_RUNTIME_DIR": str(home), "TMPDIR": str(home)}
    try:
        theirs = run_command(["buildah", "unshare", "sh", "-c", script], env=env, timeout=120)
        assert len(files_in(ours)) > 250
        assert files_in(theirs.ok().stdout) == files_in(ours)
    finally:
        remove_tree(home)


def files_in(listing):
    """Lines of what is not a directory, whose size and links are each file system's own."""
    return [
        line for line in listing.splitlines() if int(line.split()[-5], 16) & 0o170000 != 0o40000
    ]


def test_sparse_file_without_room_is_refused_before_anything_is_written(box, tmp_path):
    script = "dd if=/dev/zero of=/big bs=1 count=1 seek=16000000000000 2>/dev/null"
    box("run", "--name", "one", "box:1", "sh", "-c", script).ok()
    before = sorted(box.data.rglob("*"))
    for words in (("commit", "one", "box:2"), ("export", "-o", tmp_path / "out", "one")):
        result = box(*words)
        assert result.status == 1
        assert result.stderr.startswith(
            "rootless: no space left for the archive: the files have 16"
        )
        assert len(result.stderr.splitlines()) == 2
    assert not (tmp_path / "out").exists()
    assert sorted(box.data.rglob("*")) == before


def test_path_in_a_change_is_that_of_the_container(box):
    """Docker writes "/opt/bin:" where the image has no PATH, and no command is found in the new one."""
    box("run", "--name", "one", "box:1", "true").ok()
    box("commit", "-c", "ENV PATH=/opt/bin:$PATH", "one", "box:2").ok()
    assert (
        box("run", "--rm", "box:2", "sh", "-c", "echo $PATH")
        .ok()
        .stdout.startswith("/opt/bin:/usr")
    )
    box("commit", "one", "box:3").ok()
    assert "PATH=" not in box("inspect", "-f", "{{.Config.Env}}", "box:3").ok().stdout
