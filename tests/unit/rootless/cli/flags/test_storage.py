"""--storage-opt."""

from __future__ import annotations

import pytest

from rootless.cli.flags.storage import parse_storage_options
from rootless.errors import UsageError
from rootless.spec.options import NO_STORAGE_LIMITS, StorageLimits


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
