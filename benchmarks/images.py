"""Transfers of images to and from registries and archives: time, and peak memory.

One registry (Debian's docker-registry, on loopback) serves all engines in the same run; each push goes to an empty one of its
own. Each sample is checked, untimed: an operation that did nothing has failed. Registry and archives are in the page cache for
all; in the first round, which is reported apart as "cold", the programs are not, nor what they make on their first start.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

from benchmarks.images_engines import Engine, Podman, Rootless, Skopeo, run
from benchmarks.images_made import MadeImage, Size, make_image, pushed_size, put_image
from benchmarks.machine import RoundMeter
from benchmarks.measure import Key, Measurement, Results, rotated
from tests.support.docker_registry import docker_registry

_CHANGED = 10
_LEAST_PACKED = 4
"""No engine compresses the images to less than a fourth: a push of fewer bytes is incomplete."""


@dataclass(frozen=True, slots=True)
class Scale:
    """Sizes of the images: many small files in one layer, a small one of five layers, a large one to change a little of."""

    many: Size
    five: Size
    large: Size


SCALES = {
    "tiny": Scale(Size(60, 1 << 19), Size(50, 1 << 18, 5), Size(20, 1 << 20)),
    "small": Scale(Size(300, 3 << 20), Size(100, 1 << 20, 5), Size(40, 4 << 20)),
    "normal": Scale(Size(6000, 100_000_000), Size(1000, 12_000_000, 5), Size(1000, 200_000_000)),
    "full": Scale(Size(30_000, 500_000_000), Size(3000, 60_000_000, 5), Size(4000, 1_000_000_000)),
}


@dataclass(frozen=True, slots=True)
class Stage:
    """What samples share: the registry with the images, and a directory for files."""

    host: str
    images: dict[str, MadeImage]
    scratch: Path

    def name(self, image: str) -> str:
        return f"{self.host}/bench/{image}:1"


@dataclass(frozen=True, slots=True)
class Operation:
    """`sample` prepares, yields the command to measure, and checks the result, or raises RuntimeError; it yields None if an
    engine has no such command."""

    name: str
    sample: Callable[[Engine, Stage], Iterator[list[str] | None]]


def _present(engine: Engine, stage: Stage, image: str) -> None:
    if not engine.layers(stage.name(image)):
        run(engine, engine.pull(stage.name(image)))
    _expect(engine, stage.name(image), stage.images[image])


def _expect(engine: Engine, name: str, wanted: MadeImage | None) -> None:
    found = engine.layers(name)
    if found != ([layer.diff_id for layer in wanted.layers] if wanted else []):
        raise RuntimeError(f"{name} has the layers {found}, which is not what it should have")


def _pull(image: str) -> Callable[[Engine, Stage], Iterator[list[str] | None]]:
    def sample(engine: Engine, stage: Stage) -> Iterator[list[str] | None]:
        name = stage.name(image)
        engine.forget(name)
        _expect(engine, name, None)
        yield engine.pull(name)
        _expect(engine, name, stage.images[image])

    return sample


def _push(image: str) -> Callable[[Engine, Stage], Iterator[list[str] | None]]:
    def sample(engine: Engine, stage: Stage) -> Iterator[list[str] | None]:
        _present(engine, stage, image)
        with _empty_registry(stage) as host:
            name = f"{host}/bench/{image}:1"
            engine.tag(stage.name(image), name)
            yield engine.push(name)
            _check_pushed(pushed_size(host, f"bench/{image}", "1"), stage.images[image])
            engine.forget(name)

    return sample


def _push_loaded(engine: Engine, stage: Stage) -> Iterator[list[str] | None]:
    """An image from an archive is compressed while it is pushed."""
    image = stage.images["many"]
    engine.forget(stage.name("many"))
    run(engine, engine.load(image.archive, image.archive_tag))
    with _empty_registry(stage) as host:
        name = f"{host}/bench/loaded:1"
        engine.tag(image.archive_tag, name)
        yield engine.push(name)
        _check_pushed(pushed_size(host, "bench/loaded", "1"), image)
        engine.forget(name)
    engine.forget(image.archive_tag)


@contextmanager
def _empty_registry(stage: Stage) -> Iterator[str]:
    with (
        tempfile.TemporaryDirectory(dir=stage.scratch) as directory,
        docker_registry(Path(directory)) as host,
    ):
        yield host


def _check_pushed(size: int, image: MadeImage) -> None:
    if size < image.content_size // _LEAST_PACKED:
        raise RuntimeError(f"only {size} bytes were pushed of {image.content_size}")


def _save(engine: Engine, stage: Stage) -> Iterator[list[str] | None]:
    _present(engine, stage, "many")
    path = stage.scratch / "saved.tar"
    path.unlink(missing_ok=True)
    yield engine.save(stage.name("many"), path)
    if not path.exists() or path.stat().st_size < stage.images["many"].content_size:
        raise RuntimeError("the archive is not there or is too small")
    path.unlink()


def _load(engine: Engine, stage: Stage) -> Iterator[list[str] | None]:
    image = stage.images["many"]
    engine.forget(image.archive_tag)
    # With the same layers under another name, there would be nothing to load.
    engine.forget(stage.name("many"))
    _expect(engine, image.archive_tag, None)
    yield engine.load(image.archive, image.archive_tag)
    _expect(engine, image.archive_tag, image)
    engine.forget(image.archive_tag)


def _commit(engine: Engine, stage: Stage) -> Iterator[list[str] | None]:
    command = engine.commit("bench.test/committed:1")
    if command is None:
        yield None
        return
    base = stage.name("large")
    _present(engine, stage, "large")
    engine.forget("bench.test/committed:1")
    engine.change(base, stage.scratch / "changes")
    yield command
    *below, _ = engine.layers("bench.test/committed:1") or [""]
    if below != engine.layers(base):
        raise RuntimeError("the new image is not one layer over the old one")
    engine.forget("bench.test/committed:1")


def _remove(engine: Engine, stage: Stage) -> Iterator[list[str] | None]:
    command = engine.remove(stage.name("many"))
    if command is None:
        yield None
        return
    _present(engine, stage, "many")
    yield command
    _expect(engine, stage.name("many"), None)


OPERATIONS = (
    Operation("pull, many files", _pull("many")),
    Operation("pull, five layers", _pull("five")),
    Operation("push as pulled", _push("many")),
    Operation("save", _save),
    Operation("rmi", _remove),
    Operation("load", _load),
    Operation("push as loaded", _push_loaded),
    Operation("commit of ten files", _commit),
)


def measured(argv: Sequence[str], env: dict[str, str], log: Path) -> tuple[float, int]:
    """Run a command. Returns seconds, and the peak memory in bytes of its largest process.

    Raises RuntimeError if it fails.
    """
    with log.open("wb") as stream:
        start = time.perf_counter()
        process = subprocess.Popen(
            argv, env=env, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream
        )
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(log.read_text(errors="replace").strip()[-300:])
    return seconds, usage.ru_maxrss * 1024


def take(
    results: Results, operation: Operation, engine: Engine, stage: Stage, temperature: str = "warm"
) -> None:
    """One sample of one operation."""
    key = Key(operation.name, engine.name, temperature)
    if results.failed(key):
        return
    steps = operation.sample(engine, stage)
    try:
        command = next(steps)
        if command is None:
            return
        seconds, peak = measured(command, engine.env, stage.scratch / "log")
        next(steps, None)
    except (OSError, RuntimeError, subprocess.SubprocessError) as error:
        results.fail(key, error)
        return
    finally:
        steps.close()  # type: ignore[attr-defined]  # they are generators
    results.record(key, seconds, peak)


@contextmanager
def prepared(scratch: Path, scale: Scale) -> Iterator[Stage]:
    """The images, made and pushed to a registry that serves until the end of the block."""
    images: dict[str, MadeImage] = {}
    # In a process of its own: children inherit the peak memory of a process (getrusage(2),
    # ru_maxrss; it survives an exec).
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as maker:
        for seed, name in enumerate(("many", "five", "large")):
            size = getattr(scale, name)
            images[name] = maker.submit(make_image, scratch / name, size, seed).result()
    changes = scratch / "changes/etc"
    changes.mkdir(parents=True)
    for number in range(_CHANGED):
        (changes / f"settings{number}").write_bytes(b"one=2\n" * 300)
    with docker_registry(scratch / "registry") as host:
        for name, image in images.items():
            put_image(image, host, f"bench/{name}", "1")
        yield Stage(host, images, scratch)


NAMES = ("rootless", "podman", "skopeo")


def measure(measurement: Measurement) -> dict[str, str]:
    """Take every sample. Returns facts about the engines, by name."""
    facts: dict[str, str] = {}
    if shutil.which("docker-registry") is None:
        return {"images": "not measured, docker-registry is not installed"}
    with ExitStack() as stack:
        stage = stack.enter_context(prepared(measurement.scratch, SCALES[measurement.scale]))
        engines: list[Engine] = [Rootless.create(measurement.scratch)]
        if shutil.which("podman"):
            podman = Podman.create(measurement.scratch)
            stack.callback(podman.destroy)
            facts["podman storage"] = podman.storage()
            engines.append(podman)
        if shutil.which("skopeo"):
            engines.append(Skopeo.create(measurement.scratch))
        chosen = [engine for engine in engines if engine.name in measurement.subjects]
        for number in range(measurement.rounds + 1):
            meter = RoundMeter()
            for operation in OPERATIONS:
                if operation.name not in measurement.workloads:
                    continue
                print(f"round {number}: {operation.name}", file=sys.stderr)
                for engine in rotated(chosen, number):
                    take(
                        measurement.results, operation, engine, stage, "warm" if number else "cold"
                    )
            measurement.results.rounds.append(meter.finish())
            measurement.after_round()
    return facts
