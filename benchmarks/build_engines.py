"""Who builds: this engine, BuildKit (`docker build`) where docker's daemon answers, and buildah on kernel overlayfs and on
fuse-overlayfs."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.program import ROOTLESS

_SECONDS = 1200


@dataclass(frozen=True, slots=True)
class Builder:
    """A program that builds a directory with a Dockerfile. `network` are the flags with which RUN has no network."""

    name: str
    program: tuple[str, ...]
    build_words: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    network: tuple[str, ...] = ("--network", "none")

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            (*self.program, *arguments),
            env=os.environ | self.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    def __call__(self, *arguments: str) -> None:
        """Run a command. Raises RuntimeError with the end of its output if it fails."""
        process = self.start(*arguments)
        try:
            output, _ = process.communicate(timeout=_SECONDS)
        except BaseException:
            process.kill()
            process.wait()
            raise
        if process.returncode:
            reason = output.decode(errors="replace").strip()[-300:]
            raise RuntimeError(f"{self.name} {' '.join(arguments[:4])}: {reason}")

    def build(self, context: Path, *flags: str) -> None:
        """Build a directory as the image `bench-NAME`, NAME being that of the directory."""
        self(*self.build_arguments(context, *flags))

    def build_arguments(self, context: Path, *flags: str) -> tuple[str, ...]:
        return (*self.build_words, "-t", f"localhost/bench-{context.name}:1", *flags, str(context))

    def make_base(self, context: Path, tar: Path) -> None:
        """Make the image of a directory with a root file system."""
        shutil.copyfile(tar, context / "rootfs.tar")
        (context / "Dockerfile").write_text("FROM scratch\nADD rootfs.tar /\n")
        self.build(context)

    def forget(self) -> None:
        """Remove what is cached of builds, of contexts too, so that the next build is the first one."""


class Rootless(Builder):
    """This engine."""

    __slots__ = ()

    def forget(self) -> None:
        self("builder", "prune", "-a", "-f")
        shutil.rmtree(f"{self.env['ROOTLESS_ROOT']}/build/contents", ignore_errors=True)


class BuildKit(Builder):
    """The builder of docker's daemon."""

    __slots__ = ()

    def make_base(self, context: Path, tar: Path) -> None:
        # ADD would make the devices of a root file system, which rootless docker may not.
        self("import", str(tar), f"localhost/bench-{context.name}:1")

    def forget(self) -> None:
        self("builder", "prune", "-a", "-f")


FUSE = "buildah, fuse-overlayfs"
NAMES = ("rootless", "buildkit", "buildah", FUSE)


def builders(scratch: Path, runroot: Path) -> Iterator[Builder]:
    """Those that are here."""
    yield Rootless(
        NAMES[0], (ROOTLESS,), ("build", "-q"), {"ROOTLESS_ROOT": str(scratch / "rootless")}
    )
    if shutil.which("docker"):
        docker = BuildKit(NAMES[1], ("docker",), ("build", "-q"), {"DOCKER_BUILDKIT": "1"})
        try:
            docker("version")
            docker("buildx", "version")
        except RuntimeError:
            pass
        else:
            yield docker
    if shutil.which("buildah"):
        for name, storage in ((NAMES[2], "native"), (FUSE, "fuse-overlayfs")):
            driver = ("--storage-driver", "overlay")
            store = ("--root", str(scratch / storage), "--runroot", str(runroot / storage))
            if storage != "native":
                if not shutil.which(storage):
                    continue
                store += ("--storage-opt", f"overlay.mount_program={shutil.which(storage)}")
            yield Builder(name, ("buildah", *driver, *store), ("build", "-q", "--layers"))
