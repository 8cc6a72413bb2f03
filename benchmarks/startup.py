"""How long until a container has run `true` and is gone: this engine and its peers, on the same busybox root file system."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.machine import RoundMeter
from benchmarks.measure import Key, Measurement, rotated, short_runroot
from benchmarks.program import ROOTLESS
from tests.support.images import busybox_tar, docker_archive

WORKLOAD = "container start, run true, end"


@dataclass(frozen=True, slots=True)
class Engine:
    """A command that runs `true` in a container and waits for it."""

    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)

    def run(self) -> None:
        done = subprocess.run(
            self.argv,
            env=os.environ | self.env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=120,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(done.stderr.decode(errors="replace").strip()[-300:])


def engines(scratch: Path, runroot: Path) -> list[Engine]:
    """Prepare an image for each engine. Returns how each is started. `runroot`: a short path, for podman."""
    tar, archive, rootfs, bundle = (
        scratch / name for name in ("rootfs.tar", "image.tar", "rootfs", "bundle")
    )
    busybox_tar(tar)
    docker_archive(archive, [tar.read_bytes()], tags=["bench:latest"])
    rootfs.mkdir()
    subprocess.run(["tar", "-C", rootfs, "-xf", tar], check=True)
    bundle.mkdir()
    env = {"XDG_DATA_HOME": str(scratch / "data")}
    store = ("--root", str(scratch / "podman"), "--runroot", str(runroot))
    subprocess.run(
        ["podman", *store, "load", "-q", "-i", archive], check=False, capture_output=True
    )
    _prepare_crun(bundle, rootfs)
    rootless = (ROOTLESS,)
    subprocess.run(
        [*rootless, "load", "-i", archive], check=False, capture_output=True, env=os.environ | env
    )
    confined = ("--ro-bind", str(rootfs), "/", "--unshare-all", "--proc", "/proc", "--dev", "/dev")
    return [
        Engine("rootless", (*rootless, "run", "--rm", "--network", "none", "bench", "true"), env),
        Engine(
            "rootless --rootfs",
            (*rootless, "run", "--rm", "--network", "none", "--rootfs", str(rootfs), "true"),
            env,
        ),
        Engine("podman", ("podman", *store, "run", "--rm", "--network", "none", "bench", "true")),
        Engine(
            "crun",
            (
                "crun",
                "--root",
                str(scratch / "crun"),
                "run",
                "--bundle",
                str(bundle),
                f"bench-{os.getpid()}",
            ),
        ),
        Engine("bubblewrap", ("bwrap", *confined, "true")),
    ]


def _prepare_crun(bundle: Path, rootfs: Path) -> None:
    subprocess.run(["crun", "spec", "--rootless"], cwd=bundle, check=True)
    path = bundle / "config.json"
    spec = json.loads(path.read_text())
    spec["process"].update(args=["true"], terminal=False)
    spec["root"] = {"path": str(rootfs), "readonly": True}
    path.write_text(json.dumps(spec))


NAMES = ("rootless", "rootless --rootfs", "podman", "crun", "bubblewrap")


def measure(measurement: Measurement) -> None:
    """Time every engine; the first start of each, with cold caches, is reported apart."""
    with short_runroot() as runroot:
        prepared = [
            engine
            for engine in engines(measurement.scratch, runroot)
            if engine.name in measurement.subjects
        ]
        for number in range(measurement.rounds + 1):
            meter = RoundMeter()
            for engine in rotated(prepared, number):
                temperature = "warm" if number else "cold"
                measurement.results.time(Key(WORKLOAD, engine.name, temperature), engine.run)
            measurement.results.rounds.append(meter.finish())
            measurement.after_round()
