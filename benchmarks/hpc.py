"""Many ranks on a node: this engine with a container for each and with one for all, Apptainer, Charliecloud, podman, docker,
and bare processes, on the same files.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import TypeAlias

from benchmarks.lifecycle import Engine, Stopwatch, engines
from benchmarks.measure import Key, Measurement, Results, short_runroot
from benchmarks.memory import processes, proportional_size
from benchmarks.workloads import MIB
from tests.support.waiting import wait_until

_IMAGE = "hpc-bench:latest"
_SECONDS = 600
_MODULES, _BIG = "/srv/modules", "/srv/big"
_MODULE = 4096
_IDLE = 8.0
"""Seconds after which a container of an engine is idle."""
_SLEEP = "trap 'kill $!; exit' TERM; sleep 1000 & wait"
"""Ends by SIGTERM also as process 1."""


@dataclass(frozen=True, slots=True)
class Size:
    """Ranks, containers that stay, modules, and the bytes of one file."""

    ranks: int
    idle: int
    modules: int
    big: int


SIZES = {
    "tiny": Size(3, 2, 20, MIB),
    "small": Size(16, 8, 500, 64 * MIB),
    "normal": Size(64, 32, 2000, 500 * MIB),
    "full": Size(64, 32, 2000, 500 * MIB),
}


@dataclass(frozen=True, slots=True)
class Launcher:
    """A way to start ranks. `argv` makes a rank's command of the step's tag, the number of ranks and what it executes.
    `root` stands before the paths of files. `idle` starts a container that stays, and `remove` ends all of them.
    """

    name: str
    argv: Callable[[str, int, Sequence[str]], Sequence[str]]
    env: Mapping[str, str] = field(default_factory=dict)
    root: str = ""
    engine: Engine | None = None
    options: tuple[str, ...] = ()

    def start(self, count: int, *command: str) -> list[subprocess.Popen[bytes]]:
        tag = f"bench-{os.getpid()}-{time.monotonic_ns()}"
        argv = self.argv(tag, count, command)
        environ = os.environ | self.env
        return [
            subprocess.Popen(argv, env=environ, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
            for _ in range(count)
        ]

    def run(self, count: int, *command: str) -> float:
        """The seconds until all have ended. Raises RuntimeError if one fails."""
        with Stopwatch() as watch:
            started = self.start(count, *command)
            complaints = [each.communicate(timeout=_SECONDS)[1] for each in started]
        failed = [text for each, text in zip(started, complaints, strict=True) if each.returncode]
        if failed:
            raise RuntimeError(f"{self.name}: {failed[0].decode(errors='replace')[-200:]}")
        return watch.seconds


@dataclass(frozen=True, slots=True)
class Stage:
    launcher: Launcher
    size: Size


Measured: TypeAlias = Callable[[Stage], float]


def _one(stage: Stage) -> float:
    return stage.launcher.run(1, "true")


def _many(stage: Stage) -> float:
    return stage.launcher.run(stage.size.ranks, "true")


def _read(stage: Stage, ranks: int) -> float:
    script = f"cat {stage.launcher.root}{_MODULES}/* > /dev/null"
    return stage.launcher.run(ranks, "sh", "-c", script)


def _sleeping(stage: Stage) -> int:
    """Bytes of all processes that sleeping ranks add, theirs included."""
    before = set(processes())
    started = stage.launcher.start(stage.size.ranks, "sh", "-c", _SLEEP)
    try:
        wait_until(lambda: _count_sleeping(before) >= stage.size.ranks, 120)
        return sum(proportional_size(pid) for pid in processes() if pid not in before)
    finally:
        for each in started:
            each.send_signal(signal.SIGTERM)
        for each in started:
            try:
                each.communicate(timeout=30)
            except subprocess.TimeoutExpired:
                each.kill()
                each.communicate()


def _count_sleeping(before: set[int]) -> int:
    """The processes that execute `sleep`, in containers or not."""
    found = 0
    for pid in set(processes()) - before:
        try:
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        found += words[:2] == [b"sleep", b"1000"]
    return found


@contextmanager
def _idle_containers(stage: Stage) -> Iterator[list[str]]:
    engine = stage.launcher.engine
    assert engine is not None  # `measure` asks those that have one
    made: list[str] = []
    options = ("-d", "--network", "none", *stage.launcher.options)
    try:
        made.extend(
            engine("run", *options, _IMAGE, "sleep", "100000") for _ in range(stage.size.idle)
        )
        yield made
    finally:
        engine.remove(*made)


def _idle_memory(stage: Stage) -> int:
    """Bytes of the engine's processes for one container of many that stay, its command left out."""
    before = set(processes())
    with _idle_containers(stage) as made:
        time.sleep(_IDLE)
        new = [pid for pid in processes() if pid not in before]
        commands = {pid for pid in new if _is_command(pid)}
        return sum(proportional_size(pid) for pid in new if pid not in commands) // len(made)


