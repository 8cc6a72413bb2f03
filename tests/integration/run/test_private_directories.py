"""A directory that another user made, or can write to, is not taken for the engine's."""

from __future__ import annotations

import os
import subprocess

import pytest

ENTER = ["unshare", "--user", "--map-auto", "--map-root-user"]
pytestmark = pytest.mark.needs("userns", "fuse", "busybox", "subuid")
OPTIONS = {"--runroot": "ROOTLESS_RUNROOT", "--root": "ROOTLESS_ROOT"}


def another_users(path: str, kind: str) -> None:
    """A directory, link or file of one of the account's subordinate ids."""
    make = {
        "directory": 'mkdir -m 777 "$0"',
        "link": 'mkdir -m 777 "$0.target"; ln -s "$0.target" "$0"',
        "file": 'echo content >"$0"',
    }[kind]
    script = f'{make}; chown -h 7:7 "$0"'
    subprocess.run([*ENTER, "sh", "-c", script, path], check=True, capture_output=True)


@pytest.mark.parametrize("kind", ["directory", "link", "file"])
@pytest.mark.parametrize("option", OPTIONS)
def test_directory_of_another_user_is_refused(box, tmp_path, kind, option):
    path = str(tmp_path / "taken")
    another_users(path, kind)
    try:
        result = box(option, path, "run", "--rm", "box:1", "true")
        assert result.status == 125
        first, hint = result.stderr.splitlines()
        assert first.startswith(
            f"rootless: the directory {path} cannot be used: it belongs to another user"
        )
        assert hint == f"hint: remove it, or set {OPTIONS[option]} to a directory of your own"
        if kind != "file":
            assert os.listdir(path) == []
    finally:
        subprocess.run([*ENTER, "sh", "-c", 'rm -rf "$0" "$0.target"', path], check=True)


@pytest.mark.parametrize("option", OPTIONS)
def test_directory_that_every_user_can_write_to_is_refused(box, tmp_path, option):
    path = tmp_path / "open"
    path.mkdir()
    path.chmod(0o777)
    result = box(option, path, "run", "--rm", "box:1", "true")
    assert result.status == 125
    assert "every user can write to it (mode 0777)" in result.stderr


@pytest.mark.parametrize("umask", [0o000, 0o077])
def test_directories_are_private_whatever_the_umask(rootless, busybox_image, tmp_path, umask):
    own = ("--root", tmp_path / "a/store", "--runroot", tmp_path / "a/run")
    before = os.umask(umask)
    try:
        rootless(*own, "import", busybox_image, "box:1").ok()
        rootless(*own, "run", "box:1", "true").ok()
    finally:
        os.umask(before)
    for path in (
        "a",
        "a/run",
        "a/run/containers",
        "a/store",
        "a/store/layers",
        "a/store/containers",
    ):
        assert oct((tmp_path / path).stat().st_mode & 0o777) == "0o700", path


def test_link_of_ones_own_leads_to_the_store(rootless, busybox_image, tmp_path):
    """A store that was moved to another disk."""
    (tmp_path / "disk").mkdir()
    (tmp_path / "link").symlink_to("disk")
    rootless("--root", tmp_path / "link", "import", busybox_image, "box:1").ok()
    result = rootless("--root", tmp_path / "link", "run", "--rm", "box:1", "echo", "in").ok()
    assert result.stdout == "in\n"
