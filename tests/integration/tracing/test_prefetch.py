"""`run --prefetch`: what a list names is in memory although the container has not read it."""

import os
import subprocess
import tarfile

import pytest

from tests.support.waiting import wait_until

pytestmark = pytest.mark.needs("userns", "fuse")

SIZE = 1_000_000


@pytest.fixture
def layer(rootless, busybox_image, tmp_path):
    """The archive of the image box:1, which has /large and /other, and is in no cache."""
    archive = tmp_path / "image.tar"
    archive.write_bytes(busybox_image.read_bytes())
    (tmp_path / "large").write_bytes(os.urandom(SIZE))
    with tarfile.open(archive, "a") as tar:
        for name in ("large", "other"):
            tar.add(tmp_path / "large", name)
    rootless("import", archive, "box:1").ok()
    (layer,) = (rootless.data / "rootless/layers").glob("*/layer.tar")
    forget(layer)
    if cached(layer, place_of(layer, "large")):
        pytest.skip("the file system keeps all of its files in memory")
    return layer


def forget(file):
    descriptor = os.open(file, os.O_RDONLY)
    os.fsync(descriptor)
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(descriptor)


def place_of(archive, name):
    """The middle of a member: what is read ahead of its neighbours does not reach it."""
    with tarfile.open(archive) as tar:
        place = tar.getmember(name).offset_data + SIZE // 2
    forget(archive)
    return place


def cached(file, place):
    """Whether a byte can be read without a disk (preadv2(2), RWF_NOWAIT)."""
    descriptor = os.open(file, os.O_RDONLY)
    try:
        return os.preadv(descriptor, [bytearray(1)], place, os.RWF_NOWAIT) == 1
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)


def test_listed_file_is_read_ahead_and_another_is_not(rootless, layer, tmp_path):
    large, other = (place_of(layer, name) for name in ("large", "other"))
    (tmp_path / "list").write_text("/none\n/bin\n/large\n")
    rootless("run", "--rm", "--prefetch", tmp_path / "list", "box:1", "true").ok()
    wait_until(lambda: cached(layer, large))
    assert not cached(layer, other)


def test_trace_of_one_run_is_read_ahead_for_the_next(rootless, layer, tmp_path):
    large = place_of(layer, "large")
    trace = tmp_path / "trace.json"
    rootless("run", "--rm", f"--trace={trace}", "box:1", "sh", "-c", "cat /large > /dev/null").ok()
    # Pages that the file server has sent are in use until it has ended.
    wait_until(lambda: forget(layer) or not cached(layer, large))
    rootless("run", "--rm", "--prefetch", trace, "box:1", "true").ok()
    wait_until(lambda: cached(layer, large))


def test_container_that_is_started_again_reads_its_list_again(rootless, layer, tmp_path):
    large = place_of(layer, "large")
    (tmp_path / "list").write_bytes(b"/large\0")
    rootless("create", "--name", "one", "--prefetch", tmp_path / "list", "box:1", "true").ok()
    for _ in range(2):
        rootless("start", "-a", "one").ok()
        wait_until(lambda: cached(layer, large))
        forget(layer)
    (tmp_path / "list").unlink()
    rootless("start", "-a", "one").ok()


def test_directory_as_root_file_system(rootless, busybox_image, tmp_path):
    root = tmp_path / "root"
    root.mkdir()
    subprocess.run(["tar", "-xf", busybox_image, "-C", root], check=True)
    (root / "large").write_bytes(os.urandom(SIZE))
    forget(root / "large")
    if cached(root / "large", SIZE // 2):
        pytest.skip("the file system keeps all of its files in memory")
    (tmp_path / "list").write_text("/large")
    words = ("run", "--rm", "--prefetch", tmp_path / "list", "--rootfs", root)
    rootless(*words, "true").ok()
    wait_until(lambda: cached(root / "large", SIZE // 2))


def test_refusals(rootless, layer, tmp_path):
    missing = rootless("run", "--rm", "--prefetch", tmp_path / "none", "box:1", "true")
    assert (missing.status, "No such file" in missing.stderr) == (125, True)
    for text in ("etc/passwd\n", '{"format": 1}', '{"format": 9}'):
        (tmp_path / "list").write_text(text)
        assert rootless("run", "--prefetch", tmp_path / "list", "box:1", "true").status == 125
