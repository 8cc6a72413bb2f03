"""The engines that transfer images: this one, podman and skopeo, each with a store of its own, behind one protocol.

An operation is a command line. Untimed queries before and after it check that there was something to do, and that it was done.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from typing_extensions import override

from benchmarks.program import ROOTLESS

SECONDS = 900
_LAYERS = "{{json .RootFS.Layers}}"


class Engine(Protocol):
    """The commands of one engine; None if it has no such command. Names are HOST:PORT/REPOSITORY:TAG."""

    @property
    def name(self) -> str: ...
    @property
    def env(self) -> dict[str, str]: ...

    def pull(self, name: str) -> list[str]: ...
    def push(self, name: str) -> list[str]: ...
    def save(self, name: str, path: Path) -> list[str]: ...
    def load(self, path: Path, name: str) -> list[str]: ...
    def remove(self, name: str) -> list[str] | None: ...
    def commit(self, name: str) -> list[str] | None:
        """Commit the container that `change` has made to an image of this name."""

    def layers(self, name: str) -> list[str]:
        """The diffIDs of an image, bottom first; none if there is no such image."""

    def tag(self, old: str, new: str) -> None: ...
    def forget(self, name: str) -> None:
        """Remove an image, if there is one, and its containers."""

    def change(self, image: str, directory: Path) -> None:
        """Create a container from an image, and copy the files of a directory into it."""


def run(engine: Engine, argv: Sequence[str], *, check: bool = True) -> str:
    """Run a command that is not measured. Returns its output. Raises RuntimeError if it fails."""
    done = subprocess.run(
        argv,
        env=engine.env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=SECONDS,
        check=False,
    )
    if check and done.returncode:
        complaint = done.stderr.decode(errors="replace").strip()[-300:]
        raise RuntimeError(f"{' '.join(argv[:6])} ...: {complaint}")
    return done.stdout.decode().strip() if not done.returncode else ""


def _listed(text: str) -> list[str]:
    return [str(each) for each in json.loads(text)] if text else []


class DockerLike(Engine):
    """The commands that this engine and podman have in common, docker's."""

    __slots__ = ()

    def _command(self, *arguments: str) -> list[str]:
        raise NotImplementedError

    @override
    def load(self, path: Path, name: str) -> list[str]:
        return self._command("load", "-q", "-i", str(path))

    def remove(self, name: str) -> list[str]:
        return self._command("rmi", name)

    def layers(self, name: str) -> list[str]:
        command = self._command("image", "inspect", "-f", _LAYERS, name)
        return _listed(run(self, command, check=False))

    def tag(self, old: str, new: str) -> None:
        run(self, self._command("tag", old, new))

    def forget(self, name: str) -> None:
        run(self, self._command("rm", "-f", "changed"), check=False)
        run(self, self._command("rmi", "-f", name), check=False)


@dataclass(frozen=True, slots=True)
class Rootless(DockerLike):
    """This engine."""

    env: dict[str, str]
    name: str = "rootless"

    @classmethod
    def create(cls, scratch: Path) -> Rootless:
        data, runtime = scratch / "rootless/data", scratch / "rootless/run"
        runtime.mkdir(mode=0o700, parents=True)
        env = os.environ | {"XDG_DATA_HOME": str(data), "XDG_RUNTIME_DIR": str(runtime)}
        # As in an installed package, modules are compiled once.
        env.pop("PYTHONDONTWRITEBYTECODE", None)
        return cls(env | {"PYTHONPYCACHEPREFIX": str(scratch / "rootless/compiled")})

    def pull(self, name: str) -> list[str]:
        return self._command("pull", "-q", name)

    def push(self, name: str) -> list[str]:
        return self._command("push", "-q", name)

    def save(self, name: str, path: Path) -> list[str]:
        return self._command("save", "-o", str(path), name)

    def commit(self, name: str) -> list[str]:
        return self._command("commit", "changed", name)

    def change(self, image: str, directory: Path) -> None:
        script = "cd /in && cp -r . /"
        options = ("--name", "changed", "--network", "none", "-v", f"{directory}:/in:ro")
        run(self, self._command("run", *options, image, "/bin/busybox", "sh", "-c", script))

    @override
    def _command(self, *arguments: str) -> list[str]:
        return [ROOTLESS, *arguments]


