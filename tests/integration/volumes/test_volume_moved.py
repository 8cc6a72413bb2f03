"""Volumes that move between an account with subordinate ids and one without."""

from __future__ import annotations

import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.other_account import OtherAccount
from tests.support.rootless import Rootless, remove_tree, short_directory

pytestmark = pytest.mark.needs("userns", "fuse", "subuid", "busybox")

_LIST = "cd /data; stat -c '%n %u:%g %a' . * */*"
_OWN = ("--userns", "keep-id:uid=999,gid=998")
_VOLUME = ("--network", "none", "-v", "data:/data", "box:1", "sh", "-c")


@pytest.fixture
def accounts(busybox_image: Path) -> Iterator[tuple[Rootless, OtherAccount, Path]]:
    """An account with subordinate ids, one without, and a directory that both can use."""
    directory = short_directory()
    here, there = Rootless(directory / "data", directory / "run"), OtherAccount()
    shared = short_directory()
    shared.chmod(0o777)
    image = shared / "box.tar"
    shutil.copyfile(busybox_image, image)
    image.chmod(0o644)
    try:
        for engine in (here, there):
            engine("import", image, "box:1").ok()
            engine("volume", "create", "data").ok()
        yield here, there, shared
    finally:
        there.end()
        here.remove_containers()
        remove_tree(directory)
        remove_tree(shared)


def test_the_owners_of_an_archive_outlast_an_account_with_one_id(accounts) -> None:
    here, there, shared = accounts
    make = (
        "mkdir -m 2750 /data/d; echo x >/data/d/f; ln -s f /data/d/l; mkfifo /data/d/p; chown -h 5:6 /data/d/*;"
        "ln /data/d/f /data/d/g; chown 7:8 /data/d; chmod 4711 /data/d/f; chmod g+s /data/d; chown 9:9 /data"
    )
    here("run", "--rm", *_VOLUME, make).ok()
    shown = here("run", "--rm", *_VOLUME, _LIST).ok().stdout
    assert "d/f 5:6 4711\n" in shown
    here("volume", "export", "-o", shared / "a.tar", "data").ok()
    there("volume", "import", "data", shared / "a.tar").ok()
    there("volume", "export", "-o", shared / "b.tar", "data").ok()
    with tarfile.open(shared / "a.tar") as first, tarfile.open(shared / "b.tar") as second:
        assert [each.get_info() for each in first] == [each.get_info() for each in second]
    here("volume", "rm", "data").ok()
    here("volume", "create", "data").ok()
    here("volume", "import", "data", shared / "b.tar").ok()
    assert here("run", "--rm", *_VOLUME, _LIST).ok().stdout == shown


@pytest.mark.parametrize("running", [False, True])
def test_what_a_user_makes_in_an_account_with_one_id_is_that_user_s(
    accounts, running: bool
) -> None:
    here, there, shared = accounts
    make = "mkdir /data/d; echo x >/data/d/f; ln -s f /data/d/l; touch /data/ready"
    if running:
        there("run", "-d", "--name", "cc", *_OWN, *_VOLUME, f"{make}; sleep 1000").ok()
        there("exec", "cc", "sh", "-c", "until [ -e /data/ready ]; do sleep 0.1; done").ok()
    else:
        there("run", "--rm", *_OWN, *_VOLUME, make).ok()
    there("volume", "export", "-o", shared / "a.tar", "data").ok()
    here("volume", "import", "data", shared / "a.tar").ok()
    shown = here("run", "--rm", *_VOLUME, _LIST).ok().stdout
    assert shown.splitlines()[1:] == [
        "d 999:998 755",
        "ready 999:998 644",
        "d/f 999:998 644",
        "d/l 999:998 777",
    ]


def test_files_stay_the_user_s_in_the_account_with_one_id(accounts) -> None:
    """Whatever owner is stored, the only user there is can write them."""
    _, there, _ = accounts
    there("run", "--rm", *_OWN, *_VOLUME, "echo own >/data/f; chmod 600 /data/f").ok()
    there("run", "--rm", *_VOLUME, "echo root >>/data/f").ok()
    shown = there("run", "--rm", *_OWN, *_VOLUME, "cat /data/f; stat -c '%u:%g' /data/f")
    assert shown.ok().stdout == "own\nroot\n999:998\n"
