"""fsync(2) in a container: honoured where the writable layer is kept, without effect where it is
removed with the container. Seen on a disk whose fsync fails.
"""

import pytest

from tests.support.faulty import faulty_disk

pytestmark = pytest.mark.needs("userns", "fuse", "fusermount", "busybox")

SCRIPT = "echo written; read go; dd if=/dev/zero of=/f count=1 conv=fsync 2>&1 | head -1; read go"


def synced(rootless, image, directory, *options) -> bool:
    """Whether fsync succeeds in a container while the disk of the store fails it."""
    with faulty_disk(directory) as disk:
        root = ("--root", f"{disk.path}/store")
        rootless(*root, "import", image, "box:1").ok()
        process = rootless.popen(*root, "run", "-i", *options, "box:1", "sh", "-c", SCRIPT)
        assert process.stdout.readline() == b"written\n"
        disk.fails(fsync="EIO")
        process.stdin.write(b"\n")
        process.stdin.flush()
        line = process.stdout.readline()
        disk.fails()
        process.communicate(b"\n", timeout=120)
        is_synced = b"records in" in line
        assert is_synced or b"Input/output error" in line
        return is_synced


@pytest.fixture
def disk_directory(tmp_path):
    for name in ("files", "work"):
        (tmp_path / name).mkdir()
    return tmp_path


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (("--rm",), True),
        (("--rm", "--storage-opt", "sync=auto"), True),
        (("--rm", "--storage-opt", "sync=always"), False),
        ((), False),
    ],
)
def test_fsync_costs_nothing_where_the_writable_layer_is_removed(
    rootless, busybox_image, disk_directory, options, expected
):
    assert synced(rootless, busybox_image, disk_directory, *options) is expected
