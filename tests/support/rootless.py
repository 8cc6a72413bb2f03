"""The command `rootless` as a user runs it, in a store of its own."""

from __future__ import annotations

import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.support import probes
from tests.support.command import Result, run_command
from tests.support.processes import children_of


@dataclass(frozen=True, slots=True)
class Rootless:
    """Runs the command line with XDG directories of its own. A call is bounded in time and leaves no process."""

    data: Path
    runtime: Path
    network: str = "host"
    """Of containers for which a test asks for none: tests of other things do not wait for a network of its own."""
    started: list[subprocess.Popen[bytes]] = field(default_factory=list, compare=False)

    @property
    def env(self) -> dict[str, str]:
        self.runtime.mkdir(mode=0o700, parents=True, exist_ok=True)
        return os.environ | {
            "XDG_DATA_HOME": str(self.data),
            "XDG_RUNTIME_DIR": str(self.runtime),
            "ROOTLESS_NETWORK": self.network,
        }

    def popen(self, *arguments: str | Path, **options: object) -> subprocess.Popen[bytes]:
        """Start the command in a session of its own; pipes on all three streams unless said otherwise."""
        streams = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        argv = [sys.executable, "-m", "rootless", *map(str, arguments)]
        process: subprocess.Popen[bytes] = subprocess.Popen(  # type: ignore[call-overload]
            argv, **({"env": self.env, "start_new_session": True} | streams | options)
        )
        self.started.append(process)
        return process

    def end(self) -> None:
        """Kill what `popen` started and is still there. Its monitor follows it and cleans up."""
        for process in self.started:
            if process.poll() is None:
                monitors = []
                for pid in children_of(process.pid):
                    with suppress(ProcessLookupError):  # it has just ended
                        monitors.append(os.pidfd_open(pid))
                process.send_signal(signal.SIGKILL)
                process.wait(120)
                for monitor in monitors:
                    select.select([monitor], [], [], 120)
                    os.close(monitor)
            for stream in (process.stdin, process.stdout, process.stderr):
                if stream is not None:
                    try:
                        stream.close()
                    except BrokenPipeError:
                        pass  # the last output was not read

    def remove_containers(self) -> None:
        """Kill and remove what `run -d` and `start` have left."""
        if any((self.data / "rootless/containers/names").glob("*")):
            self("rm", "--force", "--all")

    def processes(self) -> list[int]:
        """The processes of any kind that have the path of the store in their environment."""
        mark = os.fsencode(str(self.data))
        found = []
        for path in Path("/proc").glob("[0-9]*"):
            try:
                if path.name != str(os.getpid()) and mark in (path / "environ").read_bytes():
                    found.append(int(path.name))
            except OSError:
                continue
        return found

    def __call__(self, *arguments: str | Path, stdin: bytes = b"", timeout: float = 120) -> Result:
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
