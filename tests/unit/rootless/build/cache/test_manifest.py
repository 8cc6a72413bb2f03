"""The documents of an exported cache."""

from __future__ import annotations

import base64
import json

import pytest

from rootless.build.cache.manifest import (
    CONFIG_TYPE,
    INLINE,
    CachedLayer,
    CacheDocument,
    CacheRecord,
    annotated,
    config_of,
    encode_config,
    encode_manifest,
    inline_records,
    read_config,
    read_inline,
)
from rootless.errors import InvalidDocumentError
from rootless.oci import media_types
from rootless.oci.digest import sha256_digest
from rootless.oci.manifest import Descriptor

KEYS = ["a" * 64, "b" * 64]
DIFF_IDS = [f"sha256:{digit * 64}" for digit in "12"]
BLOBS = [Descriptor(media_types.OCI_LAYER_GZIP, f"sha256:{digit * 64}", 9) for digit in "34"]
TIME = "2026-01-02T03:04:05Z"
RECORDS = {KEYS[0]: CacheRecord(1, TIME), KEYS[1]: CacheRecord(0, TIME)}


@pytest.mark.parametrize("is_index", [False, True])
@pytest.mark.parametrize("has_docker_types", [False, True])
def test_what_is_written_is_read(is_index, has_docker_types):
    layers = [annotated(blob, diff_id, TIME) for blob, diff_id in zip(BLOBS, DIFF_IDS, strict=True)]
    data = encode_config(layers, RECORDS)
    config = Descriptor(CONFIG_TYPE, sha256_digest(data), len(data))
    kind, manifest = encode_manifest(
        config, layers, is_index=is_index, has_docker_types=has_docker_types
    )
    assert (kind in media_types.INDEXES) == (is_index or has_docker_types)
    found, named = config_of(manifest, kind, "it")
    assert found.digest == config.digest
    assert read_config(data, named, "it") == CacheDocument(
        tuple(CachedLayer(*each) for each in zip(BLOBS, DIFF_IDS, strict=True)), RECORDS
    )


def test_the_cache_of_an_image_is_in_its_config():
    config = {INLINE: inline_records(RECORDS)}
    assert read_inline(config, BLOBS, DIFF_IDS, "it") == CacheDocument(
        tuple(CachedLayer(*each) for each in zip(BLOBS, DIFF_IDS, strict=True)), RECORDS
    )
    assert read_inline({}, BLOBS, DIFF_IDS, "it").records == {}


def test_images_and_indexes_of_images_are_no_caches():
    for kind, document in (
        (media_types.OCI_MANIFEST, {"config": BLOBS[0].to_json(), "layers": []}),
        (media_types.OCI_INDEX, {"manifests": [BLOBS[0].to_json()]}),
    ):
        data = json.dumps({"schemaVersion": 2, "mediaType": kind, **document}).encode()
        assert config_of(data, kind, "it") is None


def test_records_of_buildkit_without_results_are_passed_over():
    records = [
        {"digest": f"sha256:{KEYS[0]}"},
        {
            "digest": f"sha256:{KEYS[1]}",
            "layers": [{"layer": 1, "createdAt": TIME}],
            "inputs": [[{"selector": f"sha256:{KEYS[0]}", "link": 0}]],
        },
    ]
    text = base64.b64encode(json.dumps(records).encode()).decode()
    found = read_inline({INLINE: text}, BLOBS, DIFF_IDS, "it")
    assert found.records == {KEYS[1]: CacheRecord(1, TIME)}


@pytest.mark.parametrize(
    "records",
    [
        [{"digest": "sha256:" + "a" * 64, "layers": [{"layer": 2}]}],
        [{"digest": "sha256:" + "a" * 64, "layers": [{"layer": -1}]}],
        [{"digest": "sha256:" + "a" * 64, "layers": [3]}],
        [{"layers": [{"layer": 0}]}],
        [1],
        {},
    ],
)
def test_damaged_records_are_refused(records):
    text = base64.b64encode(json.dumps(records).encode()).decode()
    with pytest.raises(InvalidDocumentError):
        read_inline({INLINE: text}, BLOBS, DIFF_IDS, "it")


def test_a_layer_without_diffid_and_one_that_is_not_named_are_refused():
    config = encode_config(BLOBS, {})
    with pytest.raises(InvalidDocumentError, match="has no diffID"):
        read_config(config, BLOBS, "it")
    with pytest.raises(InvalidDocumentError, match="names a layer that its manifest has not"):
        read_config(config, [], "it")


def test_text_that_is_not_base64_is_refused():
    with pytest.raises(InvalidDocumentError, match="is not base64"):
        read_inline({INLINE: "§"}, BLOBS, DIFF_IDS, "it")
