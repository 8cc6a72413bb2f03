"""Docker's limit flags: grammar, units, combinations, and the words of the refusals."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rootless.errors import UsageError
from rootless.sizes import decimal_size_in_bytes, ram_in_bytes
from rootless.spec.resources import make_resources
from tests.support.run_flags import flags_to_options

DISKS = {"/dev/sda": (8, 0), "/dev/nvme0n1": (259, 0)}


def resources(**flags):
    return make_resources(
        flags_to_options(**flags).limits, cpu_count=4, device_number=lambda path: DISKS[path]
    )


def refusal(**flags):
    with pytest.raises(UsageError) as caught:
        resources(**flags)
    return caught.value.message


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("42", 42),
        ("32b", 32),
        ("32kb", 32 << 10),
        ("32 KiB", 32 << 10),
        ("64m", 64 << 20),
        ("64M", 64 << 20),
        ("1.5g", 3 << 29),
        (".5k", 512),
        ("5.k", 5120),
        ("1t", 1 << 40),
        ("2P", 1 << 51),
        ("1e3", 1000),
        ("5 ", 5),
    ],
)
def test_size_in_docker_spelling_is_read(text, size):
    assert ram_in_bytes(text) == size


@pytest.mark.parametrize(
    "text",
    [
        "",
        "m",
        "-1",
        "-1m",
        "64x",
        "64mbit",
        "1_0",
        "0x10",
        "6 4m",
        " 5m",
        "inf1",
        "nan1",
        "9999999p",
        "64bb",
        "\N{FULLWIDTH DIGIT ONE}m",
    ],
)
def test_size_that_docker_refuses_is_refused(text):
    with pytest.raises(ValueError, match=r"invalid (size|suffix)"):
        ram_in_bytes(text)


@given(st.integers(0, 1 << 52))
def test_size_in_plain_bytes_is_itself(size):
    assert ram_in_bytes(str(size)) == size


@given(st.text())
def test_size_of_any_text_is_a_number_or_value_error(text):
    try:
        size = ram_in_bytes(text)
    except ValueError:
        return
    assert 0 <= size < 1 << 63


def test_no_flag_asks_for_nothing():
    assert resources() == {}


def test_memory_alone_allows_as_much_swap_again():
    assert resources(memory="64m") == {"memory": {"limit": 64 << 20, "swap": 128 << 20}}


def test_memory_swap_counts_both_together():
    assert resources(memory="64m", memory_swap="64m")["memory"]["swap"] == 64 << 20
    assert resources(memory="64m", memory_swap="-1")["memory"]["swap"] == -1
    assert resources(memory_swap="-1") == {"memory": {"swap": -1}}


def test_zero_is_no_limit():
    assert resources(memory="0", cpus="0", cpu_shares=0, pids_limit=0, blkio_weight=0) == {}
    assert resources(pids_limit=-1, cpu_quota=-1) == {}
    assert resources(device_read_bps=("/dev/sda:0",)) == {}


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ({"memory": "4m"}, "minimum memory limit allowed is 6MB"),
        ({"memory": "lots"}, "flag: invalid size: 'lots'"),
        ({"memory": "64x"}, "flag: invalid suffix: 'x'"),
        ({"memory": "-1"}, "invalid size: '-1'"),
        ({"memory": "64m", "memory_swap": "32m"}, "memoryswap limit should be larger than memory"),
        ({"memory_swap": "64m"}, "always set the memory limit"),
        ({"memory": "64m", "memory_reservation": "65m"}, "less than memory reservation limit"),
        ({"memory_reservation": "1m"}, "minimum memory reservation allowed is 6MB"),
        ({"cpus": "half"}, "failed to parse half as a rational number"),
        ({"cpus": "1/0"}, "failed to parse 1/0 as a rational number"),
        ({"cpus": "0.0000000001"}, "value is too precise"),
        ({"cpus": "5"}, "range of CPUs is from 0.01 to 4.00, as there are only 4 CPUs available"),
        ({"cpus": "-1"}, "range of CPUs is from 0.01"),
        ({"cpus": "0.001"}, "range of CPUs is from 0.01"),
        ({"cpus": "1", "cpu_quota": 5000}, "nano CPUs (--cpus) and CPU quota cannot both be set"),
        ({"cpus": "1", "cpu_period": 5000}, "nano CPUs (--cpus) and CPU period cannot both be set"),
        ({"cpu_period": 10}, "less than 1ms"),
        ({"cpu_quota": 10}, "less than 1ms"),
        ({"cpu_shares": -1}, "must be a positive integer"),
        ({"cpuset_cpus": "0-"}, "invalid list of processors '0-'"),
        ({"cpuset_mems": "a"}, "invalid list of memory nodes 'a'"),
        ({"blkio_weight": 5}, "range of blkio weight is from 10 to 1000"),
        ({"device_read_bps": ("/dev/sda",)}, "bad format: /dev/sda"),
        ({"device_read_bps": ("sda:1m",)}, "bad format for device path: sda:1m"),
        ({"device_read_bps": ("/dev/sda:-1",)}, "Unit is optional and can be kb, mb, or gb"),
        ({"device_write_iops": ("/dev/sda:1k",)}, "<number>. Number must be a positive integer"),
    ],
)  # fmt: skip
def test_senseless_value_is_refused_with_the_flag_and_why(flags, words):
    assert words in refusal(**flags)


def test_cpus_become_a_quota_of_a_tenth_of_a_second():
    assert resources(cpus="0.5") == {"cpu": {"period": 100_000, "quota": 50_000}}
    assert resources(cpus="1/4")["cpu"]["quota"] == 25_000
    assert resources(cpus=".01")["cpu"]["quota"] == 1000


def test_other_processor_flags_are_passed_on():
    asked = resources(
        cpu_shares=512, cpu_period=50_000, cpu_quota=20_000, cpuset_cpus="0-2,3", cpuset_mems="0"
    )
    assert asked == {
        "cpu": {"shares": 512, "period": 50_000, "quota": 20_000, "cpus": "0-2,3", "mems": "0"}
    }


def test_device_rates_name_devices_by_number():
    asked = resources(
        device_read_bps=("/dev/sda:1mb", "/dev/nvme0n1:2g"),
        device_write_iops=("/dev/sda:100",),
        blkio_weight=500,
    )
    assert asked == {
        "blockIO": {
            "weight": 500,
            "throttleReadBpsDevice": [
                {"major": 8, "minor": 0, "rate": 1 << 20},
                {"major": 259, "minor": 0, "rate": 2 << 30},
            ],
            "throttleWriteIOPSDevice": [{"major": 8, "minor": 0, "rate": 100}],
        }
    }


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "memory": st.sampled_from(["0", "6m", "64m", "x"]),
            "memory_swap": st.sampled_from(["-1", "6m", "64m", "1g"]),
            "memory_reservation": st.sampled_from(["0", "6m", "128m"]),
            "cpus": st.text(alphabet="0123456789./e-", max_size=5),
            "cpu_shares": st.integers(-2, 300_000),
            "cpu_period": st.integers(-2, 2_000_000),
            "cpu_quota": st.integers(-2, 2_000_000),
            "cpuset_cpus": st.text(alphabet="0123-, ", max_size=6),
            "pids_limit": st.integers(-2, 100),
            "blkio_weight": st.integers(-2, 1100),
            "device_read_bps": st.lists(st.text(alphabet="/devsda:10km", max_size=12)).map(tuple),
        },
    )
)
def test_any_flags_give_resources_or_a_usage_error(flags):
    try:
        limits = flags_to_options(**flags).limits
        make_resources(limits, cpu_count=2, device_number=lambda path: (8, 0))
    except UsageError:
        pass


@pytest.mark.parametrize(("text", "size"), [("1k", 1000), ("1.5MiB", 1_500_000), ("7", 7)])
def test_decimal_sizes_are_powers_of_1000_whatever_the_spelling(text, size):
    assert decimal_size_in_bytes(text) == size
