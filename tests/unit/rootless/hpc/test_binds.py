"""-B of `hpc`."""

import pytest

from rootless.errors import UsageError
from rootless.hpc.binds import parse_binds
from rootless.spec.options import Bind


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/data", [("/data", "/data", False)]),
        ("data", [("/cwd/data", "/cwd/data", False)]),
        ("/data:/mnt", [("/data", "/mnt", False)]),
        ("/data:/mnt:ro", [("/data", "/mnt", True)]),
        ("/a:/b:ro,/c", [("/a", "/b", True), ("/c", "/c", False)]),
        ("/a:/b:rw,ro,/c:/d", [("/a", "/b", True), ("/c", "/d", False)]),
        ("/a,/b,", [("/a", "/a", False), ("/b", "/b", False)]),
        (r"/a\,b:/c\:d", [("/a,b", "/c:d", False)]),
        ("/a/../b:/x//y", [("/b", "/x/y", False)]),
        ("", []),
    ],
)
def test_binds(text, expected):
    found = parse_binds(text, lambda: "/cwd")
    assert list(found) == [Bind(source, target, read) for source, target, read in expected]


@pytest.mark.parametrize("text", ["/a:/b:ro:x", ":/b", "/a:b", "/a:/b:private"])
def test_a_bind_that_makes_no_sense_is_refused(text):
    with pytest.raises(UsageError):
        parse_binds(text, lambda: "/")
