"""Builds: this engine, BuildKit and buildah, each from the same Dockerfiles and contexts.

`scripts/bench build` prints times, and of each workload whose name ends with "memory" the most memory that the build added to the
processes of this user, those of docker's daemon among them. A sample prepares what it needs untimed: what is to be found in the
cache is built first, and before a cold build the caches are emptied. Base images are Debian root file systems that the test suite
makes (tests/support/debian.py), the one with a compiler and npm among them: no workload needs a network.
"""

from __future__ import annotations

import itertools
import json
import os
import random
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeAlias

from benchmarks.build_engines import FUSE, Builder, builders
from benchmarks.lifecycle import Stopwatch
from benchmarks.measure import Key, Measurement, Results, short_runroot
from benchmarks.memory import total_size
from benchmarks.workloads import MIB
from tests.support.debian import cache_directory, debian_tar, toolchain_tar

_BASE, _TOOLCHAIN = "localhost/bench-base:1", "localhost/bench-toolchain:1"
_METADATA = "chmod -R, chown -R of a lower layer"
"""The one workload of buildah on fuse-overlayfs, whose others take it five to ten times as long as on the kernel's."""

_POLL_SECONDS = 0.02
_PER_DIRECTORY = 100


@dataclass(frozen=True, slots=True)
class Size:
    """Steps of a Dockerfile, files that are copied, files whose metadata a RUN changes, and the bytes of a large context."""

    steps: int
    copied: int
    changed: int
    context: int


SIZES = {
    "tiny": Size(4, 50, 20, MIB),
    "small": Size(8, 2000, 1000, 64 * MIB),
    "normal": Size(20, 50_000, 20_000, 2000 * MIB),
    "full": Size(20, 50_000, 20_000, 2000 * MIB),
}


@dataclass(frozen=True, slots=True)
class Bench:
    """What a workload is given: a builder, sizes, and the directory of the contexts, which all builders share."""

    builder: Builder
    size: Size
    directory: Path

    def context(self, name: str, dockerfile: str) -> tuple[Path, bool]:
        """A directory with a Dockerfile, and whether it is new."""
        path = self.directory / name
        is_new = not path.exists()
        path.mkdir(exist_ok=True)
        if is_new:
            (path / "Dockerfile").write_text(dockerfile)
        return path, is_new

    def cold(self, context: Path, *flags: str) -> float:
        """Seconds of a build that finds nothing in the cache."""
        self.builder.forget()
        with Stopwatch() as watch:
            self.builder.build(context, "--no-cache", *flags)
        return watch.seconds

    def again(self, context: Path, change: Callable[[], object] = lambda: None) -> float:
        """Seconds of a build after one of the same context, of which something was changed."""
        self.builder.build(context)
        change()
        with Stopwatch() as watch:
            self.builder.build(context)
        return watch.seconds


Measured: TypeAlias = Callable[[Bench], float]
_counter = itertools.count()


def _steps(bench: Bench) -> Path:
    """A quarter each of ENV, COPY, RUN and WORKDIR."""
    lines = [f"FROM {_BASE}"]
    count = bench.size.steps // 4
    for i in range(count):
        lines += [
            f"ENV NAME{i}=value",
            f"COPY file{i} /srv/file{i}",
            f"RUN echo {i} >/srv/{i}",
            f"WORKDIR /w{i}",
        ]
    path, is_new = bench.context("steps", "\n".join(lines) + "\n")
    for i in range(count if is_new else 0):
        (path / f"file{i}").write_text("content\n" * i * 100)
    return path


def _runs(bench: Bench) -> Path:
    lines = [f"RUN echo {i} >/srv/{i}" for i in range(bench.size.steps)]
    return bench.context("runs", "\n".join([f"FROM {_BASE}", *lines]) + "\n")[0]


_C = f"""FROM {_TOOLCHAIN} AS build
WORKDIR /src
COPY main.c .
RUN gcc -O2 -static -o hello main.c
FROM {_BASE}
COPY --from=build /src/hello /usr/local/bin/hello
CMD ["hello"]
"""
_C_SOURCE = '#include <stdio.h>\nint main(void) { puts("hello %d"); return 0; }\n'

