"""A machine that lacks something: one clear line, and what to do."""

import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.needs("userns", "fuse")

WITHOUT_FUSE = """
set -e
dev=$(mktemp -d)
mount -t tmpfs none "$dev"
for name in null zero full random urandom tty; do
    touch "$dev/$name"
    mount --bind "/dev/$name" "$dev/$name"
done
for file in /etc/subuid /etc/subgid; do
    [ ! -e "$file" ] || mount --bind /dev/null "$file"
done
mount --rbind "$dev" /dev
exec "$@"
"""

SEARCHING_IN = """
import runpy, sys
from rootless.runtime import idmap_writer
idmap_writer._SEARCH = sys.argv.pop(1)
runpy.run_module("rootless", run_name="__main__")
"""
"""The command where only a directory is searched for newuidmap: hidden in a user namespace of the test's own, it would not be
needed, as no subordinate id is there."""


def run_where(script, rootless):
    """`run` in a mount namespace of its own that `script` has changed."""
    return subprocess.run(
        [
            *("unshare", "--user", "--map-current-user", "--mount", "--keep-caps"),
            *("sh", "-c", script, "sh", sys.executable, "-m", "rootless"),
            *("run", "--rm", "--rootfs", "/", "true"),
        ],
        env=rootless.env,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_run_without_dev_fuse_says_so(rootless):
    result = run_where(WITHOUT_FUSE, rootless)
    assert (result.returncode, result.stdout) == (125, "")
    error, hint = result.stderr.splitlines()
    assert "/dev/fuse" in error
    assert "no such file or directory" in error
    assert hint == "hint: FUSE is not there: ask for modprobe fuse"


@pytest.mark.needs("subuid")
def test_run_without_newuidmap_says_what_to_install(rootless, tmp_path):
    result = subprocess.run(
        [sys.executable, "-c", SEARCHING_IN, tmp_path, "run", "--rm", "--rootfs", "/", "true"],
        env=rootless.env,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (result.returncode, result.stdout) == (125, "")
    error, hint = result.stderr.splitlines()
    assert error == "rootless: newuidmap is not installed"
    assert hint.startswith("hint: install the package uidmap")


def test_missing_source_of_a_volume_is_made(rootless, tmp_path):
    missing = tmp_path / "not" / "there"
    rootless("run", "--rm", "-v", f"{missing}:/mnt", "--rootfs", "/", "touch", "/mnt/f").ok()
    assert os.listdir(missing) == ["f"]


def test_missing_source_of_a_mount_is_refused(rootless, tmp_path):
    missing = tmp_path / "there"
    result = rootless(
        *("run", "--rm", "--mount", f"type=bind,source={missing},target=/mnt"),
        *("--rootfs", "/", "true"),
    )
    assert result.status == 125
    assert f"bind source path does not exist: {missing}" in result.stderr
    assert not missing.exists()
