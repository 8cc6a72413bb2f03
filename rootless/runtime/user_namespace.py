"""A function in a user namespace of its own: where files belong to subordinate ids, only there is the
caller their master.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable

from rootless.errors import LaunchError
from rootless.runtime.idmap import IdMaps
from rootless.runtime.idmap_writer import write_maps
from rootless.syscalls import identity, processes


def call_in_user_namespace(id_maps: IdMaps, action: Callable[[], None]) -> None:
    """Do `action` as root of a new user namespace with these maps, in a process of its own. The
    caller must have one thread.

    Raises:
        OSError: what `action` raised.
        LaunchError: the namespace could not be made, or the process was killed.
    """
    own_end, child_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with own_end:
        try:
            pid, pidfd = processes.fork_into(processes.CLONE_NEWUSER)
        except OSError as error:
            child_end.close()
            raise LaunchError(f"cannot create a user namespace: {error.strerror}") from error
        if pid == 0:
            own_end.close()
            _carry_out(id_maps, action, child_end)
        child_end.close()
        try:
            write_maps(pid, id_maps)
            own_end.send(b"mapped", socket.MSG_NOSIGNAL)
        finally:
            # At the end of the socket a child that still waits for its maps ends too.
            own_end.shutdown(socket.SHUT_WR)
            answer = own_end.recv(4096)
            result = os.waitid(os.P_PIDFD, pidfd, os.WEXITED)
            os.close(pidfd)
    if answer:
        number, _, path = answer.partition(b" ")
        raise OSError(int(number), os.strerror(int(number)), os.fsdecode(path) or None)
    if result is None or (result.si_code, result.si_status) != (os.CLD_EXITED, 0):
        raise LaunchError("the process in the user namespace was killed")


def _carry_out(id_maps: IdMaps, action: Callable[[], None], end: socket.socket) -> None:
    status = 1
    try:
        if end.recv(16):
            uid, gid = id_maps.root
            if id_maps.helper:
                identity.setgroups(())
            identity.setresgid(gid)
            identity.setresuid(uid)
            action()
            status = 0
    except OSError as error:
        path = b"" if error.filename is None else os.fsencode(error.filename)
        end.send(b"%d %s" % (error.errno or 5, path), socket.MSG_NOSIGNAL)
    finally:
        os._exit(status)
