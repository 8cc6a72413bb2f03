"""A command tried on the files of the host: `rootless try`, beside running it directly, in binpash's `try`, in bubblewrap with
an overlay on the work tree, and in a git worktree.

A subject that is not installed, or a bubblewrap before 0.11, which has no overlays, is left out.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarks import program
from benchmarks.measure import Key, Measurement
from benchmarks.scratch import scratch_directory

START = "try: start, run true, end"
FIRST_STATUS = "try: git status, first look"
STATUS = "try: git status"
SEARCH = "try: grep -r"
BUILD = "try: build of C files"
CHANGES = "try: show the changes of ten files"
APPLY = "try: apply new files"
WORKLOADS = (START, FIRST_STATUS, STATUS, SEARCH, BUILD, CHANGES, APPLY)
ROOTLESS, DIRECT, BINPASH = "rootless", "directly", "binpash try"
BUBBLEWRAP, WORKTREE = "bubblewrap", "git worktree"
NAMES = (ROOTLESS, DIRECT, BINPASH, BUBBLEWRAP, WORKTREE)

_COMMANDS = {
    FIRST_STATUS: "git status --short",
    STATUS: "git status --short",
    SEARCH: "grep -rq 'no such text' .",
    BUILD: "make -s -C src clean all",
}
_FIRST = frozenset({FIRST_STATUS})
_TIMED = """
import subprocess, time
for _ in range({runs}):
    start = time.perf_counter()
    done = subprocess.run({command!r}, shell=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    taken = time.perf_counter() - start
    if done.returncode > 1:  # 1: grep(1) has found nothing
        raise SystemExit(done.stderr.decode())
print(taken)
"""
_RUNS = 4
"""Of a command in one start; the last is measured."""

_SOURCES = 20


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
    """Time every workload with every subject that can do it.

    The work tree is in the home directory. binpash's `try` mounts an overlay on each directory of the root, in a user namespace
    with one ID: below one of these, a directory of root cannot be copied up (EOVERFLOW), and /var/tmp is one.
    """
    with scratch_directory(Path.home()) as scratch:
        _measure(measurement, Bench(scratch, SIZES[measurement.scale]))


def _measure(measurement: Measurement, bench: Bench) -> None:

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
        temporary = scratch / "tmp"
        temporary.mkdir()
        self._env = {"XDG_DATA_HOME": str(scratch / "data"), "TMPDIR": str(temporary)}
        self._serial = 0
        make_work_tree(self._work, size.files)
        self._rootless("drop", "-f", "ten", check=False)
        change = self._script("for i in 0 1 2 3 4 5 6 7 8 9; do echo more >> d0/f$i; done")
        self._rootless("try", "--keep", "--name", "ten", "sh", change)
        self._ten = self._sandbox()
        if _has_binpash():
            self._run("try", "-N", str(self._ten), "sh", change)

    def call(self, workload: str, subject: str) -> Callable[[], float | None] | None:
        """What is timed, or times itself; None for what a subject does not do."""
        if workload == START or workload in _COMMANDS:
            prepared = self._prepared(subject)
            if prepared is None:
                return None
            if workload == START:
                return partial(_time_of, prepared, ("true",))
            runs = 1 if workload in _FIRST else _RUNS
            script = self._script(_TIMED.format(runs=runs, command=_COMMANDS[workload]))
            return partial(_told_by, prepared, (sys.executable, script))
        if workload == CHANGES:
            return self._changes(subject)
        return self._apply(subject)

    def _prepared(self, subject: str) -> Callable[[Sequence[str]], str] | None:
        """Runs a command and returns its output."""
        if subject == WORKTREE:
            return self._in_worktree
        if subject == BINPASH:
            if not _has_binpash():
                return None
            return lambda command: self._run("try", "-N", str(self._sandbox()), *command)
        work = str(self._work)
        if subject == BUBBLEWRAP and not _has_overlays():
            return None
        prefix = {
            ROOTLESS: (program.ROOTLESS, "try", "--drop", "--"),
            DIRECT: (),
            BUBBLEWRAP: (
                "bwrap", "--bind", "/", "/", "--overlay-src", work, "--tmp-overlay", work,
                "--dev", "/dev", "--proc", "/proc", "--chdir", work,
            ),
        }[subject]  # fmt: skip
        return lambda command: self._run(*prefix, *command)

    def _in_worktree(self, command: Sequence[str]) -> str:
        """Make a worktree, run the command in it, and remove it."""
        self._serial += 1
        place = self._scratch / f"tree{self._serial}"
        self._run("git", "worktree", "add", "-q", "--detach", str(place))
        output = self._run(*command, cwd=place)
        self._run("git", "worktree", "remove", "--force", str(place))
        return output

    def _changes(self, subject: str) -> Callable[[], None] | None:
        commands: dict[str, Sequence[str]] = {
            ROOTLESS: (program.ROOTLESS, "changes", "ten"),
            DIRECT: ("git", "diff", "--stat"),
        }
        if _has_binpash():
            commands[BINPASH] = ("try", "summary", str(self._ten))
        command = commands.get(subject)
        if command is None:
            return None
        return lambda: _discard(self._run(*command))

    def _apply(self, subject: str) -> Callable[[], None] | None:
        """Bring new files of a layer to a directory where they are not yet; directly they are copied. Nothing is removed
        meanwhile: ext4 searches past the inode numbers that were freed within the last minute."""
        self._serial += 1
        name = f"new{self._serial}"
        make = self._script(f"mkdir {name}; cd {name}; seq {self._size.applied} | xargs touch")
        target = self._scratch / "applied"
        target.mkdir(exist_ok=True)
        if subject == ROOTLESS:
            self._run(program.ROOTLESS, "try", "--keep", "--name", name, "sh", make, cwd=target)
            return lambda: self._rootless("apply", name)
        if subject == DIRECT:
            other = self._scratch / "other"
            other.mkdir(exist_ok=True)
            self._run("sh", make, cwd=other)
            return lambda: _discard(self._run("cp", "-a", str(other / name), str(target)))
        if subject == BINPASH and _has_binpash():
            sandbox = self._sandbox()
            self._run("try", "-N", str(sandbox), "sh", make, cwd=target)
            return lambda: _discard(self._run("try", "commit", str(sandbox), cwd=target))
        return None

    def _script(self, text: str) -> str:
        """A file with a program: binpash's try quotes no arguments."""
        self._serial += 1
        place = self._scratch / f"script{self._serial}"
        place.write_text(text)
        return str(place)

    def _sandbox(self) -> Path:
        """A directory for the layers of binpash's try."""
        self._serial += 1
        place = self._scratch / f"sandbox{self._serial}"
        place.mkdir()
        return place

    def _rootless(self, *words: str, check: bool = True) -> None:
        self._run(program.ROOTLESS, *words, check=check)

    def _run(self, *argv: str, cwd: Path | None = None, check: bool = True) -> str:
        done = subprocess.run(
            argv,
            cwd=cwd or self._work,
            env=os.environ | self._env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=600,
            check=False,
        )
        if check and done.returncode:
            raise RuntimeError(done.stderr.decode(errors="replace").strip()[-300:])
        return done.stdout.decode()


def _time_of(run: Callable[[Sequence[str]], str], command: Sequence[str]) -> float:
    start = time.perf_counter()
    run(command)
    return time.perf_counter() - start


def _told_by(run: Callable[[Sequence[str]], str], command: Sequence[str]) -> float:
    return float(run(command).split()[0])


def _discard(_output: str) -> None:
    return None


def _has_binpash() -> bool:
    found = shutil.which("try")
    return found is not None and "binpash" in Path(found).read_text(errors="replace")[:1000]


def _has_overlays() -> bool:
    if shutil.which("bwrap") is None:
        return False
    shown = subprocess.run(["bwrap", "--help"], capture_output=True, check=False).stdout
    return b"--tmp-overlay" in shown


def make_work_tree(place: Path, files: int) -> None:
    """A git work tree with directories of sixty small files."""
    for number in range(files):
        directory = place / f"d{number // 60}"
        if number % 60 == 0:
            directory.mkdir(parents=True)
        (directory / f"f{number % 60}").write_text(f"file {number}\n")
    sources = place / "src"
    sources.mkdir()
    for number in range(_SOURCES):
        includes = "".join(
            f"#include <{name}.h>\n" for name in ("stdio", "stdlib", "string", "math")
        )
        (sources / f"a{number}.c").write_text(
            f'{includes}int f{number}(void) {{ return puts("x"); }}\n'
        )
    (sources / "Makefile").write_text(
        "all: $(patsubst %.c,%.o,$(wildcard *.c))\n\tar rc lib.a *.o\nclean:\n\trm -f *.o lib.a\n"
    )
    identity = ("-c", "user.name=bench", "-c", "user.email=bench@localhost")
    for words in (("init", "-q"), ("add", "-A"), (*identity, "commit", "-q", "-m", "files")):
        subprocess.run(["git", *words], cwd=place, check=True, capture_output=True)
