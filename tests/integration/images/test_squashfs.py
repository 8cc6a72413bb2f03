"""A squashfs image under a container, in place."""

import subprocess
import tarfile

import pytest

from tests.support.images import add_file

pytestmark = pytest.mark.needs("userns", "fuse", "busybox", "squashfs")


@pytest.fixture
def mounted(busybox_image, tmp_path):
    """A directory where squashfuse shows the image."""
    path = tmp_path / "rootfs.tar"
    path.write_bytes(busybox_image.read_bytes())
    with tarfile.open(path, "a") as archive:
        add_file(archive, "etc/owned", b"x", 0o640, uid=33, gid=44)
    image, place = tmp_path / "image.sqsh", tmp_path / "mounted"
    place.mkdir()
    with path.open("rb") as source:
        argv = ["mksquashfs", "-", image, "-tar", "-quiet", "-no-progress"]
        subprocess.run(argv, stdin=source, check=True, capture_output=True, timeout=60)
    subprocess.run(["squashfuse", image, place], check=True, timeout=60)
    try:
        yield place
    finally:
        subprocess.run(["fusermount3", "-u", "-z", place], check=True, timeout=60)


def test_container_over_squashfs_writes_to_its_own_layer(rootless, mounted):
    script = "stat -c '%u %g %a' /etc/owned; echo y > /etc/new; rm /etc/group"
    done = rootless("run", "--name", "one", "--rootfs", mounted, "sh", "-c", script).ok()
    assert done.stdout in ("33 44 640\n", "0 0 640\n")  # one id has no 33 to show
    assert rootless("diff", "one").ok().stdout == "C /etc\nD /etc/group\nA /etc/new\n"
    assert (mounted / "etc/group").exists()
