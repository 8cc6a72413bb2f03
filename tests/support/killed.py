"""A union whose server is killed in the middle of its work."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterable

from unionfs.union import Union


def work_until_killed(
    mount: Callable[[], Union], operations: Iterable[Callable[[Union], object]], acknowledged: int
) -> int:
    """Do the operations in a child, and kill it when `acknowledged` are done, while it does the next. Returns
    how many were done in the end."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            union = mount()
            for operation in operations:
                operation(union)
                os.write(writer, b".")
        finally:
            os._exit(0)
    os.close(writer)
    done = 0
    while done < acknowledged and os.read(reader, 1):
        done += 1
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    while os.read(reader, 1):
        done += 1
    os.close(reader)
    return done
