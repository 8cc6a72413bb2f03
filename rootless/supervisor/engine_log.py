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
