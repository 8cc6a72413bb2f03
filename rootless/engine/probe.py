"""Trying something in a process that can be thrown away, which is how the engine learns what a
machine offers.

A version number or a setting says what ought to work; only doing it says what does.
"""

from __future__ import annotations

import os
from collections.abc import Callable


def attempt(action: Callable[[], None]) -> OSError | None:
    """Do `action` in a child process; returns the OSError it failed with, or None.

    The child ends at once, whatever namespaces or mounts it made go with it.
    """
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            action()
            status = 0
        except OSError as error:
            os.write(writer, f"{error.errno or 0} {error.filename or ''}".encode())
        finally:
            os._exit(status)
    os.close(writer)
    with open(reader, "rb") as answer:
        text = answer.read().decode(errors="replace")
    _, status = os.waitpid(pid, 0)
    if status == 0:
        return None
    number, _, path = text.partition(" ")
    code = int(number or 0)
    return OSError(code, os.strerror(code) if code else "the attempt was killed", path or None)
