"""Finding and killing file servers: one that is killed is replaced, but not for ever."""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress

from tests.support.processes import children_of
from tests.support.rootless import Rootless
from tests.support.waiting import let_pass, wait_until


def server_of(rootless: Rootless) -> int:
    """The process that serves the files of the only container. The command may be quicker than the note of it, before which
    the record has 0, which kill(2) takes for the group of the caller.
    """
    (path,) = (rootless.data / "rootless/containers").glob("?" * 64 + "/container.json")
    return wait_until(lambda: int(json.loads(path.read_text())["server_pid"]))


def kill_file_servers(monitor: int, container: int, has_ended: Callable[[], object]) -> None:
    """Kill every child of the monitor but the container's first process, until `has_ended`."""

    def kill() -> object:
        for pid in set(children_of(monitor)) - {container}:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        return has_ended()

    wait_until(kill)  # each of them takes a start of an interpreter


def kill_now_and_then(
    process: subprocess.Popen[bytes], kill_server: Callable[[], None], choices: random.Random
) -> None:
    """Kill a file server ten times while a process runs, at random moments. Fails if the process ends before."""
    for _ in range(10):
        let_pass(choices.uniform(0.05, 0.3))
        assert process.poll() is None, "it ended too early"
        kill_server()


def open_files(pid: int) -> set[str]:
    """The names of what a process has open, as far as this account may see them."""
    names = set()
    try:
        for each in os.listdir(f"/proc/{pid}/fd"):
            with suppress(FileNotFoundError):  # it is closed meanwhile
                names.add(os.readlink(f"/proc/{pid}/fd/{each}"))
    except OSError:
        pass
    return names


def servers_below(pid: int) -> list[int]:
    """The children of a process, and theirs, that have the FUSE device open, which one of them serves."""
    found = []
    for child in children_of(pid):
        found += servers_below(child)
        # The path is that in the mount namespace where it was opened, which has gone.
        if any(name.endswith("/fuse") for name in open_files(child)):
            found.append(child)
    return found


def volume_servers(rootless: Rootless) -> list[int]:
    """The processes that listen on the sockets of volumes (SO_PEERCRED, unix(7))."""
    found = []
    for path in (rootless.runtime / "rootless").glob("volumes*/*/control.sock"):
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as client:
            try:
                client.connect(str(path))
            except OSError:
                continue  # that of a killed one, or it ends
            credentials = client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
            found.append(int.from_bytes(credentials[:4], sys.byteorder))
    return found
