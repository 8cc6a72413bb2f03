import errno

import pytest

from unionfs.model import SetAttributes
from unionfs.session.handlers import recorded_owner


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
