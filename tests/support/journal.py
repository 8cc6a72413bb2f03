"""A journal of its own for a test: systemd-journald as root of a user namespace, with /run of that namespace."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.support.command import Result, run_command
from tests.support.probes import JOURNAL_NAMESPACES, JOURNALD
from tests.support.rootless import Rootless
from tests.support.waiting import wait_until

_SOCKET = "run/systemd/journal/socket"
_START = f"""
set -e
mount -t tmpfs none /run
mount -t cgroup2 none /sys/fs/cgroup
mkdir -p /run/systemd/journal /run/log/journal
exec {JOURNALD}
"""


class Journal:
    """Running until `stop`. Commands of `rootless` that are called through it see this journal as the host's."""

    def __init__(self, rootless: Rootless, log: Path) -> None:
        self._rootless = rootless
        with log.open("wb") as output:
            self._daemon = subprocess.Popen(
                [*JOURNAL_NAMESPACES, "sh", "-c", _START],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        root = Path(f"/proc/{self._daemon.pid}/root")
        wait_until(lambda: (root / _SOCKET).exists() or self._daemon.poll() is not None)
        assert self._daemon.poll() is None, log.read_text()

    @property
    def words(self) -> list[str]:
        """What a command in the namespaces begins with."""
        joined = ["--user", "--mount", "--cgroup", "--preserve-credentials"]
        return ["nsenter", *joined, "-t", str(self._daemon.pid), "--"]

    def __call__(self, *arguments: str | Path) -> Result:
        """Run the command line `rootless` there."""
        argv = [*self.words, sys.executable, "-m", "rootless", *arguments]
        return run_command(argv, env=self._rootless.env)

    def run(self, *argv: str) -> Result:
        return run_command([*self.words, *argv])

    def hide_socket(self) -> None:
        """As on a host without a journal; the daemon and what it has written stay."""
        self.run("mv", f"/{_SOCKET}", f"/{_SOCKET}.hidden").ok()

    def stop(self) -> None:
        self("rm", "-f", *self("ps", "-aq").stdout.split())
        self._daemon.kill()
        self._daemon.wait()
