"""Traces as JSON: names, processes, selections, damaged documents."""

import pytest

from rootless.errors import InvalidDocumentError
from rootless.tracing.document import encode_trace, load_document, read_trace, selected
from rootless.tracing.trace import Access, Kind, Process, Trace
from unionfs.session.tracer import Access as Noted
from unionfs.session.tracer import AccessKind, TracedProcess


def noted(now, *processes, size=0):
    access = Noted(now, processes[0])
    for each in processes[1:]:
        access.repeat(now + 1, each)
    access.bytes = size
    return access


def test_what_is_written_is_read_back_in_the_order_of_time():
    first, second = TracedProcess(1, "sh", 0), TracedProcess(7, "cat", 0)
    records = [
        (b"/b\xff", AccessKind.READ, noted(20, second, first, size=5)),
        (b"/a\nb", AccessKind.MISSING, noted(10, first)),
    ]
    document = encode_trace("id", records, complete=True, finished=False)
    found = read_trace(load_document(document, "it"), "it")
    assert found == Trace(
        "id",
        True,
        False,
        (
            Access(b"/a\nb", Kind.MISSING, 1, 0, 10, 10, (Process(1, "sh"),)),
            Access(b"/b\xff", Kind.READ, 2, 5, 20, 21, (Process(7, "cat"), Process(1, "sh"))),
        ),
    )


def test_paths_select_what_is_at_and_below_them():
    process = TracedProcess(1, "sh", 0)
    records = [
        (path, AccessKind.FOUND, noted(number, process))
        for number, path in enumerate((b"/", b"/a", b"/a/b", b"/ab"))
    ]
    data = encode_trace("id", records, complete=True, finished=True)
    document = load_document(data, "it")

    def paths(*wanted):
        return [each["path"] for each in selected(document, wanted)["accesses"]]

    assert paths() == ["/", "/a", "/a/b", "/ab"]
    assert paths(b"/a") == ["/a", "/a/b"]
    assert paths(b"/") == ["/", "/a", "/a/b", "/ab"]
    assert paths(b"/a/b", b"/ab") == ["/a/b", "/ab"]


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"container": "x", "complete": True, "finished": True, "processes": [], "accesses": [{}]},
        {"container": "x", "complete": True, "finished": True, "processes": 1, "accesses": []},
    ],
)
def test_damaged_documents_are_refused(document):
    with pytest.raises(InvalidDocumentError, match="it is not a trace"):
        read_trace(document, "it")
