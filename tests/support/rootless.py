"""The command `rootless` as a user types it, in a store of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests.support import probes
from tests.support.command import Result, run_command


@dataclass(frozen=True, slots=True)
class Rootless:
    """Runs the command line with XDG directories of its own. A call is bounded in time and leaves no process."""

    data: Path
    runtime: Path

    @property
    def env(self) -> dict[str, str]:
        self.runtime.mkdir(mode=0o700, parents=True, exist_ok=True)
        return os.environ | {"XDG_DATA_HOME": str(self.data), "XDG_RUNTIME_DIR": str(self.runtime)}

    def popen(self, *arguments: str | Path, **options: object) -> subprocess.Popen[bytes]:
        """Start the command in a session of its own; pipes on all three streams unless said otherwise."""
        streams = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        argv = [sys.executable, "-m", "rootless", *map(str, arguments)]
        return subprocess.Popen(  # type: ignore[call-overload,no-any-return]
            argv, **({"env": self.env, "start_new_session": True} | streams | options)
        )

    def __call__(self, *arguments: str | Path, stdin: bytes = b"", timeout: float = 60) -> Result:
        """Run the command to its end. Raises TimeoutExpired after killing it and what it started."""
        argv = [sys.executable, "-m", "rootless", *arguments]
        return run_command(argv, env=self.env, stdin=stdin, timeout=timeout)


def short_directory() -> Path:
    """A private directory whose name leaves room for a socket's path (107 bytes, unix(7))."""
    return Path(tempfile.mkdtemp(prefix="rl-", dir="/tmp"))


def remove_tree(directory: Path) -> None:
    """Remove a tree that may hold files of subordinate ids and directories without permissions."""
    script = 'chmod -R u+rwX "$1" 2>/dev/null; rm -rf "$1"'
    if probes.lacking("subuid") is None:
        argv = [
            "unshare",
            "--user",
            "--map-auto",
            "--map-root-user",
            "sh",
            "-c",
            script,
            "sh",
            str(directory),
        ]
        subprocess.run(argv, check=False, timeout=120)
    else:
        subprocess.run(["sh", "-c", script, "sh", str(directory)], check=False, timeout=120)
    shutil.rmtree(directory, ignore_errors=True)
