"""What is done with containers that live: this engine, podman, and docker where its daemon answers, on the same image.

Each workload prepares what it needs, without being timed, for each sample.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Self, TypeAlias

from benchmarks.measure import Key, Measurement, Results, short_runroot
from benchmarks.memory import processes, proportional_size
from benchmarks.program import ROOTLESS
from benchmarks.workloads import MIB
from tests.support.images import busybox_tar, docker_archive

IMAGE = "bench:latest"
_SECONDS = 600
SLEEP = ("sleep", "100000")


@dataclass(frozen=True, slots=True)
class Size:
    """How many containers run or are started at once, how many are listed, the files that are copied, and the bytes of a log or a
    stream."""

    parallel: int
    listed: int
    files: int
    output: int


SIZES = {
    "tiny": Size(3, 5, 20, MIB),
    "small": Size(10, 20, 1000, 32 * MIB),
    "normal": Size(50, 100, 10_000, 1024 * MIB),
    "full": Size(50, 100, 10_000, 1024 * MIB),
}


@dataclass(frozen=True, slots=True)
class Engine:
    """An engine with docker's commands."""

    name: str
    program: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)

    def start(self, *arguments: str, stdout: int = subprocess.PIPE) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            (*self.program, *arguments),
            env=os.environ | self.env,
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=subprocess.PIPE,
        )

    def __call__(self, *arguments: str, stdout: int = subprocess.PIPE) -> str:
        """The output of a command. Raises RuntimeError if it fails."""
        process = self.start(*arguments, stdout=stdout)
        try:
            output, complaint = process.communicate(timeout=_SECONDS)
        except BaseException:
            process.kill()
            process.wait()
            raise
        if process.returncode:
            reason = complaint.decode(errors="replace").strip()[-300:]
            raise RuntimeError(f"{self.name} {' '.join(arguments[:4])}: {reason}")
        return output.decode().strip() if output else ""

    def run_detached(self, *command: str) -> str:
        """The id of a new container without a network."""
        return self("run", "-d", "--network", "none", IMAGE, *command)

    @contextmanager
    def running(self, *command: str) -> Iterator[str]:
        """A container for the length of a block."""
        container = self.run_detached(*(command or SLEEP))
        try:
            yield container
        finally:
            self.remove(container)

    def remove(self, *containers: str) -> None:
        """Kill and remove them, however they treat SIGTERM."""
        if containers:
            self.start("kill", *containers, stdout=subprocess.DEVNULL).communicate(timeout=_SECONDS)
            self("rm", "-f", *containers)


@dataclass(frozen=True, slots=True)
class Stage:
    """What a workload is given: an engine, sizes, and a directory for its files."""

    engine: Engine
    size: Size
    directory: Path


Measured: TypeAlias = Callable[[Stage], "float"]
"""Runs one sample; returns its seconds."""


class Stopwatch:
    """`seconds` of the block."""

    seconds = 0.0

    def __enter__(self) -> Self:
        self._start = time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds = time.perf_counter() - self._start


def _run_true(stage: Stage) -> float:
    with Stopwatch() as watch:
        stage.engine("run", "--rm", "--network", "none", IMAGE, "true")
    return watch.seconds


def _run_detached(stage: Stage) -> float:
    with Stopwatch() as watch:
        container = stage.engine.run_detached(*SLEEP)
    stage.engine.remove(container)
    return watch.seconds


def _stop(stage: Stage) -> float:
    with stage.engine.running() as container, Stopwatch() as watch:
        stage.engine("stop", "-t", "0", container)
    return watch.seconds


def _exec(stage: Stage) -> float:
    with stage.engine.running() as container:
        stage.engine("exec", container, "true")
        with Stopwatch() as watch:
            stage.engine("exec", container, "true")
    return watch.seconds


def _remove_deaf(stage: Stage) -> float:
    """`rm -f` of a process 1 that ignores SIGTERM."""
    container = stage.engine.run_detached("sh", "-c", "trap '' TERM; while :; do sleep 1000; done")
    with Stopwatch() as watch:
        stage.engine("rm", "-f", container)
    return watch.seconds


def _list(stage: Stage) -> float:
    created = [
        stage.engine("create", "--network", "none", IMAGE, "true") for _ in range(stage.size.listed)
    ]
    try:
        with Stopwatch() as watch:
            stage.engine("ps", "-a")
    finally:
        stage.engine("rm", *created)
    return watch.seconds


def _start_at_once(stage: Stage) -> float:
    with Stopwatch() as watch:
        started = [
            stage.engine.start("run", "-d", "--network", "none", IMAGE, *SLEEP)
            for _ in range(stage.size.parallel)
        ]
        outputs = [process.communicate(timeout=_SECONDS) for process in started]
    stage.engine.remove(*[output.decode().strip() for output, _ in outputs if output])
    if any(process.returncode for process in started):
        complaints = {complaint.decode(errors="replace")[-200:] for _, complaint in outputs}
        raise RuntimeError(" ".join(complaints))
    return watch.seconds


def _output(stage: Stage) -> tuple[str, ...]:
    return (
        "sh",
        "-c",
        f"yes 0123456789012345678901234567890123456789 | head -c {stage.size.output}",
    )


