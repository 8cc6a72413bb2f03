"""A runtime directory in which nothing can be written any more: containers in networks go on, and leave them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.rootless import Rootless
from tests.support.small_disk import with_small_disk
from tests.support.traffic import ROOT

pytestmark = pytest.mark.needs("userns", "fuse", "tun", "pasta")

_SIZE = 1 << 18


def fill(directory: Path) -> None:
    with (directory / "fill").open("wb", buffering=0) as file:
        try:
            while file.write(b"x" * 512):
                pass
        except OSError:
            return


def test_networks_outlast_it(rootless: Rootless) -> None:
    def body() -> None:
        rootless.env  # noqa: B018 - makes the directory
        rootless("network", "create", "--subnet", "10.77.0.0/24", "net").ok()
        for name in ("one", "two", "three"):
            rootless("run", "-d", "--name", name, "--network", "net", *ROOT, "sleep", "1000").ok()
        fill(rootless.runtime)
        refused = rootless("run", "--rm", "--network", "net", *ROOT, "true")
        assert refused.status == 125
        assert refused.stderr == "rootless: cannot run the container: no space left on device\n"
        rootless("network", "disconnect", "net", "one").ok()
        rootless("rm", "-f", "two").ok()
        script = "import socket; print(socket.gethostbyname('three'))"
        found = rootless("exec", "three", "python3", "-c", script).ok().stdout
        assert found == "10.77.0.4\n"
        log = (rootless.runtime / "rootless/networks.log").read_text()
        assert "Traceback" not in log
        rootless("rm", "-f", "one", "three").ok()

    rootless.runtime.mkdir(parents=True, exist_ok=True)
    with_small_disk(rootless.runtime, _SIZE, body)
