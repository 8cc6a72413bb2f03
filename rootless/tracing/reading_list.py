"""The list of files that a container reads ahead: from a trace, or from a list of paths. Pure."""

from __future__ import annotations

from rootless.errors import InvalidDocumentError
from rootless.tracing.document import load_document, read_trace
from rootless.tracing.trace import Kind
from unionfs.light_types import NamedTuple


class Part(NamedTuple):
    """The beginning of a file. `path` is absolute in the container, `size` the number of bytes; None: all of it."""

    path: bytes
    size: int | None


def read_reading_list(data: bytes, what: str) -> list[Part]:
    """The parts that a trace of `rootless trace --json` has read, in the order of time; or, for any other data, whole files,
    one absolute path a line, or each ended by a NUL. `what` names the data in errors.

    Raises InvalidDocumentError.
    """
    if data.lstrip().startswith(b"{"):
        trace = read_trace(load_document(data, what), what)
        return [Part(each.path, each.bytes) for each in trace.accesses if each.kind is Kind.READ]
    paths = [path for path in data.split(b"\0" if b"\0" in data else b"\n") if path]
    for path in paths:
        if not path.startswith(b"/"):
            shown = path[:80].decode(errors="backslashreplace")
            raise InvalidDocumentError(f"{what}: {shown!r} is not an absolute path")
    return [Part(path, None) for path in paths]
