"""Calls a function as root of a new user namespace, where an ordinary account may change files of its subordinate
ids.
"""

from __future__ import annotations

import os

from rootless.errors import LaunchError
from rootless.run_in_child import ChildCall
from rootless.runtime.idmap_writer import write_maps
from rootless.syscalls import identity, processes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    from rootless.runtime.idmap import IdMaps

    T = TypeVar("T")


def run_in_user_namespace(id_maps: IdMaps, function: Callable[[], T]) -> T:
    """Return what `function` returns as root of a new user namespace with these maps, in a child process. The
    caller must have one thread.

    Raises:
        RootlessError, OSError: as `run_in_child`.
        LaunchError, HostSupportError: the namespace or its maps could not be made.
    """
    ready, mapped = os.pipe2(os.O_CLOEXEC)

    def inside() -> T:
        os.close(mapped)
        if not os.read(ready, 1):
            os._exit(1)
        uid, gid = id_maps.root
        identity.become(uid, gid, drop_groups=bool(id_maps.helper))
        return function()

    try:
        call = ChildCall(inside, _fork)
        try:
            write_maps(call.pid, id_maps)
            os.write(mapped, b"1")
        except BaseException:
            call.kill()
            raise
    finally:
        os.close(ready)
        os.close(mapped)
    result: T = call.result()
    return result


def _fork() -> int:
    try:
        pid, pidfd = processes.fork_into(processes.CLONE_NEWUSER)
    except OSError as error:
        from rootless.runtime.refused_namespaces import remedy

        raise LaunchError(
            f"cannot create a user namespace: {error.strerror}", hint=remedy(("user",)) or None
        ) from error
    if pid != 0:
        os.close(pidfd)
    return pid