_NODE = f"""FROM {_TOOLCHAIN}
RUN mkdir -p /app
WORKDIR /app
COPY package.json /app/
COPY vendor /app/vendor
RUN npm install --offline --no-audit --no-fund
COPY . /app
CMD ["npm", "start"]
"""
_MODULES = 20


def _c_program(bench: Bench) -> Path:
    path, is_new = bench.context("program", _C)
    if is_new:
        (path / "main.c").write_text(_C_SOURCE % 0)
    return path


def _node_application(bench: Bench) -> Path:
    """With modules from archives in the context, as npm pack makes them."""
    path, is_new = bench.context("application", _NODE)
    if is_new:
        names = [f"module{i}" for i in range(_MODULES)]
        for name in names:
            package = path / "new" / "package"
            (package / "lib").mkdir(parents=True)
            _write_json(package / "package.json", {"name": name, "version": "1.0.0"})
            (package / "index.js").write_text("module.exports = 1;\n")
            for i in range(20):
                (package / "lib" / f"{i}.js").write_text(f"module.exports = {i};\n" * 20)
            (path / "vendor").mkdir(exist_ok=True)
            shutil.make_archive(str(path / "vendor" / name), "gztar", package.parent, "package")
            shutil.rmtree(path / "new")
        wanted = {name: f"file:vendor/{name}.tar.gz" for name in names}
        _write_json(
            path / "package.json", {"name": "app", "version": "1.0.0", "dependencies": wanted}
        )
        (path / "main.js").write_text("require('module1');\n")
    return path


def _write_json(path: Path, document: Mapping[str, object]) -> None:
    path.write_text(json.dumps(document))


def _metadata(bench: Bench) -> Path:
    """Files in a lower layer, whose metadata the last RUN changes."""
    directories = bench.size.changed // _PER_DIRECTORY or 1
    files = bench.size.changed // directories
    make = (
        f"RUN mkdir /srv/d && cd /srv/d && for d in $(seq {directories}); do mkdir $d; "
        f"for f in $(seq {files}); do echo $f >$d/$f; done; done"
    )
    change = "RUN echo $SALT; chmod -R g+w /srv/d && chown -R 1000:1000 /srv/d"
    return bench.context("metadata", "\n".join([f"FROM {_BASE}", make, "ARG SALT", change, ""]))[0]


def _change_metadata(bench: Bench) -> float:
    path = _metadata(bench)
    bench.builder.build(path, "--build-arg", f"SALT={next(_counter)}")
    with Stopwatch() as watch:
        bench.builder.build(path, "--build-arg", f"SALT={next(_counter)}")
    return watch.seconds


def _many_files(bench: Bench) -> Path:
    path, is_new = bench.context("files", f"FROM {_BASE}\nCOPY files /srv/files\n")
    if is_new:
        made = random.Random(1)
        for number in range(bench.size.copied):
            directory = path / "files" / f"{number // _PER_DIRECTORY}"
            directory.mkdir(parents=True, exist_ok=True)
            (directory / f"{number}").write_bytes(made.randbytes(made.randrange(100, 4000)))
    return path


