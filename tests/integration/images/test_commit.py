"""Committing a layer onto an image: what comes out is an image to everyone."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from rootless.errors import IntegrityError, InvalidDocumentError, NotFoundError, UsageError
from rootless.images.commit import CommitOptions, commit
from rootless.images.gc.remove import remove
from rootless.images.inspect import history
from rootless.images.load import load
from rootless.store.chains import chain_index
from rootless.store.image import resolve
from rootless.store.layers import layer_files
from rootless.store.layout import Store
from tests.support.images import compressed_layout, docker_archive, gz, sha256, tar

BASE, TOP = tar(motd=b"hello\n"), tar(motd=b"bye\n", new=os.urandom(100_000))
WHEN = {"created": "2026-01-02T03:04:05Z", "created_by": "sh"}


@pytest.fixture
def store(tmp_path):
    store = Store.open(tmp_path / "store")
    docker_archive(tmp_path / "base.tar", [BASE], tags=["base"], config={"User": "7"})
    load(store, tmp_path / "base.tar")
    return store


def pieces(data):
    return [data[i : i + 1000] for i in range(0, len(data), 1000)]


def test_commit_adds_a_layer_a_step_and_changes(store):
    made = commit(
        store,
        resolve(store, "base"),
        pieces(TOP),
        CommitOptions("mine:2", author="me", message="why", changes=["CMD top"]),
        **WHEN,
    )
    image = resolve(store, "mine:2")
    assert image.id == made.id
    assert image.diff_ids == (sha256(BASE), sha256(TOP))
    assert [Path(files.tar).read_bytes() for files in layer_files(store, image)] == [BASE, TOP]
    assert image.config["User"] == "7"
    assert image.config["Cmd"] == ["/bin/sh", "-c", "top"]
    newest = history(store, image)[0]
    assert (newest.created_by, newest.comment, newest.size) == ("sh", "why", len(TOP))
    assert chain_index(store, image) is not None


def test_equal_commits_are_equal_images(store):
    first = commit(store, resolve(store, "base"), pieces(TOP), **WHEN)
    second = commit(store, resolve(store, "base"), [TOP], **WHEN)
    assert first.id == second.id


def test_commit_from_nothing(store):
    commit(store, None, [BASE], CommitOptions("scratch:1"), config={"Cmd": ["/init"]}, **WHEN)
    assert resolve(store, "scratch:1").diff_ids == (sha256(BASE),)


@pytest.mark.needs("skopeo")
def test_skopeo_copies_a_commit_onto_a_compressed_base(store, tmp_path):
    compressed_layout(tmp_path / "in", [BASE], gz, "+gzip", "zipped:1")
    load(store, tmp_path / "in")
    commit(store, resolve(store, "zipped:1"), pieces(TOP), CommitOptions("both:1"), **WHEN)
    subprocess.run(
        [
            *("skopeo", "copy", "-q", f"oci:{store.root}:docker.io/library/both:1"),
            f"docker-archive:{tmp_path / 'out'}:both:1",
        ],
        check=True,
        timeout=120,
    )
    config = json.loads(store.read_document(resolve(store, "both:1").id, "config"))
    assert config["rootfs"]["diff_ids"] == [sha256(BASE), sha256(TOP)]
    other = Store.open(tmp_path / "other")
    load(other, tmp_path / "out")
    assert resolve(other, "both:1").diff_ids == (sha256(BASE), sha256(TOP))


def test_base_can_be_removed_after_a_commit(store):
    commit(store, resolve(store, "base"), pieces(TOP), CommitOptions("mine"), **WHEN)
    remove(store, "base", list)
    assert [
        Path(files.tar).read_bytes() for files in layer_files(store, resolve(store, "mine"))
    ] == [
        BASE,
        TOP,
    ]


def test_commit_that_fails_leaves_the_store_as_it_was(store):
    base = resolve(store, "base")
    before = sorted(Path(store.root).rglob("*"))
    with pytest.raises(InvalidDocumentError, match="the new layer"):
        commit(store, base, [TOP[:5000]], **WHEN)
    with pytest.raises(UsageError):
        commit(store, base, [TOP], CommitOptions(changes=["RUN x"]), **WHEN)
    with pytest.raises(UsageError):
        commit(store, base, [TOP], CommitOptions("Bad"), **WHEN)
    assert sorted(Path(store.root).rglob("*")) == before
    remove(store, "base", list)
    with pytest.raises((NotFoundError, IntegrityError)):
        commit(store, base, [TOP], **WHEN)
