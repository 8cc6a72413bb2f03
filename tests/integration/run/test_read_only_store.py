"""A store under --root that can only be read: of another account, without permissions, or on a read-only mount."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.command import Result
from tests.support.other_account import OtherAccount
from tests.support.rootless import short_directory

pytestmark = pytest.mark.needs("userns", "fuse", "busybox")

READ_ONLY_MOUNT = """
set -e
mount --bind "$1" "$1"
mount -o remount,bind,ro "$1"
shift
for each in "$@"; do sh -ec "$each"; done
"""


def everything(place: Path) -> dict[str, tuple[int, int, int]]:
    found = {}
    for directory, names, files in os.walk(place):
        for name in (*names, *files):
            status = os.stat(f"{directory}/{name}", follow_symlinks=False)
            found[f"{directory}/{name}"] = (status.st_mtime_ns, status.st_ctime_ns, status.st_size)
    return found


@pytest.fixture
def store(rootless, busybox_image, tmp_path):
    """A store with an image of two layers, whose merged index has not been made, and a container."""
    place = tmp_path / "store"
    root = ("--root", str(place))
    rootless(*root, "import", busybox_image, "box:1").ok()
    rootless(*root, "run", "--name", "theirs", "box:1", "sh", "-c", "echo 2 > /second").ok()
    rootless(*root, "commit", "theirs", "box:2").ok()
    return place


@pytest.fixture
def protected(store):
    directories = [directory for directory, _, _ in os.walk(store)]
    for each in directories:
        os.chmod(each, 0o555)
    yield store
    for each in directories:
        os.chmod(each, 0o755)


@pytest.fixture
def readonly(rootless, protected):
    def call(*arguments: str | Path, **options: float) -> Result:
        return rootless("--root", protected, *arguments, **options)

    return call


def use(call):
    """What works over any of these stores."""
    shown = call("images", "--format", "{{.Repository}}:{{.Tag}}").ok().stdout
    assert sorted(shown.split()) == ["box:1", "box:2"]
    assert call("run", "--rm", "box:2", "cat", "/second").ok().stdout == "2\n"
    call("run", "-d", "--name", "c1", "box:2", "sh", "-c", "echo 3 > /third; sleep 1000").ok()
    assert call("ps", "-a", "--format", "{{.Names}}").ok().stdout == "c1\n"
    assert call("exec", "c1", "cat", "/second").ok().stdout == "2\n"
    assert call("inspect", "-f", "{{.State.Status}}", "c1").ok().stdout == "running\n"
    assert call("inspect", "-f", "{{.Id}}", "box:1").ok().stdout.startswith("sha256:")
    call("stop", "-t", "0", "c1").ok()
    assert "A /third\n" in call("diff", "c1").ok().stdout
    call("start", "c1").ok()
    call("rm", "-f", "c1").ok()
    mount = "type=image,src=box:1,dst=/img"
    call("run", "--rm", "--mount", mount, "box:2", "ls", "/img/bin/sh").ok()
    call("info").ok()
    call("doctor").ok()


def test_nothing_is_written_where_permissions_forbid_it(readonly, protected):
    before = everything(protected)
    use(readonly)
    assert everything(protected) == before


def test_info_names_the_store_and_where_its_containers_are(readonly, protected, rootless):
    document = json.loads(readonly("info", "-f", "json").ok().stdout)
    assert document["RootlessRootDir"] == str(protected)
    (told,) = (text for name, text in document["DriverStatus"] if name == "Read-only Store")
    assert told.startswith(f"containers are in {rootless.runtime}/rootless/stores/")


def test_containers_are_where_the_configuration_keeps_writable_layers(
    readonly, rootless, tmp_path, monkeypatch
):
    monkeypatch.setenv("ROOTLESS_UPPERS", str(tmp_path / "scratch"))
    readonly("run", "--name", "c1", "box:1", "touch", "/new").ok()
    own = tmp_path / f"scratch/rootless-{os.getuid()}"
    assert len(list(own.glob("stores/*/containers/*/container.json"))) == 1
    assert len(list(own.glob("*/upper/new"))) == 1
    readonly("rm", "c1").ok()
    assert not list(own.glob("*/upper"))
    assert not (rootless.runtime / "rootless/stores").exists()


def test_images_cannot_be_added_or_removed(readonly, protected, busybox_image, tmp_path):
    (tmp_path / "Dockerfile").write_text("FROM box:1\nRUN true\n")
    readonly("create", "--name", "c1", "box:1", "true").ok()
    for command in (
        ("import", busybox_image, "new:1"),
        ("tag", "box:1", "new:1"),
        ("rmi", "box:1"),
        ("commit", "c1", "new:1"),
        ("build", "-t", "new:1", tmp_path),
        ("pull", "registry.invalid/new:1"),
        ("run", "--rm", "registry.invalid/new:1", "true"),
    ):
        refused = readonly(*command)
        assert refused.status == (125 if command[0] == "run" else 1), command
        assert "Traceback" not in refused.stderr
        if command[0] != "rmi":
            first = refused.stderr.splitlines()[0].removeprefix("ERROR: ")
            assert f"the store {protected} can only be read" in first, command
    shown = readonly("images", "--format", "{{.Repository}}:{{.Tag}}").ok().stdout
    assert sorted(shown.split()) == ["box:1", "box:2"]


def test_store_on_a_read_only_mount(rootless, store):
    command = f"{sys.executable} -m rootless --root {store}"
    commands = [
        f"{command} images -q",
        f"test $({command} run --rm box:2 cat /second) = 2",
        f"{command} run --name c1 box:1 touch /new",
        f"test $({command} ps -a --format '{{{{.Names}}}}') = c1",
        f"test \"$({command} diff c1)\" = 'A /new'",
        f"{command} rm c1",
    ]
    before = everything(store)
    done = subprocess.run(
        [
            *("unshare", "--user", "--map-root-user", "--mount"),
            *("sh", "-c", READ_ONLY_MOUNT, "sh", str(store), *commands),
        ],
        env=rootless.env,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert everything(store) == before


@pytest.mark.needs("subuid")
def test_store_of_another_account(rootless, busybox_image):
    """As a server that squashes root shows a store of another account to this one: it can be read."""
    other = OtherAccount()
    public = short_directory()
    public.chmod(0o755)
    shutil.copy(busybox_image, public / "box.tar")
    try:
        other("import", public / "box.tar", "box:1").ok()
        other("run", "--name", "theirs", "box:1", "sh", "-c", "echo 2 > /second").ok()
        other("commit", "theirs", "box:2").ok()
        other("rm", "theirs").ok()
        other.make_readable()
        place = Path(other.directory) / "data/rootless"

        def call(*arguments: str | Path, **options: float) -> Result:
            return rootless("--root", place, *arguments, **options)

        before = everything(place)
        use(call)
        assert everything(place) == before
    finally:
        other.end()
        shutil.rmtree(public)
