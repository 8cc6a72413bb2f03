"""A command tried on the files of the host: `rootless try`, beside running it directly, in bubblewrap, and in a git
worktree, which is what people without it use.

bubblewrap before 0.11 has no overlays; there it runs the command on the files themselves, which shows what the start of
a sandbox costs and not what it would do for the files.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import program
from benchmarks.measure import Key, Measurement

START = "try: start, run true, end"
STATUS = "try: git status in a work tree"
SEARCH = "try: grep -r in a work tree"
CHANGES = "try: show the changes of ten files"
APPLY = "try: apply new files"
WORKLOADS = (START, STATUS, SEARCH, CHANGES, APPLY)
ROOTLESS, DIRECT, BUBBLEWRAP, WORKTREE = "rootless", "directly", "bubblewrap", "git worktree"
NAMES = (ROOTLESS, DIRECT, BUBBLEWRAP, WORKTREE)


@dataclass(frozen=True, slots=True)
class Size:
    """Files of the work tree, and new files that are applied."""

    files: int
    applied: int


SIZES = {
    "tiny": Size(100, 20),
    "small": Size(3000, 1000),
    "normal": Size(30_000, 10_000),
    "full": Size(500_000, 10_000),
}


def measure(measurement: Measurement) -> None:
    """Time every workload with every subject that can do it."""
    bench = Bench(measurement.scratch, SIZES[measurement.scale])

    def sample(workload: str, subject: str) -> None:
        call = bench.call(workload, subject)
        if call is not None:
            measurement.results.time(Key(workload, subject, "warm"), call)

    measured = [name for name in NAMES if name in measurement.subjects]
    measurement.sample_in_rounds(measured, sample)


class Bench:
    """The work tree, and how each subject does what is measured."""

    def __init__(self, scratch: Path, size: Size) -> None:
        self._scratch = scratch
        self._size = size
        self._work = scratch / "work"
        self._env = {"XDG_DATA_HOME": str(scratch / "data")}
        self._serial = 0
        make_work_tree(self._work, size.files)
        self._rootless("drop", "-f", "ten", check=False)
        change = "for i in 0 1 2 3 4 5 6 7 8 9; do echo more >> d0/f$i; done"
        self._rootless("try", "--keep", "--name", "ten", "sh", "-c", change)

    def call(self, workload: str, subject: str) -> Callable[[], None] | None:
        """What is timed; None for what a subject does not do."""
        commands = {
            START: ("true",),
            STATUS: ("git", "status", "--short"),
            SEARCH: ("grep", "-rq", "no such text", "."),
        }
        if workload in commands:
            return self._command(subject, commands[workload])
        if workload == CHANGES:
            return {
                ROOTLESS: lambda: self._rootless("changes", "ten"),
                DIRECT: lambda: self._run("git", "diff", "--stat"),
            }.get(subject)
        return self._apply(subject)

    def _command(self, subject: str, command: Sequence[str]) -> Callable[[], None] | None:
        if subject == WORKTREE:
            return lambda: self._in_worktree(command)
        prefix = {
            ROOTLESS: (program.ROOTLESS, "try", "--drop", "--"),
            DIRECT: (),
            BUBBLEWRAP: ("bwrap", "--bind", "/", "/", "--dev", "/dev", "--proc", "/proc"),
        }[subject]
        if prefix and shutil.which(prefix[0]) is None:
            return None
        return lambda: self._run(*prefix, *command)

    def _in_worktree(self, command: Sequence[str]) -> None:
        """Make a worktree, run the command in it, and remove it."""
        self._serial += 1
        place = self._scratch / f"tree{self._serial}"
        self._run("git", "worktree", "add", "-q", "--detach", str(place))
        self._run(*command, cwd=place)
        self._run("git", "worktree", "remove", "--force", str(place))

    def _apply(self, subject: str) -> Callable[[], None] | None:
        """Bring new files of a layer to the work tree, where they are not yet; directly they are copied."""
        count = self._size.applied
        make = f"mkdir new; cd new; seq {count} | xargs touch"
        if subject == ROOTLESS:
            self._rootless("drop", "-f", "new", check=False)
            self._rootless("try", "--keep", "--name", "new", "sh", "-c", make)
            shutil.rmtree(self._work / "new", ignore_errors=True)
            return lambda: self._rootless("apply", "new")
        if subject == DIRECT:
            other = self._scratch / "other"
            shutil.rmtree(other, ignore_errors=True)
            other.mkdir()
            self._run("sh", "-c", make, cwd=other)
            shutil.rmtree(self._work / "new", ignore_errors=True)
            return lambda: self._run("cp", "-a", str(other / "new"), str(self._work))
        return None

    def _rootless(self, *words: str, check: bool = True) -> None:
        self._run(program.ROOTLESS, *words, check=check)

    def _run(self, *argv: str, cwd: Path | None = None, check: bool = True) -> None:
        done = subprocess.run(
            argv,
            cwd=cwd or self._work,
            env=os.environ | self._env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=600,
            check=False,
        )
        if check and done.returncode not in {0, 1 if argv[-1] == "." else 0}:
            raise RuntimeError(done.stderr.decode(errors="replace").strip()[-300:])


def make_work_tree(place: Path, files: int) -> None:
    """A git work tree with directories of sixty small files."""
    for number in range(files):
        directory = place / f"d{number // 60}"
        if number % 60 == 0:
            directory.mkdir(parents=True)
        (directory / f"f{number % 60}").write_text(f"file {number}\n")
    identity = ("-c", "user.name=bench", "-c", "user.email=bench@localhost")
    for words in (("init", "-q"), ("add", "-A"), (*identity, "commit", "-q", "-m", "files")):
        subprocess.run(["git", *words], cwd=place, check=True, capture_output=True)
