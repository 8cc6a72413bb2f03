"""One file of the store is damaged, whichever and however: each command says so in one line at most, other
containers, images and volumes are what they were, and what is damaged can be removed."""

import os
import random
import shutil

import pytest

from tests.support.images import docker_archive
from tests.support.rootless import Rootless, remove_tree, short_directory
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.needs("userns", "fuse", "busybox"), pytest.mark.slow]

SEED = int(os.environ.get("ROOTLESS_TEST_SEED", "1"))
ROUNDS = int(os.environ.get("ROOTLESS_TEST_ROUNDS", "1"))


def flip(path, chance):
    data = bytearray(path.read_bytes())
    if data:
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    path.write_bytes(data)


def cut(path, chance):
    os.truncate(path, chance.randrange(max(path.stat().st_size, 1)))


def empty(path, _):
    os.truncate(path, 0)


def to_directory(path, _):
    path.unlink()
    (path / "sub").mkdir(parents=True)


def unreadable(path, _):
    path.chmod(0)


def removed(path, _):
    path.unlink()


DAMAGES = [flip, cut, empty, to_directory, unreadable, removed]


@pytest.fixture(scope="module")
def filled(tmp_path_factory, busybox_image):
    """A store with an image, a container and a volume that nothing damages, and the files that later ones
    added."""
    directory = short_directory()
    store = Rootless(directory / "data", directory / "run")
    store("import", busybox_image, "good:1").ok()
    store(
        "run", "--name", "good", "-v", "kept:/v", "good:1", "sh", "-c", "echo x >/v/x; echo out"
    ).ok()
    wait_until(lambda: store.processes() == [])  # a volume's server ends later than its container
    before = set(store.data.rglob("*"))
    archive = tmp_path_factory.mktemp("bad") / "bad.tar"
    docker_archive(archive, [busybox_image.read_bytes() + bytes(512)], tags=["bad:1"])
    store("load", "-i", archive).ok()
    script = "echo y >/v/y; echo new >/new; echo out; echo err >&2"
    store("run", "--name", "bad", "-v", "bad:/v", "bad:1", "sh", "-c", script).ok()
    wait_until(lambda: store.processes() == [])
    new = [path for path in store.data.rglob("*") if path.is_file() and path not in before]
    files = sorted(path.relative_to(store.data) for path in new if not path.is_symlink())
    yield store, files
    remove_tree(directory)


def one_line(result):
    """No traceback, and nothing but hints and one line for each object."""
    lines = [line for line in result.stderr.splitlines() if not line.startswith("hint:")]
    assert len(lines) <= 1, result
    for word in ("Traceback", "Errno", "Error("):
        assert word not in result.stderr, result
    assert result.status in {0, 1, 125, 126, 127}, result
    return result


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_damaged_file_costs_only_what_it_belongs_to(filled, damage):
    original, files = filled
    chance = random.Random(f"{SEED} {damage.__name__}")
    for file in chance.sample(files, min(ROUNDS, len(files))):
        directory = short_directory()
        try:
            shutil.copytree(original.data, directory / "data", symlinks=True)
            store = Rootless(directory / "data", directory / "run")
            damage(store.data / file, chance)
            check(store)
        except AssertionError as error:
            raise AssertionError(f"{damage.__name__} {file}: {error}") from error
        finally:
            remove_tree(directory)


def check(store):
    assert "good" in one_line(store("ps", "-a", "--format", "{{.Names}}")).stdout.split()
    assert "good:1" in one_line(store("images", "--format", "{{.Repository}}:{{.Tag}}")).stdout
    for words in (
        ("inspect", "bad"),
        ("logs", "bad"),
        ("start", "-a", "bad"),
        ("run", "--rm", "bad:1", "true"),
        ("volume", "ls"),
        ("system", "df"),
        ("system", "check"),
    ):
        one_line(store(*words))
    one_line(store("rm", "-f", "bad"))
    one_line(store("rmi", "-f", "bad:1"))
    one_line(store("volume", "rm", "-f", "bad"))
    assert store("ps", "-aq").ok().stdout.count("\n") == 1
    assert store("start", "-a", "good").ok().stdout == "out\n"
    assert store("run", "--rm", "-v", "kept:/v", "good:1", "cat", "/v/x").ok().stdout == "x\n"
