"""Several `rootless pull` at once, as processes of their own: each layer is fetched once, and the
others go on with what a killed one has fetched."""

import json
import os
import random
import re
import threading

import pytest

from tests.support.images import layer_tar
from tests.support.registry import Fault, held
from tests.support.waiting import wait_until

CHANCE = random.Random(4)
SHARED = [layer_tar({f"shared{n}": CHANCE.randbytes(200_000)}) for n in range(3)]
OWN = [layer_tar({f"own{n}": CHANCE.randbytes(100_000)}) for n in range(2)]
SOUND = "Everything is as it should be.\n"


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("DOCKER_CONFIG", "REGISTRY_AUTH_FILE", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)


def put(registry, name, layers):
    registry.put_image(name, "1", layers, config={"User": name})
    [document] = {data for _, data in registry.manifests[name].values()}
    return [layer["digest"] for layer in json.loads(document)["layers"]]


def hold(registry, digests):
    """Give 80 000 bytes of each blob, and the rest when the event that is returned is set."""
    released = threading.Event()
    pattern = "GET .*/blobs/({})".format("|".join(map(re.escape, digests)))
    registry.faults.append(Fault(pattern, held(registry, 80_000, released)))
    return released


def pull_at_once(rootless, tmp_path, names, released):
    """Pull each in a process of its own, of which one waits for another; returns what they said."""
    said = [tmp_path / f"said{number}" for number in range(len(names))]
    processes = []
    for name, path in zip(names, said, strict=True):
        with path.open("wb") as file:
            processes.append(rootless.popen("pull", name, stdout=file))
    wait_until(lambda: any("Waiting" in path.read_text() for path in said))
    released.set()
    for process in processes:
        ended(process)
    return [path.read_text() for path in said]


def fetched(registry, digest):
    """From which byte on a blob was asked for, each time."""
    return [
        int(each.headers.get("Range", "bytes=0-")[6:-1])
        for each in registry.asked(f"GET .*/blobs/{digest}")
    ]


def ended(process):
    _, complaint = process.communicate(timeout=120)
    assert process.returncode == 0, complaint.decode()


def check_sound(rootless, *names):
    """Nothing is damaged or missing, and nothing is left that a prune does not take."""
    found = rootless("system", "check").stdout
    assert not re.search("damaged|missing", found), found
    for name in names:
        rootless("image", "verify", name).ok()
    rootless("system", "prune", "-f").ok()
    assert rootless("system", "check").ok().stdout == SOUND
    root = rootless.data / "rootless"
    assert os.listdir(root / "partial") == []
    assert [name for name in os.listdir(root / "tmp") if name != ".lock"] == []


def test_image_pulled_by_two_processes_at_once_is_fetched_once(rootless, registry, tmp_path):
    digests = put(registry, "app", SHARED)
    name = f"{registry.host}/app:1"
    said = pull_at_once(rootless, tmp_path, [name, name], hold(registry, digests))
    assert [fetched(registry, digest) for digest in digests] == [[0]] * len(digests)
    assert all(f"Status: Downloaded newer image for {name}" in each for each in said)
    check_sound(rootless, name)


def test_layers_that_two_images_share_are_fetched_once(rootless, registry, tmp_path):
    digests = [put(registry, f"app{n}", [*SHARED, OWN[n]]) for n in range(2)]
    every = {digest for each in digests for digest in each}
    names = [f"{registry.host}/app{n}:1" for n in range(2)]
    pull_at_once(rootless, tmp_path, names, hold(registry, every))
    assert {digest: fetched(registry, digest) for digest in every} == {key: [0] for key in every}
    check_sound(rootless, *names)


def test_what_a_killed_pull_was_fetching_the_other_goes_on_with(rootless, registry):
    [digest] = put(registry, "app", SHARED[:1])
    released = hold(registry, [digest])
    name = f"{registry.host}/app:1"
    victim = rootless.popen("pull", "-q", name)
    blob = rootless.data / "rootless/partial" / digest[7:]
    wait_until(lambda: blob.exists() and blob.stat().st_size > 60_000)
    other = rootless.popen("pull", name)
    assert other.stdout is not None
    while b"Waiting" not in other.stdout.readline():
        assert other.poll() is None
    assert fetched(registry, digest) == [0]
    victim.kill()
    victim.communicate(timeout=120)
    released.set()
    ended(other)
    first, second = fetched(registry, digest)
    assert (first, second > 60_000) == (0, True)
    check_sound(rootless, name)


def test_next_pull_goes_on_where_a_killed_one_was(rootless, registry):
    digests = put(registry, "app", SHARED)
    released = hold(registry, digests[:1])
    name = f"{registry.host}/app:1"
    victim = rootless.popen("pull", "-q", name)
    root = rootless.data / "rootless"
    blob = root / "partial" / digests[0][7:]
    wait_until(lambda: (root / "layers").is_dir() and len(os.listdir(root / "layers")) == 2)
    wait_until(lambda: blob.stat().st_size > 60_000)
    victim.kill()
    victim.communicate(timeout=120)
    released.set()
    rootless("pull", "-q", name).ok()
    first, second = fetched(registry, digests[0])
    assert (first, second > 60_000) == (0, True)
    assert [fetched(registry, digest) for digest in digests[1:]] == [[0], [0]]
    check_sound(rootless, name)


def test_killed_pull_beside_another_takes_nothing_from_it(rootless, registry):
    """The one that fetches lives; the one that waits dies, and its sweepers come by."""
    digests = put(registry, "app", SHARED)
    released = hold(registry, digests)
    name = f"{registry.host}/app:1"
    lives = rootless.popen("pull", "-q", name)
    wait_until(lambda: len(registry.asked("GET .*/blobs/.*")) > len(digests))
    dies = rootless.popen("pull", name)
    assert dies.stdout is not None
    while b"Waiting" not in dies.stdout.readline():
        assert dies.poll() is None
    dies.kill()
    dies.communicate(timeout=120)
    rootless("system", "prune", "-af").ok()
    rootless("system", "check", "--repair").ok()
    assert lives.poll() is None
    released.set()
    ended(lives)
    assert [fetched(registry, digest) for digest in digests] == [[0]] * len(digests)
    check_sound(rootless, name)


def test_prune_and_check_beside_a_pull_leave_it_what_it_has(rootless, registry):
    digests = put(registry, "app", [*SHARED, *OWN])
    released = hold(registry, digests[:1])
    name = f"{registry.host}/app:1"
    process = rootless.popen("pull", "-q", name)
    layers = rootless.data / "rootless/layers"
    # The others are there, and named by nothing yet.
    wait_until(lambda: layers.is_dir() and len(os.listdir(layers)) == len(digests) - 1)
    rootless("system", "prune", "-af").ok()
    rootless("system", "check", "--repair").ok()
    assert rootless("system", "df").ok()
    assert process.poll() is None
    released.set()
    ended(process)
    assert [fetched(registry, digest) for digest in digests] == [[0]] * len(digests)
    check_sound(rootless, name)
