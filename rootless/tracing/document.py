"""A trace as JSON by the schema trace.schema.json of the documentation. Pure.

A path is text if it is UTF-8; any other is given in base64 under `pathBytes`, and as text with U+FFFD. Accesses name
their processes by position in the list `processes`.
"""

from __future__ import annotations

from _json import encode_basestring_ascii
from binascii import a2b_base64, b2a_base64

from rootless.errors import InvalidDocumentError
from rootless.light_json import dumps, read_versioned
from rootless.tracing.trace import Access, Kind, Process, Trace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from unionfs.session.tracer import Access as Noted
    from unionfs.session.tracer import AccessKind, TracedProcess

FORMAT = 1


def encode_trace(
    container: str,
    records: Iterable[tuple[bytes, AccessKind, Noted]],
    *,
    complete: bool,
    finished: bool,
) -> bytes:
    """The document of what a file server has noted. It is written as text, record by record, because values that an
    encoder could take would cost more than all else at the end of a run.
    """
    from unionfs.session.tracer import AccessKind

    numbers: dict[TracedProcess, int] = {}
    words = [each.name.lower() for each in AccessKind]
    accesses = []
    for path, kind, access in sorted(records, key=lambda each: each[2].first):
        processes = access.processes
        number = numbers.setdefault(processes[0], len(numbers))
        text = str(number)
        for each in processes[1:]:
            text += f", {numbers.setdefault(each, len(numbers))}"
        try:
            encoded = encode_basestring_ascii(path.decode())
        except UnicodeDecodeError:
            encoded = _encoded_bytes(path)
        accesses.append(
            f'{{"path": {encoded}, "kind": "{words[kind]}", "requests": {access.count}, "bytes": {access.bytes}, '
            f'"firstNs": {access.first}, "lastNs": {access.last}, "processes": [{text}]}}'
        )
    head = {
        "format": FORMAT,
        "container": container,
        "complete": complete,
        "finished": finished,
        "processes": [{"pid": each.pid, "name": each.name} for each in numbers],
    }
    # The brace at the end of the head makes room for the last field.
    return dumps(head)[:-1] + b', "accesses": [' + ",\n".join(accesses).encode() + b"]}\n"


def selected(document: dict[str, Any], paths: Iterable[bytes]) -> dict[str, Any]:
    """A document with the accesses at and below `paths` only, which are absolute; all if there are none."""
    wanted = [path.rstrip(b"/") for path in paths]
    if not wanted:
        return document
    kept = [
        each
        for each in document["accesses"]
        if any(_path_of(each) == path or _path_of(each).startswith(path + b"/") for path in wanted)
    ]
    return {**document, "accesses": kept}


def read_trace(document: dict[str, Any], what: str) -> Trace:
    """The trace of a document; `what` names it in errors. Raises InvalidDocumentError."""
    try:
        processes = [Process(int(each["pid"]), str(each["name"])) for each in document["processes"]]
        return Trace(
            str(document["container"]),
            bool(document["complete"]),
            bool(document["finished"]),
            tuple(
                Access(
                    _path_of(each),
                    Kind(each["kind"]),
                    int(each["requests"]),
                    int(each["bytes"]),
                    int(each["firstNs"]),
                    int(each["lastNs"]),
                    tuple(processes[number] for number in each["processes"]),
                )
                for each in document["accesses"]
            ),
        )
    except (LookupError, TypeError, ValueError) as error:
        raise InvalidDocumentError(f"{what} is not a trace: {error!r}") from error


def load_document(data: bytes, what: str) -> dict[str, Any]:
    """The document in a file. Raises InvalidDocumentError for another format, or what is not a JSON object."""
    return read_versioned(data, what, FORMAT)


def _encoded_bytes(path: bytes) -> str:
    """The value of the key `path` for a path that is not UTF-8, and the key `pathBytes` after it."""
    encoded = b2a_base64(path, newline=False).decode()
    text = encode_basestring_ascii(path.decode(errors="replace"))
    return f'{text}, "pathBytes": "{encoded}"'


def _path_of(access: dict[str, Any]) -> bytes:
    encoded = access.get("pathBytes")
    if encoded is not None:
        return a2b_base64(encoded)
    path: str = access["path"]
    return path.encode()
