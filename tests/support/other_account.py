"""Another account of this machine, as far as files and processes go: one of the subordinate ids, which has none itself."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.support.command import Result, run_command
from tests.support.processes import children_of
from tests.support.rootless import remove_tree, short_directory

_ID = 2000
_ENTER = "unshare --user --map-auto --map-root-user --mount --pid --fork --kill-child --mount-proc"
_BECOME = f"setpriv --reuid={_ID} --regid={_ID} --clear-groups --inh-caps=-all"


class OtherAccount:
    """Runs the command line `rootless` as that account, with a store of its own, which `end` removes."""

    def __init__(self) -> None:
        self.directory = short_directory()
        script = f'chown {_ID}:{_ID} "$1"; chmod 755 "$1"; echo; exec sleep infinity'
        self._holder = subprocess.Popen(
            [*_ENTER.split(), "sh", "-c", script, "sh", self.directory], stdout=subprocess.PIPE
        )
        assert self._holder.stdout is not None
        self._holder.stdout.read(1)
        (self._first,) = children_of(self._holder.pid)

    def __call__(self, *arguments: str | Path, timeout: float = 180) -> Result:
        variables = [
            f"HOME={self.directory}",
            f"XDG_DATA_HOME={self.directory}/data",
            f"XDG_RUNTIME_DIR={self.directory}",
        ]
        return self._run(
            ["env", *variables, sys.executable, "-m", "rootless", *map(str, arguments)], timeout
        )

    def make_readable(self) -> None:
        """Let everybody read what it has."""
        self._run(["chmod", "-R", "a+rX", self.directory], 60).ok()

    def _run(self, command: list[str], timeout: float) -> Result:
        joined = f"nsenter --user --mount --pid --preserve-credentials -t {self._first} --"
        return run_command([*joined.split(), *_BECOME.split(), *command], timeout=timeout)

    def end(self) -> None:
        """Everything that it runs, too."""
        self._holder.kill()
        self._holder.wait()
        assert self._holder.stdout is not None
        self._holder.stdout.close()
        remove_tree(self.directory)
