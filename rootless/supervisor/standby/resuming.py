"""The first actions of a process that resumes."""

from __future__ import annotations

import gc
import os

from rootless.supervisor.standby.modules import Modules, keep
from rootless.supervisor.standby.pickled import unpickled

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import CodeType
    from typing import NoReturn


def resume(
    name: str,
    modules: tuple[list[int], set[str], dict[str, tuple[str, bool, CodeType]]],
    opened: Sequence[int],
    pickled: bytes,
) -> NoReturn:
    """Be the monitor or the client again, a process of that name. `opened` are the descriptors that were opened for the program
    which stood by; `modules` has the fields of `Modules`.
    """
    keep(Modules(*modules))
    with open("/proc/self/comm", "w") as file:
        file.write(name)
    set_inheritable(inheritable=False)
    for descriptor in opened:
        os.close(descriptor)
    program = unpickled(pickled)
    gc.freeze()
    gc.enable()
    program.resume()


def set_inheritable(descriptors: Sequence[int] = (), *, inheritable: bool) -> None:
    """Of descriptors, or of all but the standard streams: whether the next program has them."""
    for each in descriptors or map(int, os.listdir("/proc/self/fd")):
        try:
            if each > 2:
                os.set_inheritable(each, inheritable)
        except OSError:
            pass  # that of the listing itself
