"""A store on a disk that lacks what others have, as homes on NFS and Lustre do: containers, images and
volumes are what they are anywhere else.
"""

from __future__ import annotations

import io
import tarfile

import pytest

from tests.support.plain_disk import FEATURES, plain_disk
from tests.support.waiting import wait_until

pytestmark = pytest.mark.needs("userns", "fuse", "fusermount", "busybox")

CHANGES = """
set -e
chown 1:2 /etc/passwd; chmod 4755 /etc/passwd; ln /etc/passwd /etc/other
chown 3:4 /sub; mkdir /sub/d; mkfifo /pipe; chown 5:6 /pipe
ln -s a /link; chown -h 7:8 /link
rm /gone; rm -r /tree; mkdir /tree; touch /tree/new; touch -d 2020-01-01 /tree/new
mv /move /moved
"""
LIST = """
stat -c '%a %u:%g %h %F %n' /etc/passwd /etc/other /sub /sub/d /pipe /link /moved/f
ls /tree /moved
test ! -e /gone; test ! -e /move
"""
EXPECTED = """\
4755 1:2 2 regular file /etc/passwd
4755 1:2 2 regular file /etc/other
755 3:4 3 directory /sub
755 0:0 2 directory /sub/d
644 5:6 1 fifo /pipe
777 7:8 1 symbolic link /link
644 0:0 1 regular file /moved/f
/moved:
f

/tree:
new
"""


@pytest.fixture(scope="module")
def image(busybox_image, tmp_path_factory):
    path = tmp_path_factory.mktemp("plain") / "image.tar"
    path.write_bytes(busybox_image.read_bytes())
    with tarfile.open(path, "a") as tar:
        for name in ("etc/passwd", "gone", "tree/old", "move/f"):
            member = tarfile.TarInfo(name)
            member.size = 4
            tar.addfile(member, io.BytesIO(b"old\n"))
        directory = tarfile.TarInfo("sub")
        directory.type, directory.mode = tarfile.DIRTYPE, 0o755
        tar.addfile(directory)
    return path


@pytest.mark.parametrize("missing", [(each,) for each in FEATURES] + [FEATURES], ids="+".join)
@pytest.mark.needs("subuid")
def test_container_keeps_what_it_wrote(rootless, image, tmp_path, missing):
    with plain_disk(tmp_path, *missing) as disk:
        on_disk = ("--root", f"{disk}/store")

        def run(*arguments):
            return rootless(*on_disk, *arguments).ok()

        run("import", image, "box:1")
        run("run", "--name", "changed", "box:1", "sh", "-c", CHANGES)
        run("commit", "changed", "box:2")
        assert run("run", "--rm", "box:2", "sh", "-c", LIST).stdout == EXPECTED
        run("run", "--rm", "-v", "data:/sub", "box:1", "sh", "-c", "touch /sub/f; chown 9:9 /sub/f")
        seen = run("run", "--rm", "-v", "data:/v", "box:1", "stat", "-c", "%u:%g", "/v/f")
        assert seen.stdout == "9:9\n"
        run("export", "-o", tmp_path / "out.tar", "changed")
        with tarfile.open(tmp_path / "out.tar") as tar:
            member = tar.getmember("etc/passwd")
            assert (member.mode, member.uid, member.gid) == (0o4755, 1, 2)
        assert "D /gone\n" in run("diff", "changed").stdout
        run("system", "check")
        run("rm", "changed")
        run("volume", "rm", "data")
        run("system", "prune", "-af")


@pytest.mark.parametrize(
    "missing", [("attributes",), ("locks",), ("exchange", "whiteout"), FEATURES], ids="+".join
)
@pytest.mark.needs("subuid")
def test_images_are_built_saved_loaded_and_run_in_the_background(
    rootless, image, tmp_path, missing
):
    (tmp_path / "Dockerfile").write_text(
        "FROM box:1\nCOPY Dockerfile /copied\nRUN chown 1:2 /copied && rm /gone && mv /move /moved\n"
        "RUN rm -r /tree && mkdir /tree && touch /tree/new\n"
    )
    with plain_disk(tmp_path, *missing) as disk:
        on_disk = ("--root", f"{disk}/store")

        def run(*arguments):
            return rootless(*on_disk, *arguments, timeout=120).ok()

        run("import", image, "box:1")
        run("build", "-t", "built", tmp_path)
        run("save", "-o", tmp_path / "built.tar", "built")
        run("rmi", "built")
        run("load", "-i", tmp_path / "built.tar")
        script = "stat -c %u:%g /copied; ls /tree /moved; test ! -e /gone; exec sleep 1000"
        run("run", "-d", "--name", "c1", "built", "sh", "-c", script)
        wait_until(lambda: run("logs", "c1").stdout == "1:2\n/moved:\nf\n\n/tree:\nnew\n")
        run("exec", "c1", "touch", "/late")
        run("restart", "-t", "0", "c1")
        assert "A /late\n" in run("diff", "c1").stdout
        run("rm", "-f", "c1")
        run("run", "--rm", "--writable-tmpfs", "built", "touch", "/x")
        run("system", "prune", "-af")


def test_second_server_of_a_layer_is_refused_without_locks(rootless, image, tmp_path):
    with plain_disk(tmp_path, "locks") as disk:
        on_disk = ("--root", f"{disk}/store")
        rootless(*on_disk, "import", image, "box:1").ok()
        (disk / "kept").mkdir()
        options = ("--overlay", disk / "kept", "box:1", "sleep", "1000")
        rootless(*on_disk, "run", "-d", "--name", "c1", *options).ok()
        refused = rootless(*on_disk, "run", "--rm", *options)
        assert "is in use by another container" in refused.stderr
        rootless(*on_disk, "rm", "-f", "c1").ok()
        told = rootless(*on_disk, "doctor").ok().stdout
        assert "it has no locks: change it from one machine at a time" in told


def test_doctor_and_info_tell_where_attributes_are(rootless, tmp_path):
    with plain_disk(tmp_path, "attributes") as disk:
        told = rootless("--root", f"{disk}/store", "doctor").ok().stdout
        assert "no user extended attributes: an index holds owners and modes" in told
        told = rootless("--root", f"{disk}/store", "info", "-f", "{{.DriverStatus}}").ok().stdout
        assert "[userxattr false]" in told
    assert "[userxattr true]" in rootless("info", "-f", "{{.DriverStatus}}").ok().stdout