@dataclass(frozen=True, slots=True)
class Podman(DockerLike):
    """podman on overlay storage: the kernel's if this account may mount it, else fuse-overlayfs."""

    store: tuple[str, ...]
    env: dict[str, str]
    name: str = "podman"

    @classmethod
    def create(cls, scratch: Path) -> Podman:
        # podman refuses a runroot of more than 50 characters, and keeps blobs on their way in TMPDIR.
        runroot = tempfile.mkdtemp(prefix="rl-", dir="/tmp")
        home, temporary = scratch / "podman-home", scratch / "podman-tmp"
        for directory in (home, temporary):
            directory.mkdir()
        env = {"HOME": str(home), "XDG_CONFIG_HOME": str(home), "TMPDIR": str(temporary)}
        store = ("--root", str(scratch / "podman"), "--runroot", runroot)
        return cls(
            (*store, "--storage-driver", "overlay", "--cgroup-manager=cgroupfs"), os.environ | env
        )

    def storage(self) -> str:
        """Which overlay its containers are on."""
        text = run(self, self._command("info", "--format", "{{json .Store}}"))
        store = json.loads(text)
        program = store["graphOptions"].get("overlay.mount_program")
        native = store["graphStatus"].get("Native Overlay Diff") == "true"
        if program:
            return str(program.get("Executable", program))
        return f"kernel overlayfs, native diff {'yes' if native else 'no'}"

    def pull(self, name: str) -> list[str]:
        return self._command("pull", "-q", "--tls-verify=false", name)

    def push(self, name: str) -> list[str]:
        return self._command("push", "-q", "--tls-verify=false", name)

    def save(self, name: str, path: Path) -> list[str]:
        return self._command("save", "-q", "-o", str(path), name)

    def commit(self, name: str) -> list[str]:
        return self._command("commit", "-q", "changed", name)

    def change(self, image: str, directory: Path) -> None:
        run(self, self._command("create", "--name", "changed", image, "/bin/true"))
        run(self, self._command("cp", f"{directory}/.", "changed:/"))

    def destroy(self) -> None:
        """Remove the store, whose layers hold files of subordinate ids."""
        directories = [self.store[1], self.store[3]]
        run(self, ["podman", "unshare", "rm", "-rf", *directories], check=False)

    @override
    def _command(self, *arguments: str) -> list[str]:
        return ["podman", *self.store, *arguments]


@dataclass(frozen=True, slots=True)
class Skopeo(Engine):
    """skopeo, whose store is a directory of OCI layouts: it unpacks nothing, so what it takes is what the way there takes."""

    directory: Path
    env: dict[str, str] = field(default_factory=lambda: dict(os.environ))
    name: str = "skopeo (unpacks nothing)"

    @classmethod
    def create(cls, scratch: Path) -> Skopeo:
        directory = scratch / "skopeo"
        (directory / "tmp").mkdir(parents=True)
        return cls(directory, os.environ | {"TMPDIR": str(directory / "tmp")})

    def pull(self, name: str) -> list[str]:
        return self._copy(f"docker://{name}", self._layout(name), "--src-tls-verify=false")

    def push(self, name: str) -> list[str]:
        return self._copy(self._layout(name), f"docker://{name}", "--dest-tls-verify=false")

    def save(self, name: str, path: Path) -> list[str]:
        return self._copy(self._layout(name), f"docker-archive:{path}:{name}")

    def load(self, path: Path, name: str) -> list[str]:
        return self._copy(f"docker-archive:{path}", self._layout(name))

    @override
    def remove(self, name: str) -> None:
        return None

    @override
    def commit(self, name: str) -> None:
        return None

    def layers(self, name: str) -> list[str]:
        config = run(self, ["skopeo", "inspect", "--config", self._layout(name)], check=False)
        return _listed(json.dumps(json.loads(config)["rootfs"]["diff_ids"]) if config else "")

    def tag(self, old: str, new: str) -> None:
        # An image that is pushed from where it lies has no other name than the one it is pushed to.
        if not self._place(new).exists():
            shutil.copytree(self._place(old), self._place(new), copy_function=os.link)

    def forget(self, name: str) -> None:
        shutil.rmtree(self._place(name), ignore_errors=True)

    def change(self, image: str, directory: Path) -> None:
        raise NotImplementedError("skopeo runs nothing")

    def _copy(self, source: str, target: str, *options: str) -> list[str]:
        return ["skopeo", "copy", "-q", "--insecure-policy", *options, source, target]

    def _place(self, name: str) -> Path:
        return self.directory / name.replace("/", "_").replace(":", "_")

    def _layout(self, name: str) -> str:
        return f"oci:{self._place(name)}:1"
