"""A store with a base image, and builds in it."""

from __future__ import annotations

import io
import json
import tarfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.command import Result
from tests.support.rootless import Rootless


@dataclass(frozen=True, slots=True)
class Builds:
    """Writes contexts and builds them. The image `base` is busybox."""

    rootless: Rootless
    directory: Path

    def context(self, dockerfile: str, files: dict[str, str] | None = None) -> Path:
        """A directory with a Dockerfile and other files."""
        self.directory.mkdir(exist_ok=True)
        for name, content in {"Dockerfile": dockerfile, **(files or {})}.items():
            path = self.directory / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
        return self.directory

    def __call__(
        self, dockerfile: str, *flags: str, files: dict[str, str] | None = None, stdin: bytes = b""
    ) -> Result:
        """Build as the image `t`."""
        context = self.context(dockerfile, files)
        return self.rootless("build", "-t", "t", *flags, str(context), stdin=stdin)

    def ok(self, dockerfile: str, *flags: str, files: dict[str, str] | None = None) -> str:
        """Build as the image `t`; what was shown."""
        done = self(dockerfile, *flags, files=files)
        assert done.status == 0, done.stderr
        return done.stderr

    def sh(self, script: str) -> str:
        """The output of a script in the image `t`."""
        done = self.rootless("run", "--rm", "--entrypoint", "/bin/sh", "t", "-c", script)
        assert done.status == 0, done.stderr
        return done.stdout

    def inspect(self) -> dict:
        found = json.loads(self.rootless("image", "inspect", "t").stdout)
        return found[0]

    def layers(self) -> list[list[tarfile.TarInfo]]:
        """The members of every layer of the image `t`, bottom first."""
        archive = self.directory.with_name("saved.tar")
        done = self.rootless("save", "t", "-o", str(archive))
        assert done.status == 0, done.stderr
        found = []
        with tarfile.open(archive) as saved:
            manifest = json.load(saved.extractfile("manifest.json"))
            for name in manifest[0]["Layers"]:
                data = saved.extractfile(name).read()
                with tarfile.open(fileobj=io.BytesIO(data)) as layer:
                    found.append(layer.getmembers())
        archive.unlink()
        return found

    def history(self) -> list[str]:
        """The texts of the history, the newest first."""
        done = self.rootless("history", "--no-trunc", "--format", "{{.CreatedBy}}", "t")
        return done.stdout.splitlines()


@pytest.fixture
def builds(rootless, give_busybox, tmp_path):
    give_busybox(rootless, "base:1")
    return Builds(rootless, tmp_path / "context")