def _large_context(bench: Bench) -> Path:
    """20 files that no compression makes smaller, and a small one."""
    path, is_new = bench.context("large", f"FROM {_BASE}\nCOPY . /srv/data\n")
    if is_new:
        made, parts = random.Random(2), bench.size.context // MIB
        (path / "data").mkdir()
        for number in range(20):
            with open(path / "data" / str(number), "wb") as file:
                file.writelines(made.randbytes(MIB) for _ in range(max(parts // 20, 1)))
        (path / "small.txt").write_text("small\n")
    return path


def _rewrite(path: Path) -> Callable[[], object]:
    return lambda: path.write_text(f"changed {next(_counter)} {os.getpid()}\n")


WORKLOADS: Mapping[str, Measured] = {
    "20 steps, no-op": lambda bench: bench.again(_steps(bench)),
    "20 steps, cold": lambda bench: bench.cold(_steps(bench)),
    "20 RUN, cold": lambda bench: bench.cold(_runs(bench)),
    "20 RUN, no network, cold": lambda bench: bench.cold(_runs(bench), *bench.builder.network),
    "C program, cold": lambda bench: bench.cold(_c_program(bench)),
    "C program, source changed": lambda bench: bench.again(
        _c_program(bench),
        lambda: (_c_program(bench) / "main.c").write_text(_C_SOURCE % next(_counter)),
    ),
    "node application, cold": lambda bench: bench.cold(_node_application(bench)),
    _METADATA: _change_metadata,
    "COPY of many files, cold": lambda bench: bench.cold(_many_files(bench)),
    "COPY of many files, no-op": lambda bench: bench.again(_many_files(bench)),
    "COPY of many files, one changed": lambda bench: bench.again(
        _many_files(bench), _rewrite(_many_files(bench) / "files" / "0" / "0")
    ),
    "large context, cold": lambda bench: bench.cold(_large_context(bench)),
    "large context, no-op": lambda bench: bench.again(_large_context(bench)),
    "large context, one small file changed": lambda bench: bench.again(
        _large_context(bench), _rewrite(_large_context(bench) / "small.txt")
    ),
}
_TOOLCHAIN_WORKLOADS = {name for name in WORKLOADS if name.startswith(("C program", "node"))}
MEMORY: Mapping[str, Callable[[Bench], Path]] = {
    "20 RUN, memory": _runs,
    "COPY of many files, memory": _many_files,
    "large context, memory": _large_context,
}


def measure(measurement: Measurement) -> None:
    """Time every workload with every builder; the memory is in the table of peaks."""
    with short_runroot() as runroot:
        contexts = measurement.scratch / "contexts"
        contexts.mkdir()
        prepared = [
            Bench(builder, SIZES[measurement.scale], contexts)
            for builder in builders(measurement.scratch, runroot)
            if builder.name in measurement.subjects
        ]
        for bench in prepared:
            _make_bases(measurement.results, bench, measurement.scratch, measurement.workloads)
        measurement.sample_in_rounds(prepared, partial(_sample, measurement.results))


def _make_bases(results: Results, bench: Bench, scratch: Path, workloads: Sequence[str]) -> None:
    """Make the base images that are needed; a builder that cannot fails all workloads."""
    cache = cache_directory()
    tars = {"base": debian_tar(cache)}
    if _TOOLCHAIN_WORKLOADS.intersection(workloads):
        tars["toolchain"] = toolchain_tar(cache)
    try:
        for name, tar in tars.items():
            context = scratch / name
            context.mkdir(exist_ok=True)
            bench.builder.make_base(context, tar)
    except RuntimeError as error:
        for workload in workloads:
            results.fail(Key(workload, bench.builder.name, "warm"), error)


def _sample(results: Results, workload: str, bench: Bench) -> None:
    if bench.builder.name == FUSE and workload != _METADATA:
        return
    key = Key(workload, bench.builder.name, "warm")
    if workload in WORKLOADS:
        results.time(key, lambda: WORKLOADS[workload](bench))
        return
    if results.failed(key):
        return
    try:
        results.of(key).peaks.append(_peak(bench, MEMORY[workload](bench)))
    except RuntimeError as error:
        results.fail(key, error)


def _peak(bench: Bench, context: Path) -> int:
    """The bytes that a cold build adds to the processes of this user, at most, by looking again and again."""
    bench.builder.forget()
    before = most = total_size()
    process = bench.builder.start(*bench.builder.build_arguments(context, "--no-cache"))
    while True:
        most = max(most, total_size())
        try:
            output, _ = process.communicate(timeout=_POLL_SECONDS)
        except subprocess.TimeoutExpired:
            continue
        if process.returncode:
            raise RuntimeError(output.decode(errors="replace")[-300:])
        return most - before
