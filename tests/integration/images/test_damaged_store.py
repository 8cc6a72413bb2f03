"""A store whose files are damaged, one at a time and in every way: one line for what is damaged, and
everything else works."""

import os
import shutil
from pathlib import Path

import pytest

from rootless.errors import RootlessError
from rootless.images.gc.check import check
from rootless.images.load import load
from rootless.images.save import save
from rootless.images.tag import tag
from rootless.store.image import all_images, resolve
from rootless.store.layout import Store
from tests.support.images import compressed_layout, docker_archive, gz, tar


def flip(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0x40
    path.write_bytes(data)


def make_directory(path):
    path.unlink()
    path.mkdir()


DAMAGES = {
    "flipped": flip,
    "cut": lambda path: os.truncate(path, path.stat().st_size // 2),
    "emptied": lambda path: os.truncate(path, 0),
    "directory": make_directory,
    "missing": os.unlink,
    "unreadable": lambda path: path.chmod(0),
}
BAD, GOOD = [tar(a=b"a" * 5000), tar(b=b"b" * 100)], [tar(c=b"c" * 5000), tar(d=b"d")]


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    """A store with an image that is going to be damaged, and one that is not; and the files of the
    first."""
    directory = tmp_path_factory.mktemp("filled")
    compressed_layout(directory / "bad", BAD, gz, "+gzip", name="bad:1")
    docker_archive(directory / "good.tar", GOOD, tags=["good:1"])
    store = Store.open(directory / "store")
    load(store, directory / "good.tar")
    before = set(Path(store.root).rglob("*"))
    load(store, directory / "bad")
    new = [path for path in Path(store.root).rglob("*") if path.is_file() and path not in before]
    return directory, sorted(path.relative_to(store.root) for path in new)


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_object_costs_its_image_at_most_and_is_repaired_by_a_load(filled, tmp_path, damage):
    directory, files = filled
    assert len(files) == 9, "two blobs, config, manifest, two layers of two files, merged index"
    for number, file in enumerate(files):
        store = Store.open(shutil.copytree(directory / "store", tmp_path / f"{number}"))
        DAMAGES[damage](Path(store.root) / file)
        # An error of another class than RootlessError would fail these.
        target = tmp_path / "saved"
        attempt(resolve, store, "bad:1")
        attempt(tag, store, "bad:1", "bad:2")
        attempt(save, store, ["bad:1"], target)
        found = check(store, list)
        assert found or (damage == "missing" and "chains" in file.parts), file
        assert all("\n" not in str(finding) for finding in found)
        assert "good:1" in {each.familiar for image in all_images(store) for each in image.tags}
        save(store, ["good:1"], target)
        check(store, list, repair=True)
        load(store, directory / "bad")
        check(store, list, repair=True)
        assert check(store, list) == [], (file, damage)
        shutil.rmtree(store.root)


@pytest.mark.parametrize("damage", [name for name in DAMAGES if name != "flipped"])
@pytest.mark.parametrize("file", ["index.json", "store.json", "oci-layout"])
def test_damaged_table_is_one_line(rootless, tmp_path, file, damage):
    docker_archive(tmp_path / "good.tar", GOOD, tags=["good:1"])
    rootless("load", "-i", tmp_path / "good.tar").ok()
    path = rootless.data / "rootless" / file
    DAMAGES[damage](path)
    for command in (["images"], ["image", "verify"], ["system", "check"], ["system", "df"]):
        result = rootless(*command)
        lines = [line for line in result.stderr.splitlines() if not line.startswith("hint: ")]
        assert (result.status in (0, 1), len(lines) <= 1, "Traceback" in result.stderr) == (
            True,
            True,
            False,
        ), (command, result)


def attempt(action, *arguments):
    """Do what may fail of the damage, in one line."""
    message = ""
    try:
        action(*arguments)
    except RootlessError as error:
        message = error.message
    assert "\n" not in message
