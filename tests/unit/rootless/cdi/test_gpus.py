"""--gpus, and which texts are names of devices."""

import pytest

from rootless.cdi.gpus import parse_gpus
from rootless.cdi.names import is_qualified
from rootless.errors import UsageError


@pytest.mark.parametrize(
    ("text", "devices"),
    [
        ("all", ["all"]),
        ("count=all", ["all"]),
        ("-1", ["all"]),
        ("2", ["0", "1"]),
        ("0", []),
        ("count=1", ["0"]),
        ("device=1", ["1"]),
        ('"device=0,GPU-7f"', ["0", "GPU-7f"]),
        ("driver=nvidia,count=1", ["0"]),
        ('all,"capabilities=compute,utility"', None),
        ('count=all,"capabilities=compute,utility"', ["all"]),
        ("capabilities=gpu", ["0"]),
    ],
)
def test_gpus_are_cdi_devices(text, devices):
    if devices is None:
        with pytest.raises(UsageError):
            parse_gpus(text)
    else:
        assert list(parse_gpus(text)) == [f"nvidia.com/gpu={each}" for each in devices]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("some", "count must be an integer or 'all': 'some'"),
        ("device=0,1", "invalid field '1'"),
        ("colour=red", "unexpected key 'colour' in 'colour=red'"),
        ("driver=amd,count=1", "unknown driver 'amd'"),
        ("count=1,device=0", "cannot set both Count and DeviceIDs on device request"),
        ("device=", "an empty device"),
    ],
)
def test_a_request_that_makes_no_sense_is_refused(text, reason):
    with pytest.raises(UsageError) as raised:
        parse_gpus(text)
    assert raised.value.message == f'invalid argument "{text}" for "--gpus" flag: {reason}'


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("vendor.com/class=name", True),
        ("nvidia.com/gpu=GPU-1:0", True),
        ("v/c=0", True),
        ("/dev/foo=bar", False),
        ("/dev/null", False),
        ("vendor.com=name", False),
        ("vendor.com/class=", False),
        ("vendor.com/class=-x", False),
        ("1v/c=x", False),
        ("v/c_=x", False),
    ],
)
def test_names_of_devices_are_told_from_paths(text, expected):
    assert is_qualified(text) is expected
