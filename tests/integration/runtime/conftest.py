"""A container from flags, as the engine would start it, over a busybox root."""

from __future__ import annotations

import os
import select
import signal
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from rootless.runtime.account import read_id_maps
from rootless.runtime.idmap import IdMaps, make_maps
from rootless.runtime.parent import ContainerProcess, LaunchArgs, Stdio, launch
from rootless.runtime.rootfs import BindRootfs
from rootless.spec.bind_sources import prepare_bind_sources
from rootless.spec.etc_files import etc_files
from rootless.spec.gather_host import gather_host_facts
from rootless.spec.runtime_spec import make_spec
from rootless.spec.seccomp_profile import profile_of
from tests.support.images import busybox_tar
from tests.support.run_flags import flags_to_options

ID = "0123456789abcdef" * 4
BOUND = 120


class Result(NamedTuple):
    status: int
    out: str
    err: str


def ended(process: ContainerProcess) -> int:
    """The exit status as the command line gives it, within a bound."""
    poll = select.poll()
    poll.register(process.pidfd, select.POLLIN)
    if not poll.poll(BOUND * 1000):
        signal.pidfd_send_signal(process.pidfd, signal.SIGKILL)
        os.waitid(os.P_PIDFD, process.pidfd, os.WEXITED)
        raise AssertionError(f"the container did not end within {BOUND} seconds")
    result = os.waitid(os.P_PIDFD, process.pidfd, os.WEXITED)
    os.close(process.pidfd)
    return result.si_status if result.si_code == os.CLD_EXITED else 128 + result.si_status


class Box:
    def __init__(self, directory: Path, root: Path, cache: Path) -> None:
        self.directory = directory
        self.root = root
        self._cache = cache

    def spec(self, *command: str, single: bool = False, **flags: Any) -> tuple[dict, IdMaps]:
        options = flags_to_options(
            command=command,
            environ=os.environ,
            cwd=str(self.directory),
            # A listener of the filter would want a recorder, which is the monitor's.
            **{"network": ("none",), "chown": "pretend", **flags},
        )
        prepare_bind_sources(options)
        if single:
            maps = make_maps(
                options.userns, uid=os.getuid(), gid=os.getgid(), subuids=(), subgids=()
            )
        else:
            maps = read_id_maps(options.userns)
        files = {}
        contents = etc_files(
            options,
            hostname=options.hostname or ID[:12],
            host_resolv_conf="",
            id_maps=maps,
            has_apt=lambda: True,
        )
        for number, (target, text) in enumerate(contents.values()):
            path = self.directory / f"etc{number}"
            path.write_text(text)
            files[target] = str(path)
        host = gather_host_facts()
        spec = make_spec(
            options,
            container_id=ID,
            rootfs=str(self.root),
            image_config=None,
            host=host,
            id_maps=maps,
            files=files,
            seccomp=profile_of(
                options.security.seccomp,
                options.security.capabilities,
                host=host,
                read=lambda path: Path(path).read_bytes(),
                privileged=options.privileged,
            ),
            console_size=(33, 77),
        )
        return spec, maps

    def start(self, *command: str, stdio: Stdio | None, rootfs=None, serve=None, **flags: Any):
        spec, maps = self.spec(*command, **flags)
        args = LaunchArgs(
            spec=spec,
            bundle=str(self.directory),
            rootfs=rootfs or BindRootfs(str(self.root)),
            id_maps=maps,
            stdio=stdio,
            serve=serve,
            seccomp_cache=str(self._cache),
        )
        return launch(args)

    def run(self, *command: str, **more: Any) -> Result:
        out, err = self.directory / "out", self.directory / "err"
        with open("/dev/null", "rb") as null, out.open("wb") as o, err.open("wb") as e:
            process = self.start(
                *command, stdio=Stdio(null.fileno(), o.fileno(), e.fileno()), **more
            )
        return Result(ended(process), out.read_text(), err.read_text())

    def sh(self, script: str, **more: Any) -> Result:
        return self.run("sh", "-c", script, **more)


def unpack(archive: Path, directory: Path) -> None:
    """By tar(1): tarfile has a filter only from Python 3.11.4 on, and warns without one from 3.12 on."""
    directory.mkdir()
    subprocess.run(["tar", "-xf", archive, "-C", directory], check=True, timeout=120)


@pytest.fixture(scope="session")
def busybox_root(tmp_path_factory):
    directory = tmp_path_factory.mktemp("busybox")
    archive = directory / "root.tar"
    busybox_tar(archive)
    unpack(archive, directory / "root")
    return directory / "root"


@pytest.fixture(scope="session")
def seccomp_cache(tmp_path_factory):
    return tmp_path_factory.mktemp("seccomp")


@pytest.fixture
def box(tmp_path, busybox_root, seccomp_cache):
    return Box(tmp_path, busybox_root, seccomp_cache)


@pytest.fixture
def own_box(tmp_path, seccomp_cache):
    """A box whose root may be changed."""
    archive = tmp_path / "root.tar"
    busybox_tar(archive)
    unpack(archive, tmp_path / "root")
    return Box(tmp_path, tmp_path / "root", seccomp_cache)
