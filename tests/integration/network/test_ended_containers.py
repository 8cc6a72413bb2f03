"""No name leads to a container any more when the command that has ended it returns."""

from __future__ import annotations

import os
import signal

import pytest

from tests.support.named_processes import processes_named
from tests.support.rootless import Rootless
from tests.support.traffic import ROOT
from tests.support.waiting import assert_stays

pytestmark = pytest.mark.needs("userns", "fuse", "tun", "pasta", "slirp4netns")

FIND = "import socket; print(socket.gethostbyname('web'))"


@pytest.mark.parametrize("command", [("stop", "-t", "0"), ("rm", "-f"), ("kill",)])
def test_command_returns_when_the_name_is_gone(
    rootless: Rootless, command: tuple[str, ...]
) -> None:
    rootless("network", "create", "--subnet", "10.77.0.0/24", "net").ok()
    for name in ("asker", "web"):
        rootless("run", "-d", "--name", name, "--network", "net", *ROOT, "sleep", "1000").ok()
    find = ("exec", "asker", "python3", "-c", FIND)
    assert rootless(*find).ok().stdout == "10.77.0.3\n"
    (holder, *_) = processes_named(rootless, "rootless-nets")
    os.kill(holder, signal.SIGSTOP)
    try:
        ending = rootless.popen(*command, "web")
        assert_stays(lambda: ending.poll() is None, 1)
    finally:
        os.kill(holder, signal.SIGCONT)
    assert ending.wait(120) == 0
    assert "Name or service not known" in rootless(*find).stderr
