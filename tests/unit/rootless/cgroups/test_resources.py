"""OCI `linux.resources` as lines for cgroup v2 files."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rootless.cgroups.resources import Group, cpu_weight, io_weight, missing, writes
from rootless.errors import HostSupportError, InvalidDocumentError


def lines(resources):
    return {write.file: write.value for write in writes(resources)}


def groups(resources):
    return {write.file: set(write.groups) for write in writes(resources)}


def test_nothing_asked_writes_nothing():
    assert writes({}) == ()
    assert writes({"memory": {}, "devices": [{"allow": False, "access": "rwm"}]}) == ()


def test_memory_and_swap_are_separate_files():
    assert lines({"memory": {"limit": 64, "swap": 100, "reservation": 32}}) == {
        "memory.max": "64",
        "memory.high": str(64 << 20),
        "memory.swap.max": "36",
        "memory.low": "32",
    }
    assert lines({"memory": {"limit": 64, "swap": 64}})["memory.swap.max"] == "0"
    assert lines({"memory": {"limit": 64, "swap": -1}})["memory.swap.max"] == "max"
    assert lines({"memory": {"limit": -1}}) == {"memory.max": "max", "memory.high": "max"}


def test_server_may_cache_as_much_as_the_container_may_have_and_is_not_killed():
    found = writes({"memory": {"limit": 1 << 30}})
    assert [(each.file, each.value) for each in found if Group.SERVER in each.groups] == [
        ("memory.high", str(1 << 30))
    ]


def test_swap_that_was_not_asked_for_by_name_may_be_uncounted():
    (*_, default) = writes({"memory": {"limit": 64, "swap": 128}})
    (*_, asked) = writes({"memory": {"limit": 64, "swap": 64}})
    assert (default.optional, asked.optional) == (True, False)


@pytest.mark.parametrize("memory", [{"limit": 64, "swap": 32}, {"swap": 32}])
def test_swap_less_than_memory_is_refused(memory):
    with pytest.raises(InvalidDocumentError):
        writes({"memory": memory})


def test_cpu_files():
    assert lines({"cpu": {"quota": 50_000, "period": 100_000}}) == {"cpu.max": "50000 100000"}
    assert lines({"cpu": {"quota": 50_000}}) == {"cpu.max": "50000 100000"}
    assert lines({"cpu": {"period": 50_000}}) == {"cpu.max": "max 50000"}
    assert lines({"cpu": {"quota": -1, "period": 0}}) == {}
    assert lines({"cpu": {"cpus": "0-1", "mems": "0"}}) == {
        "cpuset.cpus": "0-1",
        "cpuset.mems": "0",
    }


@pytest.mark.parametrize(("shares", "weight"), [(2, 1), (1024, 100), (262_144, 10_000), (1, 1)])
def test_shares_at_the_ends_and_the_default_become_those_of_weight(shares, weight):
    assert cpu_weight(shares) == weight


@given(st.integers(2, 262_143))
def test_more_shares_never_weigh_less(shares):
    assert 1 <= cpu_weight(shares) <= cpu_weight(shares + 1) <= 10_000


@given(st.integers(10, 1000))
def test_block_weight_stays_in_range_and_order(weight):
    assert 1 <= io_weight(weight) <= 10_000
    assert io_weight(10) == 1
    assert io_weight(1000) == 10_000


def test_block_weight_is_written_for_both_schedulers():
    assert lines({"blockIO": {"weight": 1000}}) == {
        "io.bfq.weight": "1000",
        "io.weight": "default 10000",
    }


def test_rates_of_one_device_share_a_line():
    throttles = {
        "throttleReadBpsDevice": [{"major": 8, "minor": 0, "rate": 10}],
        "throttleWriteBpsDevice": [{"major": 8, "minor": 0, "rate": 20}],
        "throttleReadIOPSDevice": [{"major": 8, "minor": 16, "rate": 30}],
    }
    assert [write.value for write in writes({"blockIO": throttles})] == [
        "8:0 rbps=10 wbps=20",
        "8:16 riops=30",
    ]


def test_limits_that_must_not_hit_the_server_are_on_the_containers_own_group():
    assert groups({"memory": {"limit": 1}, "pids": {"limit": 5}}) == {
        "memory.max": {Group.INNER},
        "memory.high": {Group.SERVER},
        "pids.max": {Group.INNER},
    }


def test_work_done_for_the_container_counts_as_the_containers():
    limits = {
        "cpu": {"quota": 1000},
        "blockIO": {"throttleReadBpsDevice": [{"major": 8, "minor": 0, "rate": 10}]},
    }
    assert groups(limits) == {
        "cpu.max": {Group.OUTER, Group.INNER},
        "io.max": {Group.OUTER},
    }


def test_unified_values_are_passed_on_but_only_to_files():
    assert lines({"unified": {"memory.high": "1000"}}) == {"memory.high": "1000"}
    for name in ("../memory.max", "nothing"):
        with pytest.raises(InvalidDocumentError):
            writes({"unified": {name: "1"}})


def test_oom_kill_disable_is_refused_by_name():
    with pytest.raises(HostSupportError, match="--oom-kill-disable cannot be enforced"):
        writes({"memory": {"disableOOMKiller": True}})


@pytest.mark.parametrize(
    "resources",
    [
        {"hugepageLimits": [{"pageSize": "2MB", "limit": 1}]},
        {"memory": {"swappiness": 10}},
        {"cpu": {"realtimeRuntime": 10}},
    ],
)
def test_limit_without_a_counterpart_is_refused_not_forgotten(resources):
    with pytest.raises(HostSupportError, match="cannot be enforced"):
        writes(resources)


@pytest.mark.parametrize("resources", [{"memory": 5}, {"blockIO": {"throttleReadBpsDevice": [{}]}}])
def test_malformed_resources_are_an_invalid_document(resources):
    with pytest.raises(InvalidDocumentError):
        writes(resources)


def test_missing_controllers_are_named_by_limit():
    wanted = writes({"memory": {"limit": 1}, "cpu": {"cpus": "0"}})
    assert [write.limit for write in missing(wanted, {"cpu", "memory"})] == ["--cpuset-cpus"]
    assert missing(wanted, {"memory", "cpuset"}) == ()
