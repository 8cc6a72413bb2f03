"""Image commands killed with SIGKILL at any moment: nothing is half written, neither here nor at the
registry, the same command does its work afterwards, and what is left is given back by a prune."""

from __future__ import annotations

import os
import random
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.docker_registry import docker_registry
from tests.support.images import docker_archive, layer_tar
from tests.support.registry import FakeRegistry, Fault, Handler, Request, paced, serving
from tests.support.rootless import Rootless
from tests.support.waiting import wait_until

MOMENTS = 12
CHANCE = random.Random(9)
LAYERS = [layer_tar({f"file{n}": CHANCE.randbytes(3_000_000)}) for n in range(2)]
SOUND = "Everything is as it should be.\n"
NAME = "app:1"


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("DOCKER_CONFIG", "REGISTRY_AUTH_FILE", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def archive(tmp_path) -> Path:
    docker_archive(tmp_path / "app.tar", LAYERS, tags=[NAME])
    return tmp_path / "app.tar"


def killed_at_every_moment(
    rootless: Rootless, words: list[str | Path], check: Callable[[], None]
) -> None:
    """Kill the command ever later, up to the time that it takes when it is left alone."""
    started = time.monotonic()
    rootless(*words).ok()
    whole = time.monotonic() - started
    check()
    # What comes before is the interpreter starting.
    early = whole / 4
    for moment in range(MOMENTS):
        process = rootless.popen(*words, stdin=subprocess.DEVNULL)
        try:
            process.wait(early + (whole - early) * moment / (MOMENTS - 1))
        except subprocess.TimeoutExpired:
            process.kill()
        process.communicate(timeout=120)
        check()


def check_sound(rootless: Rootless) -> None:
    """Whatever is found is only in the way of nothing."""
    found = rootless("system", "check").stdout
    kinds = {line.partition(":")[0] for line in found.splitlines()} - {SOUND.strip()}
    assert kinds <= {"left over", "unused"}, found


def check_pruned(rootless: Rootless) -> None:
    rootless("system", "prune", "-f").ok()
    assert rootless("system", "check").ok().stdout == SOUND
    root = rootless.data / "rootless"
    partial = root / "partial"
    assert not partial.exists() or os.listdir(partial) == []
    assert os.listdir(root / "tmp") == [".lock"]
    assert [name for name in os.listdir(root) if name.startswith(".tmp-")] == []


def diff_ids(rootless: Rootless, name: str) -> str:
    return rootless("image", "inspect", "-f", "{{json .RootFS.Layers}}", name).ok().stdout


@pytest.mark.slow
def test_load_killed_leaves_a_sound_store(rootless, archive):
    killed_at_every_moment(rootless, ["load", "-q", "-i", archive], lambda: None)
    rootless("rmi", NAME).ok()

    def check():
        check_sound(rootless)
        rootless("image", "verify").ok()
        rootless("rmi", NAME)

    killed_at_every_moment(rootless, ["load", "-q", "-i", archive], check)
    check_pruned(rootless)


@pytest.mark.slow
def test_pull_killed_leaves_a_sound_store(rootless):
    with serving(FakeRegistry()) as registry:
        registry.put_image("app", "1", LAYERS)
        registry.faults.append(Fault("GET .*/blobs/.*", paced(registry, 10, 0.02)))
        name = f"{registry.host}/{NAME}"

        def check():
            check_sound(rootless)
            rootless("image", "verify").ok()
            rootless("rmi", name)

        killed_at_every_moment(rootless, ["pull", "-q", name], check)
        rootless("pull", "-q", name).ok()
        rootless("image", "verify", name).ok()
    check_pruned(rootless)


@pytest.mark.slow
@pytest.mark.parametrize("form", ["docker-archive", "oci-archive", "oci-dir", "docker-dir"])
def test_save_killed_leaves_the_old_file_or_the_new_one(rootless, archive, tmp_path, form):
    rootless("load", "-q", "-i", archive).ok()
    place = tmp_path / "saved"
    place.mkdir()
    target = place / "image"
    is_directory = form.endswith("-dir")
    other = Rootless(data=tmp_path / "other", runtime=tmp_path / "run")

    def check():
        if target.exists():
            other("load", "-q", "-i", target).ok()
        if is_directory:
            subprocess.run(["rm", "-rf", target], check=True)
        check_sound(rootless)

    killed_at_every_moment(rootless, ["save", "-o", target, "--format", form, NAME], check)
    check_pruned(rootless)
    if not is_directory:
        rootless("save", "-o", target, "--format", form, NAME).ok()
        assert os.listdir(place) == ["image"]


@pytest.mark.slow
@pytest.mark.needs("userns", "fuse", "busybox")
def test_commit_killed_leaves_a_sound_store(rootless, busybox_image):
    rootless("import", busybox_image, "box:1").ok()
    script = "for i in 0 1 2 3 4 5 6 7 8 9; do dd if=/dev/urandom of=/file$i bs=100k count=5; done"
    rootless("run", "--name", "changed", "--network", "none", "box:1", "sh", "-c", script).ok()
    rootless("commit", "changed", "whole:1").ok()
    wanted = diff_ids(rootless, "whole:1")

    def check():
        check_sound(rootless)
        rootless("image", "verify").ok()
        if rootless("image", "inspect", "new:1").status == 0:
            assert diff_ids(rootless, "new:1") == wanted
            rootless("rmi", "new:1").ok()

    killed_at_every_moment(rootless, ["commit", "changed", "new:1"], check)
    check_pruned(rootless)
    assert rootless("run", "--rm", "whole:1", "ls", "/file9").ok().stdout == "/file9\n"


@pytest.mark.slow
@pytest.mark.needs("docker-registry")
def test_push_killed_leaves_no_half_an_image_under_the_tag(rootless, archive, tmp_path):
    rootless("load", "-q", "-i", archive).ok()
    wanted = diff_ids(rootless, NAME)
    other = Rootless(data=tmp_path / "other", runtime=tmp_path / "run")
    with docker_registry(tmp_path / "registry") as host:
        number = 0

        def check():
            nonlocal number
            name = f"{host}/app{number}:1"
            # Either nothing is there under the tag, or all of it.
            pulled = other("pull", "-q", name)
            assert pulled.status == 0 or "not found" in pulled.stderr, pulled.stderr
            rootless("push", "-q", name).ok()
            other("pull", "-q", name).ok()
            assert diff_ids(other, name) == wanted
            other("rmi", name).ok()
            rootless("untag", NAME, name).ok()
            check_sound(rootless)

        started = time.monotonic()
        whole = 0.0
        for number in range(MOMENTS + 1):
            name = f"{host}/app{number}:1"
            rootless("tag", NAME, name).ok()
            process = rootless.popen("push", "-q", name, stdin=subprocess.DEVNULL)
            try:
                process.wait(whole * (0.25 + 0.75 * number / MOMENTS) if number else None)
            except subprocess.TimeoutExpired:
                process.kill()
            process.communicate(timeout=120)
            whole = whole or time.monotonic() - started
            check()
    check_pruned(rootless)


def test_push_killed_in_the_middle_of_a_blob_is_pushed_again(rootless, archive):
    rootless("load", "-q", "-i", archive).ok()
    received = []

    def take_half(handler: Handler, request: Request) -> bool:
        size = int(request.headers["Content-Length"])
        received.append(len(handler.rfile.read(size // 2)))
        # It breaks off when the pusher dies.
        while handler.rfile.read(1 << 16):
            pass
        handler.close_connection = True
        return True

    with serving(FakeRegistry()) as registry:
        name = f"{registry.host}/{NAME}"
        registry.faults.append(Fault("PUT .*/blobs/uploads/.*", take_half, times=2))
        rootless("tag", NAME, name).ok()
        process = rootless.popen("push", "-q", name)
        wait_until(lambda: len(received) == 2)
        process.kill()
        process.communicate(timeout=120)
        assert registry.manifests == {}
        rootless("push", "-q", name).ok()
        assert registry.violations == []
        other = Rootless(data=rootless.data / "other", runtime=rootless.runtime)
        other("pull", "-q", name).ok()
        assert diff_ids(other, name) == diff_ids(rootless, NAME)
    check_sound(rootless)
    check_pruned(rootless)
