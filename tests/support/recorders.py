"""Recorders: the processes that note what chown(2) and mknod(2) do in containers of an account with a single id; and what
makes such calls.
"""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from tests.support.processes import children_of
from tests.support.rootless import Rootless
from tests.support.waiting import wait_until

PRELUDE = """
import ctypes, errno, mmap, os, signal, socket, stat, threading, time
libc = ctypes.CDLL(None, use_errno=True)
def call(number, *arguments):
    values = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    if libc.syscall(ctypes.c_long(number), *values) < 0:
        return errno.errorcode[ctypes.get_errno()]
    return 0
CHOWN, FCHOWN, LCHOWN, FCHOWNAT, AT_FDCWD, NOFOLLOW, EMPTY = 92, 93, 94, 260, -100, 0x100, 0x1000
os.makedirs("/w"); os.chdir("/w")
def pause(seconds):
    threading.Event().wait(seconds)
def touch(name):
    open(name, "w").close()
"""


class ProgramsInC1:
    """Programs of Python, each in a container `c1` of the host's tree."""

    def __init__(self, rootless: Rootless) -> None:
        self._rootless = rootless
        self._upper: Path | None = None

    def run(self, program: str, *options: str) -> str:
        done = self._rootless(
            *("run", "--name", "c1", "--network", "none", *options, "--rootfs", "/"),
            *("/usr/bin/python3", "-c", PRELUDE + program),
            timeout=600,
        )
        assert done.status == 0, done
        return done.stdout

    def owner(self, path: str) -> tuple[int, int]:
        """As the upper has it; (0, 0) where it is not noted."""
        if self._upper is None:
            inspected = self._rootless("inspect", "-f", "{{.GraphDriver.Data.UpperDir}}", "c1")
            self._upper = Path(inspected.ok().stdout.strip())
        try:
            value = os.getxattr(
                self._upper / path, "user.containers.override_stat", follow_symlinks=False
            )
        except OSError:
            return 0, 0
        uid, gid, _ = value.split(b":", 2)
        return int(uid), int(gid)


def scripts_in_c1(rootless: Rootless, busybox_image: Path) -> Callable[..., str]:
    """A function that runs a script in a container `c1` of busybox, with options of `run`, and returns what it prints."""
    rootless("import", busybox_image, "bb").ok()

    def run(script: str, *options: str, status: int = 0) -> str:
        done = rootless("run", "--name", "c1", *options, "bb", "sh", "-c", script)
        assert done.status == status, done
        return done.stdout + done.stderr

    return run


def is_recorder(pid: int) -> bool:
    """It is the only child of the monitor that cannot be looked at."""
    try:
        os.readlink(f"/proc/{pid}/ns/user")
    except PermissionError:
        return True
    except FileNotFoundError:
        pass
    return False


def monitor_of(first: int) -> int:
    """Of the container whose first process this is."""
    return int(re.findall(r"PPid:\s+(\d+)", Path(f"/proc/{first}/status").read_text())[0])


def recorders_of(first: int) -> list[int]:
    """Of the container whose first process this is."""
    return [child for child in children_of(monitor_of(first)) if is_recorder(child)]


def run_while_recorders_are_killed(rootless: Rootless, image: str, act: str) -> None:
    """Run `act` a hundred times in /w of the container c1, with the numbers from 0 on as $i, and kill its recorder once for
    each few calls: it may be answering one. The container is stopped in the end.
    """
    script = (
        f"mkdir /w; i=0; while [ $i -lt 100 ]; do {act} || exit 9; sleep 0.02; i=$((i+1)); done;"
        "touch /w/done; sleep 1000"
    )
    rootless("run", "-d", "--name", "c1", image, "sh", "-c", script).ok()
    shown = rootless("inspect", "-f", "{{.State.Pid}} {{.GraphDriver.Data.UpperDir}}", "c1").ok()
    first, upper = shown.stdout.split()
    killed: list[int] = []

    def kill_recorder() -> bool:
        made = len(list(Path(upper).glob("w/*")))
        if made > (killed[-1] if killed else 0) + 3:
            for recorder in recorders_of(int(first)):
                with suppress(ProcessLookupError):  # the monitor has just collected it
                    os.kill(recorder, signal.SIGKILL)
                    killed.append(made)
        return Path(upper, "w/done").exists()

    wait_until(kill_recorder)
    assert len(killed) > 3
    # Of a caller that is killed while the kernel writes times out, the next syncfs(2) reports EIO (fuse_flush_time_update).
    rootless("stop", "-t", "0", "c1").ok()
