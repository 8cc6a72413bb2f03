"""The grammar of --trace and --prefetch."""

from __future__ import annotations

import os

from rootless.cli.context import absolute
from rootless.errors import UsageError
from rootless.spec.options import TraceOptions


def parse_trace(text: str, *, removed_by: str) -> TraceOptions:
    """The options of --trace; `text` is the file after `=`, if there is one. `removed_by` is the option by which
    the container is removed at its end, empty if none is. Raises UsageError.
    """
    if not text:
        if removed_by:
            raise UsageError(
                f"with {removed_by} the trace is removed with the container",
                hint="write it to a file: --trace=FILE",
            )
        return TraceOptions()
    file = absolute(text)
    if os.path.isdir(file) or not os.access(os.path.dirname(file), os.W_OK | os.X_OK):
        raise UsageError(f"--trace={text}: the file cannot be written")
    return TraceOptions(file)


def parse_prefetch(text: str) -> str:
    """The absolute path of a file that names what to read ahead. Raises UsageError if it cannot be read, and
    InvalidDocumentError for what is neither a trace nor a list of paths.
    """
    from rootless.light_stdlib import read_file
    from rootless.tracing.reading_list import read_reading_list

    file = absolute(text)
    try:
        data = read_file(file)
    except OSError as error:
        raise UsageError(f"open {text}: {error.strerror}") from error
    read_reading_list(data, text)
    return file
