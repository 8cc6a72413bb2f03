"""--storage-opt, --overlay and --writable-tmpfs."""

from __future__ import annotations

import pytest

from rootless.cli.flags.storage import (
    parse_overlay,
    parse_storage_options,
    parse_writable_tmpfs,
)
from rootless.errors import UsageError
from rootless.spec.options import NO_STORAGE_LIMITS, Overlay, StorageLimits


@pytest.mark.parametrize(
    ("texts", "limits"),
    [
        (["size=120G"], StorageLimits(size=120 << 30)),
        (["size=5G,inodes=200k"], StorageLimits(size=5 << 30, inodes=200_000)),
        (["size=5G", "inodes=7", "size=1m"], StorageLimits(size=1 << 20, inodes=7)),
        (["bps=1.5M,iops=2K"], StorageLimits(bps=3 << 19, iops=2000)),
        (['"size=1k"'], StorageLimits(size=1024)),
        (["sync=auto"], NO_STORAGE_LIMITS),
    ],
)
def test_limits_are_repeated_or_separated_by_commas(texts, limits):
    assert parse_storage_options(texts) == (limits, False)


def test_last_sync_counts():
    assert parse_storage_options(["sync=always"]).always_sync
    assert not parse_storage_options(["sync=always,sync=auto"]).always_sync


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("size", "invalid storage option 'size': it must be KEY=VALUE"),
        ("size=5G,", "invalid storage option '': it must be KEY=VALUE"),
        ("size=much", "invalid value 'much' for the storage option size"),
        ("size=0", "invalid value '0' for the storage option size"),
        ("size=-1", "invalid value '-1' for the storage option size"),
        ("inodes=1.5k", "invalid value '1.5k' for the storage option inodes"),
        ("iops=0", "invalid value '0' for the storage option iops"),
        ("colour=red", "unknown storage option 'colour'"),
        ("sync=never", "invalid value 'never' for the storage option sync"),
    ],
)
def test_wrong_option_is_refused_by_name(text, message):
    with pytest.raises(UsageError) as raised:
        parse_storage_options([text])
    assert raised.value.message == message


@pytest.mark.parametrize(
    ("text", "overlay"),
    [
        ("/o", Overlay("/o")),
        ("/o:ro", Overlay("/o", read_only=True)),
        ("/o:rw", Overlay("/o")),
        ("o/:ro", Overlay("/here/o", read_only=True)),
        ("/a:b", Overlay("/a:b")),
        ("/a:b:ro", Overlay("/a:b", read_only=True)),
        (":ro", Overlay("/here/:ro")),
    ],
)
def test_overlay_is_a_path_and_a_mode(text, overlay):
    assert parse_overlay(text, lambda: "/here") == overlay


@pytest.mark.parametrize(
    ("text", "size"), [("", 0), ("true", 0), ("false", None), ("8M", 8 << 20), ("1.5k", 1536)]
)
def test_size_of_a_layer_in_memory(text, size):
    assert parse_writable_tmpfs(text) == size


@pytest.mark.parametrize("text", ["0", "much", "-1"])
def test_wrong_size_of_a_layer_in_memory_is_refused(text):
    with pytest.raises(UsageError, match=f"invalid value '{text}' for --writable-tmpfs"):
        parse_writable_tmpfs(text)
