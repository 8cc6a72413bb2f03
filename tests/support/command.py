"""Running a command to its end, bounded in time, without leaving a process behind."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Result:
    """How a command ended."""

    status: int
    stdout: str
    stderr: str

    def ok(self) -> Result:
        """This result, after making sure that it is one of success."""
        assert self.status == 0, f"status {self.status}\n{self.stdout}\n{self.stderr}"
        return self


def run_command(
    argv: Sequence[str | Path],
    *,
    env: Mapping[str, str] | None = None,
    stdin: bytes = b"",
    timeout: float = 120,
    cwd: Path | None = None,
) -> Result:
    """Run a command to its end. Raises TimeoutExpired after killing it and what it started."""
    pipe = subprocess.PIPE
    process = subprocess.Popen(
        argv, env=env, cwd=cwd, stdin=pipe, stdout=pipe, stderr=pipe, start_new_session=True
    )
    try:
        out, err = process.communicate(stdin, timeout)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        raise
    return Result(process.returncode, out.decode(errors="replace"), err.decode(errors="replace"))
