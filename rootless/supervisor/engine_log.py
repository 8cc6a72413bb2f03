"""engine.log: standard error of a container's monitor and file server. A line that cannot be written, as on a
full disk, is lost, and the process goes on."""

from __future__ import annotations

import os


def log(text: str) -> None:
    try:
        os.write(2, f"{text}\n".encode(errors="backslashreplace"))
    except OSError:
        pass


def log_exception(error: BaseException) -> None:
    """Its traceback."""
    import traceback

    log("".join(traceback.format_exception(error)).rstrip())


def take_streams(path: str) -> None:
    """Make standard error the log at `path`, and standard input and output /dev/null. Where the log cannot be opened, what
    would be written there is lost."""
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    try:
        opened = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    except OSError:
        opened = os.dup(null)
    for source, target in ((null, 0), (null, 1), (opened, 2)):
        os.dup2(source, target)
    os.close(null)
    os.close(opened)
