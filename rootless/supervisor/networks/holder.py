"""Starts the holder of a user's networks (`rootless.network.holder`) with the first container that needs it, and connects to
it.

    RUNROOT/volumes/networks/control.sock

The holder lives in the user namespace that the containers' own lie below, which is that of the file servers of volumes too
(`rootless.supervisor.file_servers.volume_server`): its root has CAP_NET_ADMIN over the network namespaces of the
containers. It answers `namespace` as those servers do, so that all of them have one.
"""

from __future__ import annotations

import os
import time

from rootless.durable import locked
from rootless.errors import LaunchError, NotFoundError, RootlessError
from rootless.light_stdlib import socket
from rootless.network.holder import protocol
from rootless.private_directory import make_private_directory
from rootless.runtime.account import read_id_maps
from rootless.runtime.idmap_writer import write_maps
from rootless.runtime.nested import SharedNamespace
from rootless.spec.options import ROOT_IS_CALLER
from rootless.supervisor import control_socket
from rootless.supervisor.engine_log import log, log_exception, take_streams
from rootless.supervisor.file_servers.volume_mounts import existing_namespace
from rootless.supervisor.messages import close_all_but, send_failure
from rootless.syscalls import descriptors, identity, processes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from rootless.runtime.idmap import IdMaps

_NAME = b"rootless-nets"
_LISTENING = b"listening"
_TRIES = 5
_RETURN_WAIT = 2.0
"""Seconds in which containers of a holder that was killed start another, in the namespace that theirs lie below."""
_ANSWER_WAIT = 30.0


class HolderClient:
    """For one container. `namespace` is what its user namespace is made below. Close it at the container's end."""

    def __init__(self, runtime: str) -> None:
        """Start the holder if there is none. Raises RootlessError."""
        self._runtime = runtime
        self._maps = read_id_maps(ROOT_IS_CALLER)
        self._namespace = -1
        self._first: socket.socket | None = self._connect()

    @property
    def namespace(self) -> SharedNamespace:
        return SharedNamespace(self._namespace, self._maps)

    def connect(self) -> socket.socket:
        """A connection to the holder. Raises RootlessError if it cannot be started, or is no longer in the namespace
        that the container's lies below.
        """
        if self._first is not None:
            first, self._first = self._first, None
            return first
        return self._connect()

    def close(self) -> None:
        """Idempotent."""
        if self._first is not None:
            self._first.close()
            self._first = None
        if self._namespace >= 0:
            os.close(self._namespace)
            self._namespace = -1

    def _connect(self) -> socket.socket:
        top = f"{self._runtime}/volumes"
        for each in (self._runtime, top):
            make_private_directory(each, "ROOTLESS_RUNROOT")
        for _ in range(_TRIES):
            end = self._ask(top) or self._start(top)
            if end is not None:
                return end
        raise LaunchError("cannot make a network: the holder of the networks ends again and again")

    def _ask(self, top: str) -> socket.socket | None:
        """A connection to the holder that listens; None if none does."""
        try:
            end = control_socket.connect(f"{top}/networks").detached()
        except NotFoundError:
            return None
        end.settimeout(_ANSWER_WAIT)
        try:
            descriptors.send(end, protocol.NAMESPACE)
            word, received = descriptors.receive(end, 16, 1)
        except OSError:
            word, received = b"", []
        if word != protocol.OK or not received:
            end.close()
            return None
        if self._namespace < 0:
            self._namespace = received[0]
            return end
        is_same = os.path.sameopenfile(self._namespace, received[0])
        os.close(received[0])
        if not is_same:
            end.close()
            raise LaunchError("the networks of the container have gone with their holder")
        return end

    def _start(self, top: str) -> socket.socket | None:
        if self._namespace < 0 and os.path.exists(_assigned(self._runtime)):
            # Containers of a holder that was killed start another in their own namespace.
            until = time.monotonic() + _RETURN_WAIT
            while time.monotonic() < until:
                if (end := self._ask(top)) is not None:
                    return end
                time.sleep(0.02)
        with locked(f"{top}/namespace.lock"):
            if (end := self._ask(top)) is not None:
                return end
            found = existing_namespace(top) if self._namespace < 0 else os.dup(self._namespace)
            try:
                reports = _fork_holder(self._runtime, self._maps, found)
                word = reports.recv(4096)
                reports.close()
            finally:
                if found is not None:
                    os.close(found)
        if word != _LISTENING:
            raise LaunchError(
                word.decode(errors="replace") or "the holder of the networks was killed"
            )
        return self._ask(top)


def _assigned(runtime: str) -> str:
    return f"{runtime}/networks.json"


def _fork_holder(runtime: str, maps: IdMaps, namespace: int | None) -> socket.socket:
    """Start the holder, in the user namespace of that descriptor or in a new one with the maps. It is not a child of this
    process, which must have one thread; what it reports comes on the socket.
    """
    ours, theirs = descriptors.pair()
    pid = os.fork()
    if pid == 0:
        _detach(runtime, maps, namespace, theirs)
    theirs.close()
    os.waitpid(pid, 0)
    return ours


def _detach(runtime: str, maps: IdMaps, namespace: int | None, end: socket.socket) -> NoReturn:
    """The program of the process that makes the holder and ends."""
    from rootless.network.holder.server import default_signals

    try:
        os.setsid()
        close_all_but((end.fileno(), *(() if namespace is None else (namespace,))))
        take_streams(f"{runtime}/networks.log")
        os.chdir("/")
        default_signals()
        with open("/proc/self/comm", "wb", buffering=0) as file:
            file.write(_NAME)
        if namespace is None:
            ready, mapped = os.pipe2(os.O_CLOEXEC)
            pid, _ = processes.fork_into(processes.CLONE_NEWUSER)
            if pid == 0:
                os.close(mapped)
                if os.read(ready, 1):
                    _main(runtime, maps, end)
                os._exit(1)
            write_maps(pid, maps)
            os.write(mapped, b"1")
        elif os.fork() == 0:
            processes.setns(namespace, processes.CLONE_NEWUSER)
            _main(runtime, maps, end)
    except BaseException as error:  # noqa: BLE001 - the last resort of this process
        _report(end, error)
    finally:
        os._exit(0)


def _main(runtime: str, maps: IdMaps, end: socket.socket) -> NoReturn:
    """The whole program of the holder: never returns and never raises."""
    from rootless.network.holder.server import Holder

    control = f"{runtime}/volumes/networks"
    try:
        uid, gid = maps.root
        identity.become(uid, gid, drop_groups=bool(maps.helper))
        listener = control_socket.listen(control)
        try:
            holder = Holder(listener, _accept, _assigned(runtime), log)
        except BaseException:
            control_socket.remove(control)
            raise
        end.send(_LISTENING, socket.MSG_NOSIGNAL)
        end.close()
        holder.serve(lambda: control_socket.remove(control))
    except BaseException as error:  # noqa: BLE001 - the last resort of this process
        _report(end, error)
    finally:
        os._exit(0)


def _accept(listener: socket.socket) -> socket.socket | None:
    connection = control_socket.accept(listener)
    return None if connection is None else connection.detached()


def _report(end: socket.socket, error: BaseException) -> None:
    if isinstance(error, RootlessError):
        text = error.message
    elif isinstance(error, OSError):
        log_exception(error)
        text = f"cannot make a network: {(error.strerror or '').lower()}"
    else:
        log_exception(error)
        text = f"cannot make a network: {type(error).__name__}: {error}"
    send_failure(end, text)
