"""Recorders: the processes that note what chown(2) and mknod(2) do in containers of an account with a single id."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path

from tests.support.processes import children_of
from tests.support.rootless import Rootless
from tests.support.waiting import wait_until


def is_recorder(pid: int) -> bool:
    """It is the only child of the monitor that cannot be looked at."""
    try:
        os.readlink(f"/proc/{pid}/ns/user")
    except PermissionError:
        return True
    except FileNotFoundError:
        pass
    return False


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
    monitor = re.findall(r"PPid:\s+(\d+)", Path(f"/proc/{first}/status").read_text())[0]
    killed: list[int] = []

    def kill_recorder() -> bool:
        made = len(list(Path(upper).glob("w/*")))
        if made > (killed[-1] if killed else 0) + 3:
            for child in children_of(int(monitor)):
                if is_recorder(child):
                    os.kill(child, signal.SIGKILL)
                    killed.append(made)
        return Path(upper, "w/done").exists()

    wait_until(kill_recorder, 60)
    assert len(killed) > 3
    # Of a caller that is killed while the kernel writes times out, the next syncfs(2) reports EIO (fuse_flush_time_update).
    rootless("stop", "-t", "0", "c1").ok()
