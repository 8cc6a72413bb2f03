"""The records of a trace, and their form as bytes."""

from __future__ import annotations

import pytest

from unionfs.traced.trace import Access, Record, Trace, decode, encode


def test_accesses_to_a_path_add_up_and_the_root_always_has_one():
    trace = Trace()
    trace.names_in(b"a")[b"\xff"] = Access.LOOKUP
    trace.add(b"a/\xff", Access.CONTENT)
    trace.add(b"a", Access.NAMES)
    trace.add(b"", Access.XATTRS)
    assert sorted(trace.records()) == [
        Record(b"", Access.LOOKUP | Access.XATTRS),
        Record(b"a", Access.NAMES),
        Record(b"a/\xff", Access.LOOKUP | Access.CONTENT),
    ]
    assert decode(encode(trace)) == list(trace.records())


@pytest.mark.parametrize("data", [b"", b"\x01a", b"\x01a\0\0"])
def test_what_is_no_trace_is_refused(data):
    with pytest.raises(ValueError, match="a "):
        decode(data)