def _write_log(stage: Stage) -> float:
    with Stopwatch() as watch:
        container = stage.engine.run_detached(*_output(stage))
        stage.engine("wait", container)
    stage.engine("rm", container)
    return watch.seconds


def _read_log(stage: Stage) -> float:
    container = stage.engine.run_detached(*_output(stage))
    try:
        stage.engine("wait", container)
        with Stopwatch() as watch:
            _count(stage, "logs", container)
    finally:
        stage.engine("rm", container)
    return watch.seconds


def _attached_output(stage: Stage) -> float:
    with Stopwatch() as watch:
        _count(stage, "run", "--rm", "--network", "none", IMAGE, *_output(stage))
    return watch.seconds


def _count(stage: Stage, *arguments: str) -> None:
    """Read a command's output through a pipe. Raises RuntimeError if it is not the whole."""
    process = stage.engine.start(*arguments)
    assert process.stdout is not None
    assert process.stderr is not None
    size = 0
    while data := os.read(process.stdout.fileno(), MIB):
        size += len(data)
    complaint = process.stderr.read().decode(errors="replace")
    process.stdout.close()
    process.stderr.close()
    if process.wait(_SECONDS) or size != stage.size.output:
        raise RuntimeError(f"{size} of {stage.size.output} bytes: {complaint[-200:]}")


def _files(stage: Stage) -> Path:
    directory = stage.directory / "files"
    if not directory.exists():
        for number in range(stage.size.files):
            if number % 100 == 0:
                (directory / f"{number // 100}").mkdir(parents=True)
            (directory / f"{number // 100}" / f"{number}").write_bytes(os.urandom(2000))
    return directory


def _copy_in(stage: Stage) -> float:
    source = _files(stage)
    with stage.engine.running() as container, Stopwatch() as watch:
        stage.engine("cp", str(source), f"{container}:/in")
    return watch.seconds


def _copy_out(stage: Stage) -> float:
    source, target = _files(stage), stage.directory / "out"
    with stage.engine.running() as container:
        stage.engine("cp", str(source), f"{container}:/in")
        with Stopwatch() as watch:
            stage.engine("cp", f"{container}:/in", str(target))
    found = sum(len(names) for _, _, names in os.walk(target))
    shutil.rmtree(target)
    if found != stage.size.files:
        raise RuntimeError(f"{found} of {stage.size.files} files were copied")
    return watch.seconds


def _copy_one(stage: Stage) -> float:
    source = stage.directory / "one"
    source.write_text("one\n")
    with stage.engine.running() as container, Stopwatch() as watch:
        stage.engine("cp", str(source), f"{container}:/one")
    return watch.seconds


WORKLOADS: Mapping[str, Measured] = {
    "run --rm true": _run_true,
    "run -d": _run_detached,
    "stop -t 0": _stop,
    "exec true": _exec,
    "rm -f, SIGTERM ignored": _remove_deaf,
    "ps -a": _list,
    "run -d, many at once": _start_at_once,
    "output to the log": _write_log,
    "logs": _read_log,
    "output through run": _attached_output,
    "cp in": _copy_in,
    "cp out": _copy_out,
    "cp in, one file": _copy_one,
}
MEMORY = "memory of a running container"
NAMES = ("rootless", "podman", "docker")


def engines(scratch: Path, runroot: Path, *layers: bytes) -> Iterator[Engine]:
    """Those that are here, each with the image: busybox, and the layers above it."""
    archive = scratch / "image.tar"
    busybox_tar(scratch / "rootfs.tar")
    docker_archive(archive, [(scratch / "rootfs.tar").read_bytes(), *layers], tags=[IMAGE])
    store = ("--root", str(scratch / "podman"), "--runroot", str(runroot))
    candidates = (
        Engine("rootless", (ROOTLESS,), {"XDG_DATA_HOME": str(scratch / "data")}),
        Engine("podman", ("podman", *store)),
        Engine("docker", ("docker",)),
    )
    for engine in candidates:
        if shutil.which(engine.program[0]) is None:
            continue
        if engine.name != "docker" or _answers(engine):
            engine("load", "-i", str(archive))
            yield engine


def _answers(docker: Engine) -> bool:
    try:
        docker("version")
    except RuntimeError:
        return False
    return True


def _memory(stage: Stage) -> int:
    """Bytes (proportional set size) of the processes of this user that a running container adds, its own left out."""
    before = set(processes())
    with stage.engine.running() as container:
        own = int(stage.engine("inspect", "-f", "{{.State.Pid}}", container))
        return sum(proportional_size(pid) for pid in processes() if pid not in {own, *before})


def measure(measurement: Measurement) -> None:
    """Time every workload with every engine; the memory is in the table of peaks."""
    with short_runroot() as runroot:
        prepared = [
            Stage(engine, SIZES[measurement.scale], measurement.scratch)
            for engine in engines(measurement.scratch, runroot)
            if engine.name in measurement.subjects
        ]
        measurement.sample_in_rounds(prepared, partial(_sample, measurement.results))


def _sample(results: Results, workload: str, stage: Stage) -> None:
    key = Key(workload, stage.engine.name, "warm")
    if workload != MEMORY:
        results.time(key, lambda: WORKLOADS[workload](stage))
        return
    try:
        results.of(key).peaks.append(_memory(stage))
    except RuntimeError as error:
        results.fail(key, error)
