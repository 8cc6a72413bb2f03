"""The name of a container that is given another one: DNS knows it by that, while it runs and when it is started again."""

from __future__ import annotations

import pytest

from tests.support.rootless import Rootless
from tests.support.traffic import ROOT

pytestmark = pytest.mark.needs("userns", "fuse", "tun", "pasta", "slirp4netns")

FIND = """
import socket, sys
for name in sys.argv[1:]:
    try:
        print(name, socket.gethostbyname(name))
    except OSError:
        print(name, "unknown")
"""


def find(rootless: Rootless, *names: str) -> list[str]:
    command = ("python3", "-c", FIND, *names)
    return rootless("exec", "asker", *command).ok().stdout.splitlines()


@pytest.fixture
def asker(rootless: Rootless) -> None:
    rootless("network", "create", "--subnet", "10.77.0.0/24", "net").ok()
    sleeping = (*ROOT, "sleep", "1000")
    rootless("run", "-d", "--name", "asker", "--network", "net", *sleeping).ok()
    rootless("run", "-d", "--name", "old", "--network", "net", *sleeping).ok()


@pytest.mark.usefixtures("asker")
def test_name_changes_while_it_runs(rootless: Rootless) -> None:
    rootless("rename", "old", "new").ok()
    assert find(rootless, "old", "new") == ["old unknown", "new 10.77.0.3"]
    rootless("restart", "-t", "0", "new").ok()
    assert find(rootless, "old", "new") == ["old unknown", "new 10.77.0.3"]


@pytest.mark.usefixtures("asker")
def test_name_is_the_new_one_in_a_network_that_it_is_connected_to_later(rootless: Rootless) -> None:
    rootless("network", "create", "--subnet", "10.78.0.0/24", "more").ok()
    rootless("network", "disconnect", "net", "old").ok()
    rootless("rename", "old", "new").ok()
    rootless("network", "connect", "more", "asker").ok()
    rootless("network", "connect", "more", "new").ok()
    assert find(rootless, "old", "new") == ["old unknown", "new 10.78.0.3"]
    assert rootless("network", "inspect", "-f", "{{len .Containers}}", "more").ok().stdout == "2\n"
