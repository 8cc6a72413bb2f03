import errno

import pytest

from unionfs.model import SetAttributes
from unionfs.session.handlers import recorded_device, recorded_owner


@pytest.mark.parametrize(
    ("value", "uid", "gid"),
    [
        (b"5:6", 5, 6),
        (b"5:", 5, None),
        (b":6", None, 6),
        (b":", None, None),
        (b"0:4294967294", 0, 4294967294),
    ],
)
def test_owner_is_read(value, uid, gid):
    assert recorded_owner(value) == SetAttributes(uid=uid, gid=gid, kill_privileges=True)


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"5",
        b"5:6:7",
        b"-1:0",
        b"4294967295:0",
        b"99999999999:0",
        b"a:b",
        b" 5:6",
        "\u0665:6".encode(),
    ],
)
def test_anything_else_is_refused(value):
    with pytest.raises(OSError, match="Invalid argument") as raised:
        recorded_owner(value)
    assert raised.value.errno == errno.EINVAL


def test_value_of_a_device_has_its_name_mode_number_and_umask():
    assert recorded_device(b"8612:259:18/a:b") == (b"a:b", 0o20644, 259, 0o22)


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"8612:259:18",
        b"8612:259/n",
        b"8612:259:18/",
        b"8612:259:18/.",
        b"8612:259:18/..",
        b"8612:259:18/a/b",
        b"8612:259:18/a\0",
        b"33188:0:18/file",
        b"4516:0:18/fifo",
        b"8612:4294967296:18/n",
        b"8612:259:4096/n",
        b"74148:259:18/n",
        b"-1:0:0/n",
    ],
)
def test_anything_else_than_a_device_is_refused(value):
    with pytest.raises(OSError, match="Invalid argument") as raised:
        recorded_device(value)
    assert raised.value.errno == errno.EINVAL
