"""podman with a store of its own and a mount program of our choice: the engine that must be able to use the union."""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.support.command import Result, run_command
from tests.support.rootless import remove_tree, short_directory


@dataclass(frozen=True, slots=True)
class Podman:
    """Runs podman on overlay storage through a FUSE mount program."""

    directory: Path
    mount_program: Path

    @classmethod
    def create(cls, mount_program: str) -> Podman:
        """`mount_program` is the name of a program in PATH, or "unionfs" for ours."""
        directory = short_directory()
        if mount_program == "unionfs":
            program = directory / "unionfs"
            program.write_text(f'#!/bin/sh\nexec {sys.executable} -m unionfs "$@"\n')
            program.chmod(0o755)
        else:
            found = shutil.which(mount_program)
            assert found, mount_program
            program = Path(found)
        return cls(directory, program)

    def __call__(self, *arguments: str | Path, stdin: bytes = b"", timeout: float = 120) -> Result:
        store = ["--root", self.directory / "root", "--runroot", self.directory / "run"]
        driver = [
            "--storage-driver",
            "overlay",
            "--storage-opt",
            f"overlay.mount_program={self.mount_program}",
        ]
        home = self.directory / "home"
        home.mkdir(exist_ok=True)
        # A configuration of the account's own must not decide anything here.
        env = os.environ | {
            "HOME": str(home),
            "XDG_CONFIG_HOME": str(home),
            "TMPDIR": str(self.directory),
        }
        argv = [
            "podman",
            *store,
            *driver,
            "--cgroup-manager=cgroupfs",
            "--events-backend=file",
            *arguments,
        ]
        return run_command(argv, env=env, stdin=stdin, timeout=timeout)

    def run(self, image: str, *command: str, options: tuple[str, ...] = ()) -> Result:
        """Run a command in a container that leaves nothing."""
        return self("run", "--rm", "--network=none", *options, image, *command)

    def destroy(self) -> None:
        """Remove the store. Its layers hold files of subordinate ids."""
        self("system", "reset", "--force")
        remove_tree(self.directory)
