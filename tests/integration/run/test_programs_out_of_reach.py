"""A process of the engine that joins a container shows it no program of the host (CVE-2019-5736)."""

import pytest

from tests.support.waiting import wait_until

pytestmark = pytest.mark.needs("userns", "fuse", "busybox")

WATCH = """
echo up >/w/up
while ! test -e /w/stop; do
    for e in /proc/[0-9]*/exe; do readlink $e; done
done | sort -u
"""


def test_process_that_has_files_written_out_is_not_to_be_opened(rootless, busybox_image, tmp_path):
    """`diff` and `commit` send one into the container, where `--pid host` lets it be seen."""
    rootless("import", busybox_image, "box:1").ok()
    options = ("--name", "watcher", "--pid", "host", "--privileged", "-v", f"{tmp_path}:/w")
    process = rootless.popen("run", *options, "box:1", "sh", "-c", WATCH)
    wait_until((tmp_path / "up").exists, alive=process)
    for _ in range(10):
        rootless("diff", "watcher").ok()
    (tmp_path / "stop").touch()
    seen, _ = process.communicate(timeout=120)
    assert set(seen.decode().split()) <= {"/bin/sh", "/bin/busybox"}
