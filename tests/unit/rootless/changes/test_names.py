"""Names are quoted as git quotes them."""

import pytest

from rootless.changes.names import quoted


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        (b"plain name", b"plain name"),
        ("ä".encode(), "ä".encode()),
        (b"new\nline", rb'"new\nline"'),
        (b'quote"', rb'"quote\""'),
        (b"back\\slash", rb'"back\\slash"'),
        (b"\xff", rb'"\377"'),
        (b"\x1b[31m", rb'"\033[31m"'),
        ("\u202e".encode(), rb'"\342\200\256"'),
    ],
)
def test_name_is_shown_as_git_does(name, shown):
    assert quoted(name) == shown
