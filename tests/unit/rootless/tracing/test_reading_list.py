"""What to read ahead, from traces and lists of paths."""

import pytest

from rootless.errors import InvalidDocumentError
from rootless.tracing.document import encode_trace
from rootless.tracing.reading_list import Part, read_reading_list
from unionfs.session.tracer import Access, AccessKind, TracedProcess


def test_trace_gives_what_was_read_in_the_order_of_time():
    records = []
    for now, path, kind in (
        (3, b"/c", AccessKind.READ),
        (1, b"/a\xff", AccessKind.READ),
        (2, b"/b", AccessKind.MISSING),
    ):
        access = Access(now, TracedProcess(1, "sh", 0))
        access.bytes = now * 10
        records.append((path, kind, access))
    document = encode_trace("id", records, complete=True, finished=True)
    assert read_reading_list(document, "it") == [Part(b"/a\xff", 10), Part(b"/c", 30)]


@pytest.mark.parametrize("data", [b"/a b\n/c\n", b"/a b\n\n/c", b"/a b\0/c\0"])
def test_list_has_a_path_a_line_or_each_ended_by_a_nul(data):
    assert read_reading_list(data, "it") == [Part(b"/a b", None), Part(b"/c", None)]


def test_newline_is_part_of_a_name_that_a_nul_ends():
    assert read_reading_list(b"/a\nb\0", "it") == [Part(b"/a\nb", None)]


@pytest.mark.parametrize("data", [b"a\n", b"{}", b'{"format": 1}', b"{"])
def test_anything_else_is_refused(data):
    with pytest.raises(InvalidDocumentError, match="it"):
        read_reading_list(data, "it")
