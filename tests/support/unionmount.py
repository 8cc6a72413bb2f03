"""Mounts for tests: one of our file systems in a user and mount namespace of its own, without
privilege.

    namespace holder (uid 0 of a one-id map) ── makes the mount, then only keeps the namespaces
    alive server                                   ── outside of them, as in a container

The mount has no `allow_other`, and the tests' own uid is its owner, so that tests reach it from
outside under /proc/PID/root with ordinary calls; `inside` runs what must be root of the namespace.
"""

from __future__ import annotations

import array
import contextlib
import ctypes
import os
import pickle
import signal
import socket
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from unionfs.commands.mount import MountOptions, mount_in_namespace, wait_until_answering
from unionfs.filesystem import FileSystem

CLONE_NEWNS = 0x00020000
CLONE_NEWUSER = 0x10000000

NO_OPTIONS = MountOptions()

_libc = ctypes.CDLL(None, use_errno=True)


def enter_new_namespaces() -> None:
    """New user and mount namespaces for this process, in which its user is root."""
    uid, gid = os.getuid(), os.getgid()
    if _libc.unshare(CLONE_NEWUSER | CLONE_NEWNS):
        errno = ctypes.get_errno()
        raise OSError(errno, os.strerror(errno), "unshare")
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"0 {uid} 1")
    Path("/proc/self/gid_map").write_text(f"0 {gid} 1")


def _fork(body: Callable[[], None]) -> int:
    """A child that runs `body` and never returns into the tests."""
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            body()
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    return pid


class Mounted:
    def __init__(self, holder: int, server: int, mountpoint: Path) -> None:
        self._holder = holder
        self.server = server
        self.mountpoint = mountpoint
        self.path = Path(f"/proc/{holder}/root{mountpoint}")

    def mountinfo(self) -> str:
        """The line of the mount in mountinfo, from the file system type on."""
        for line in Path(f"/proc/{self._holder}/mountinfo").read_text().splitlines():
            if line.split()[4] == str(self.mountpoint):
                return line.partition(" - ")[2]
        raise AssertionError(f"nothing is mounted on {self.mountpoint}")

    def inside(self, body: Callable[[], Any]) -> Any:
        """What `body` returns, or raises, as root of the mount's namespaces with the mount as
        working directory."""
        read, write = os.pipe()

        def run() -> None:
            for kind, flag in (("user", CLONE_NEWUSER), ("mnt", CLONE_NEWNS)):
                namespace = os.open(f"/proc/{self._holder}/ns/{kind}", os.O_RDONLY)
                if _libc.setns(namespace, flag):
                    raise OSError(ctypes.get_errno(), f"setns {kind}")
            os.chdir(self.mountpoint)
            try:
                result = (True, body())
            except BaseException as error:
                error.add_note(traceback.format_exc())
                result = (False, error)
            with open(write, "wb") as pipe:
                pickle.dump(result, pipe)

        pid = _fork(run)
        os.close(write)
        with open(read, "rb") as pipe:
            answer = pipe.read()
        os.waitpid(pid, 0)
        succeeded, value = pickle.loads(answer)
        if not succeeded:
            raise value
        return value


@contextlib.contextmanager
def mounted(
    serve: Callable[[int, FileSystem], object],
    make_filesystem: Callable[[], FileSystem],
    mountpoint: Path,
    options: MountOptions = NO_OPTIONS,
) -> Iterator[Mounted]:
    """`make_filesystem()`, made in the server process, mounted on `mountpoint` and served by
    `serve`."""
    ours, theirs = socket.socketpair()

    def hold() -> None:
        ours.close()
        enter_new_namespaces()
        device = mount_in_namespace(str(mountpoint), options)
        rights = array.array("i", [device])
        theirs.sendmsg([b"mounted"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])
        os.close(device)
        theirs.recv(1)

    holder = _fork(hold)
    theirs.close()
    message, ancillary, _, _ = ours.recvmsg(16, socket.CMSG_SPACE(4))
    if not message:
        os.waitpid(holder, 0)
        raise RuntimeError("the mount could not be made: see the traceback on stderr")
    device = array.array("i", ancillary[0][2])[0]

    def run_server() -> None:
        ours.close()
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        serve(device, make_filesystem())

    server = _fork(run_server)
    os.close(device)
    made = Mounted(holder, server, mountpoint)
    try:
        wait_until_answering(str(made.path))
        yield made
    finally:
        # The mount goes with the last process in its namespaces, and the server with the mount.
        ours.close()
        os.waitpid(holder, 0)
        _, status = os.waitpid(server, 0)
        if status:
            raise AssertionError(f"the server ended with status {status:#x}")
