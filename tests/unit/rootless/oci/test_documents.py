"""Digests, platforms, manifests and configs: strict in types, unknown fields kept."""

import json

import pytest

from rootless.errors import InvalidDocumentError, UsageError
from rootless.oci.digest import chain_id, is_digest
from rootless.oci.image_config import read_image_config
from rootless.oci.manifest import read_index, read_manifest
from rootless.oci.platform import Platform, choose_platform, parse_platform

A = "sha256:" + "a" * 64
B = "sha256:" + "b" * 64
C = "sha256:" + "c" * 64


def test_digest_is_recognised_in_canonical_form_only():
    assert is_digest(A)
    assert is_digest("sha512:" + "0" * 128)
    for text in ("", "sha256:", A.upper(), A[:-1], A + "a", "md5:" + "a" * 32, A + "\n"):
        assert not is_digest(text)


def test_chain_id_is_the_specification_s():
    import hashlib

    def digest(text):
        return "sha256:" + hashlib.sha256(text.encode()).hexdigest()

    assert chain_id((A,)) == A
    assert chain_id((A, B, C)) == digest(digest(f"{A} {B}") + f" {C}")
    with pytest.raises(ValueError, match="no layers"):
        chain_id(())


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("linux/amd64", "linux/amd64"),
        ("x86_64", "linux/amd64"),
        ("linux/aarch64", "linux/arm64"),
        ("linux/arm64/v8", "linux/arm64"),
        ("linux/arm", "linux/arm/v7"),
        ("linux/arm/6", "linux/arm/v6"),
        ("Windows/AMD64", "windows/amd64"),
        ("linux/amd64/v1", "linux/amd64"),
    ],
)
def test_platform_has_a_normal_form(text, normal):
    assert str(parse_platform(text)) == normal


@pytest.mark.parametrize("text", ["", "/", "a/b/c/d", "linux/", "linux/a b"])
def test_malformed_platform_is_refused(text):
    with pytest.raises(UsageError, match="platform"):
        parse_platform(text)


@pytest.mark.parametrize(
    ("wanted", "offered", "chosen"),
    [
        ("linux/amd64", ["linux/arm64", "linux/amd64"], 1),
        ("linux/arm/v7", ["linux/arm/v5", "linux/arm/v6", "linux/arm/v8"], 1),
        ("linux/arm/v5", ["linux/arm/v6"], None),
        ("linux/amd64/v3", ["linux/amd64", "linux/amd64/v2", "linux/amd64/v4"], 1),
        ("linux/amd64", ["linux/amd64/v2"], None),
        ("linux/arm64", ["linux/arm/v6", "linux/arm/v7"], 1),
        ("linux/arm64", ["linux/arm/v7", "linux/arm64"], 1),
        ("linux/amd64", ["windows/amd64", "linux/386"], None),
    ],
)
def test_entry_of_an_index_with_the_highest_platform_that_runs_is_chosen(wanted, offered, chosen):
    platforms = [parse_platform(each) for each in offered]
    assert choose_platform(parse_platform(wanted), platforms) == chosen


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [([None], 0), ([None, None], None), ([None, "linux/amd64"], 1), ([None, "linux/s390x"], None)],
)
def test_entry_of_an_index_without_a_platform_is_chosen_only_if_it_is_alone(offered, chosen):
    platforms = [each and parse_platform(each) for each in offered]
    assert choose_platform(parse_platform("linux/amd64"), platforms) == chosen


def manifest(**changes):
    layer = {"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": B, "size": 2}
    document = {
        "schemaVersion": 2,
        "config": {"digest": A, "size": 1, "mediaType": "c"},
        "layers": [layer],
    }
    return json.dumps({**document, **changes}).encode()


def test_manifest_is_read():
    read = read_manifest(manifest(), "m")
    assert read.config.digest == A
    assert [layer.digest for layer in read.layers] == [B]


def test_index_keeps_what_it_does_not_know():
    entry = {
        "digest": A,
        "size": 3,
        "mediaType": "m",
        "urls": ["u"],
        "platform": {"os": "linux", "os.version": "1"},
    }
    document = {"schemaVersion": 2, "manifests": [entry], "subject": {"x": 1}}
    index = read_index(json.dumps(document).encode(), "i")
    assert json.loads(index.with_manifests(index.manifests).encode()) == document


@pytest.mark.parametrize(
    "changes",
    [
        {"schemaVersion": 1},
        {"schemaVersion": "2"},
        {"layers": None},
        {"layers": [1]},
        {"config": None},
        {"config": {"digest": "md5:1", "size": 1}},
        {"config": {"digest": A, "size": 1.0}},
        {"config": {"digest": A, "size": -1}},
        {"config": {"digest": A, "size": 1, "annotations": {"a": 1}}},
        {"manifests": []},
        {"mediaType": "application/vnd.oci.image.index.v1+json"},
        {"mediaType": 5},
        {"layers": [{"digest": A, "size": 1}] * 1001},
    ],
)
def test_manifest_of_wrong_types_is_refused(changes):
    with pytest.raises(InvalidDocumentError):
        read_manifest(manifest(**changes), "m")


def config(**changes):
    return json.dumps({"rootfs": {"type": "layers", "diff_ids": [A]}, **changes}).encode()


def test_config_is_read_with_nulls_as_go_writes_them():
    read = read_image_config(
        config(
            os="linux",
            architecture="arm",
            variant="v6",
            config={"Cmd": None, "Labels": None},
            history=None,
        ),
        "c",
    )
    assert read.platform == Platform("linux", "arm", "v6")
    assert read.diff_ids == (A,)


@pytest.mark.parametrize(
    "changes",
    [
        {"rootfs": None},
        {"rootfs": {"type": "x", "diff_ids": []}},
        {"rootfs": {"type": "layers", "diff_ids": ["x"]}},
        {"config": []},
        {"config": {"Cmd": 1}},
        {"config": {"Env": [1]}},
        {"config": {"User": 0}},
        {"config": {"Labels": {"a": None}}},
        {"history": [1]},
        {"history": [{"empty_layer": "yes"}]},
        {"created": 5},
        {"architecture": ["amd64"]},
    ],
)
def test_config_of_wrong_types_is_refused(changes):
    with pytest.raises(InvalidDocumentError):
        read_image_config(config(**changes), "c")
