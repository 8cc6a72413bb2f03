"""Images of a store that is only read, as a site puts them on a file system that all nodes see."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

pytestmark = pytest.mark.needs("userns", "fuse", "busybox")


@pytest.fixture
def site(rootless, busybox_image, tmp_path):
    """A store with three images in which nothing can be written, and what is in it."""
    place = tmp_path / "site"
    root = ("--root", str(place))
    rootless(*root, "import", busybox_image, "site:1").ok()
    rootless(*root, "run", "--name", "changed", "site:1", "touch", "/of-the-site").ok()
    rootless(*root, "commit", "changed", "site:2").ok()
    rootless(*root, "run", "--rm", "site:2", "true").ok()
    rootless(*root, "rm", "changed").ok()
    shutil.rmtree(place / "containers")
    protect(place, read_only=True)
    yield place
    protect(place, read_only=False)


def protect(place: Path, *, read_only: bool) -> None:
    for directory, _, names in os.walk(place):
        for name in names:
            os.chmod(f"{directory}/{name}", 0o444 if read_only else 0o644)
        os.chmod(directory, 0o555 if read_only else 0o755)


@pytest.fixture
def user(rootless, site, monkeypatch):
    monkeypatch.setenv("ROOTLESS_IMAGE_STORES", f"{site}:relative/is/ignored")
    return rootless


def everything(place: Path) -> dict[str, tuple[int, int]]:
    found = {}
    for directory, names, files in os.walk(place):
        for name in (*names, *files):
            status = os.stat(f"{directory}/{name}")
            found[f"{directory}/{name}"] = (status.st_mtime_ns, status.st_size)
    return found


def test_images_of_a_shared_store_run_in_place(user, site):
    before = everything(site)
    seen = user("images", "--format", "{{.Repository}}:{{.Tag}}").ok().stdout
    assert sorted(seen.split()) == ["site:1", "site:2"]
    assert user("run", "--rm", "site:2", "ls", "/of-the-site").ok().stdout == "/of-the-site\n"
    user("run", "--name", "kept", "site:2", "touch", "/mine").ok()
    assert "A /mine\n" in user("diff", "kept").ok().stdout
    user("start", "kept").ok()
    user(
        "run", "--rm", "--mount", "type=image,src=site:1,dst=/img", "site:2", "ls", "/img/bin"
    ).ok()
    assert everything(site) == before
    assert not list((user.data / "rootless" / "layers").iterdir())


def test_images_are_built_on_those_of_a_shared_store(user, site, tmp_path):
    user("run", "--name", "kept", "site:2", "touch", "/mine").ok()
    user("commit", "kept", "mine:1").ok()
    (tmp_path / "Dockerfile").write_text("FROM site:2\nRUN touch /built\n")
    user("build", "-t", "built:1", tmp_path, timeout=120).ok()
    user("tag", "site:1", "other:1").ok()
    assert user("run", "--rm", "mine:1", "ls", "/mine", "/of-the-site").ok()
    assert user("run", "--rm", "built:1", "ls", "/built", "/of-the-site").ok()
    user("save", "-o", tmp_path / "saved.tar", "built:1").ok()
    alone = ("--root", str(tmp_path / "alone"))
    user(*alone, "load", "-i", tmp_path / "saved.tar").ok()
    user("system", "check").ok()
    user("rm", "kept").ok()
    user("rmi", "mine:1", "built:1", "other:1").ok()
    user("system", "prune", "-af").ok()
    assert user("run", "--rm", "site:2", "true").ok()


def test_image_of_a_shared_store_is_not_removed(user, site):
    told = user("rmi", "site:1")
    assert told.status == 1
    assert f"image site:1 is in a store that is only read ({site})" in told.stderr
    told = user("untag", "site:1")
    assert told.status != 0
    assert "only read" in told.stderr
    user("run", "--rm", "site:1", "true").ok()


def test_name_of_the_users_own_store_comes_first(user, busybox_image):
    user("import", "-c", "ENV WHOSE=mine", busybox_image, "site:1").ok()
    assert user("run", "--rm", "site:1", "sh", "-c", "echo $WHOSE").ok().stdout == "mine\n"
    user("rmi", "site:1").ok()
    assert user("run", "--rm", "site:1", "sh", "-c", "echo $WHOSE").ok().stdout == "\n"


def test_shared_store_that_is_not_there_is_an_error(rootless, monkeypatch, tmp_path):
    monkeypatch.setenv("ROOTLESS_IMAGE_STORES", str(tmp_path / "none"))
    told = rootless("images")
    assert told.status == 1
    assert str(tmp_path / "none") in told.stderr
    assert "ROOTLESS_IMAGE_STORES" in told.stderr


def test_storage_conf_names_stores(rootless, site, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    (tmp_path / "containers").mkdir()
    (tmp_path / "containers/storage.conf").write_text(
        '[storage]\ndriver = "overlay"\n[storage.options]\n'
        f'additionalimagestores = ["/not/there", "{site}"]\n'
    )
    rootless("run", "--rm", "site:2", "true").ok()
