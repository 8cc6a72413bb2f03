"""commit, export and diff of a container on kernel overlayfs are those of the same one on the union."""

import json
import tarfile

import pytest

from tests.support import probes

pytestmark = pytest.mark.needs("userns", "fuse", "busybox", "overlay")

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
rm -rf /home
mkdir /home
echo only > /home/this
chmod 700 /root
echo group >> /etc/group
"""
OWNERS = "chown 1000:1000 /made/second; chown 7:8 /home; chmod 700 /home\n"
MOUNTED = {"etc/hosts", "etc/hostname", "etc/resolv.conf"}


@pytest.fixture
def pair(rootless, busybox_image):
    """The same container twice: `ours` on the union, `kernels` on overlayfs."""
    rootless("import", busybox_image, "box:1").ok()
    script = CHANGES + (OWNERS if probes.lacking("subuid") is None else "")
    for name, driver in (("ours", "unionfs"), ("kernels", "overlay")):
        options = ("--name", name, "--storage-driver", driver)
        rootless("run", *options, "box:1", "sh", "-c", script).ok()
    return rootless


def members(path):
    found = {}
    with tarfile.open(path) as archive:
        for member in archive:
            name = member.name.removeprefix("./").rstrip("/")
            if name in MOUNTED or not name:
                continue
            content = archive.extractfile(member).read() if member.isreg() else b""
            row = (member.type, oct(member.mode), member.uid, member.gid, member.linkname, content)
            found[name] = row
    return found


def test_diff_is_the_same(pair):
    ours, kernels = (pair("diff", name).ok().stdout for name in ("ours", "kernels"))
    assert kernels == ours
    assert "C /etc/group" in kernels.splitlines()
    assert "D /etc/passwd" in kernels.splitlines()


def test_export_is_the_same(pair, tmp_path):
    found = {}
    for name in ("ours", "kernels"):
        pair("export", "-o", tmp_path / name, name).ok()
        found[name] = members(tmp_path / name)
    assert found["kernels"] == found["ours"]


def test_commit_makes_the_same_image(pair, tmp_path):
    found = {}
    for name in ("ours", "kernels"):
        pair("commit", name, f"{name}:1").ok()
        pair("run", "--name", f"{name}-again", f"{name}:1", "true").ok()
        pair("export", "-o", tmp_path / name, f"{name}-again").ok()
        found[name] = members(tmp_path / name)
    assert found["kernels"] == found["ours"]
    (document,) = json.loads(pair("inspect", "kernels").ok().stdout)
    assert document["Driver"] == "overlay"


def test_running_container_is_committed_whole(pair):
    script = "echo fresh > /fresh; echo up; sleep 1000"
    options = ("--name", "live", "--storage-driver", "overlay")
    with pair.popen("run", *options, "box:1", "sh", "-c", script) as running:
        try:
            assert running.stdout.readline() == b"up\n"
            pair("commit", "live", "live:1").ok()
        finally:
            running.kill()
    assert pair("run", "--rm", "live:1", "cat", "/fresh").ok().stdout == "fresh\n"
