"""The commands of `hpc` as a user of a cluster types them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.support.rootless import Rootless


class Cluster:
    """The command with a home, a working directory and variables of its own."""

    def __init__(self, rootless: Rootless, directory: Path) -> None:
        self.rootless = rootless
        self.home = directory / "home"
        self.cwd = directory / "work"
        for each in (self.home, self.cwd):
            each.mkdir()
        self.env = {**rootless.env, "HOME": str(self.home)}

    program = (sys.executable, "-m", "rootless")

    def argv(self, *words: object) -> list[str]:
        return [*self.program, "hpc", *map(str, words)]

    def __call__(self, *words, env=None, stdin=b"", **options):
        return subprocess.run(
            self.argv(*words),
            env={**self.env, **(env or {})},
            cwd=self.cwd,
            input=stdin,
            capture_output=True,
            timeout=120,
            check=False,
            **options,
        )

    def text(self, *words, env=None):
        done = self(*words, env=env)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout.decode()

    def popen(self, *words, **options):
        options.setdefault("env", self.env)
        process = subprocess.Popen(
            self.argv(*words), cwd=self.cwd, stdout=subprocess.PIPE, **options
        )
        self.rootless.started.append(process)
        return process