def _is_command(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().startswith(b"sleep\0")
    except OSError:
        return False


def _page_cache(stage: Stage) -> int:
    """Bytes by which the page cache grows when a file is read in every one of many containers."""
    engine = stage.launcher.engine
    assert engine is not None
    with _idle_containers(stage) as made:
        before = _cached()
        for container in made:
            engine("exec", container, "sh", "-c", f"cat {_BIG} > /dev/null")
        return _cached() - before


def _cached() -> int:
    lines = Path("/proc/meminfo").read_text().splitlines()
    return sum(int(line.split()[1]) << 10 for line in lines if line.startswith("Cached:"))


TIMED: Mapping[str, Measured] = {
    "one rank of true": _one,
    "all ranks of true": _many,
    "modules read by one rank": lambda stage: _read(stage, 1),
    "modules read by all ranks": lambda stage: _read(stage, stage.size.ranks),
}
MEMORY: Mapping[str, Callable[[Stage], int]] = {
    "memory of all ranks asleep": _sleeping,
    "memory of an idle container": _idle_memory,
    "page cache of a file read in all containers": _page_cache,
}
_OF_ENGINES = ("memory of an idle container", "page cache of a file read in all containers")
NAMES = (
    "rootless",
    "rootless --read-only",
    "rootless --join",
    "rootless hpc",
    "rootless hpc --sharens",
    "apptainer",
    "apptainer --sharens",
    "ch-run",
    "ch-run --join",
    "podman",
    "docker",
    "processes",
    "interpreters",
)
_OF_INTERPRETERS = ("one rank of true", "all ranks of true")
"""An interpreter that does nothing, as each rank of this engine starts one."""


def launchers(scratch: Path, runroot: Path, size: Size) -> Iterator[Launcher]:
    """Those that are here, each with the files."""
    found = {engine.name: engine for engine in engines(scratch, runroot)}
    root = _make_root(scratch, size)
    for engine in found.values():
        engine("import", str(scratch / "hpc.tar"), _IMAGE)
    ours = found["rootless"]
    run = ("run", "--rm", "--network", "host")
    for name, options in (("rootless", ()), ("rootless --read-only", ("--read-only",))):
        yield Launcher(
            name,
            lambda _, __, command, options=options: (*ours.program, *run, *options, _IMAGE, *command),  # type: ignore[misc]
            ours.env,
            engine=ours,
            options=options,
        )  # fmt: skip
    yield Launcher(
        "rootless --join",
        lambda tag, count, command: (
            *ours.program,
            *("run", "--join-tag", tag, "--join-count", str(count), _IMAGE),
            *command,
        ),
        ours.env,
    )
    yield from _of_clusters("rootless hpc", (*ours.program, "hpc"), _IMAGE, ours.env)
    if shutil.which("apptainer"):
        yield from _of_clusters("apptainer", ("apptainer", "--silent"), str(root), {})
    for name in ("podman", "docker"):
        if engine := found.get(name):
            yield Launcher(
                name,
                lambda _, __, command, engine=engine: (*engine.program, *run, _IMAGE, *command),  # type: ignore[misc]
                engine=engine,
            )
    if shutil.which("ch-run"):
        yield Launcher("ch-run", lambda _, __, command: ("ch-run", str(root), "--", *command))
        yield Launcher(
            "ch-run --join",
            lambda tag, count, command: (
                *("ch-run", f"--join-tag={tag}", f"--join-ct={count}", str(root), "--"),
                *command,
            ),
        )
    yield Launcher("processes", lambda _, __, command: command, root=str(root))
    bare = (sys.executable, "-I", "-S", "-c", "pass")
    yield Launcher("interpreters", lambda _, __, ___: bare)


def _of_clusters(
    name: str, program: Sequence[str], image: str, env: Mapping[str, str]
) -> Iterator[Launcher]:
    """`exec` with a container for each and with one for all: the step is then that of the parent."""
    for options in ((), ("--sharens",)):
        yield Launcher(
            " ".join((name, *options)),
            lambda _, __, command, options=options: (  # type: ignore[misc]
                *(*program, "exec", *options, image),
                *command,
            ),
            env,
        )


def _make_root(scratch: Path, size: Size) -> Path:
    """The root file system with modules and a big file as a directory, and as an image in every engine."""
    tar = scratch / "hpc.tar"
    shutil.copyfile(scratch / "rootfs.tar", tar)
    with tarfile.open(tar, "a") as archive:
        for number in range(size.modules):
            _add(archive, f"{_MODULES}/{number}", _MODULE)
        _add(archive, _BIG, size.big)
    root = scratch / "hpc-root"
    root.mkdir()
    subprocess.run(["tar", "-C", root, "-xf", tar], check=True)
    for name in ("dev", "proc", "sys", "etc", "tmp", "home", "mnt", "root", "run", "usr/bin"):
        (root / name).mkdir(parents=True, exist_ok=True)  # ch-run asks for them
    for name in ("hosts", "resolv.conf", "passwd", "group"):
        (root / "etc" / name).touch()
    return root


def _add(archive: tarfile.TarFile, path: str, size: int) -> None:
    info = tarfile.TarInfo(path.lstrip("/"))
    info.size = size
    archive.addfile(info, BytesIO(os.urandom(size)))


def measure(measurement: Measurement) -> None:
    """Time every workload with every launcher; bytes are in the table of peaks."""
    size = SIZES[measurement.scale]
    with short_runroot() as runroot:
        prepared = [
            Stage(launcher, size)
            for launcher in launchers(measurement.scratch, runroot, size)
            if launcher.name in measurement.subjects
        ]
        measurement.sample_in_rounds(prepared, partial(_sample, measurement.results))


def _sample(results: Results, workload: str, stage: Stage) -> None:
    if stage.launcher.name == "interpreters" and workload not in _OF_INTERPRETERS:
        return
    key = Key(workload, stage.launcher.name, "warm")
    if workload in TIMED:
        results.time(key, lambda: TIMED[workload](stage))
    elif stage.launcher.engine is not None or workload not in _OF_ENGINES:
        try:
            results.of(key).peaks.append(MEMORY[workload](stage))
        except (RuntimeError, AssertionError) as error:
            results.fail(key, error)
