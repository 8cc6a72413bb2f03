"""A network whose addresses the host has a route to: refused when it is made, and a warning when the route has come later."""

from __future__ import annotations

import json

import pytest

from rootless.network.defined.host_routes import host_ranges
from tests.support.rootless import Rootless
from tests.support.traffic import ROOT

pytestmark = pytest.mark.needs("userns", "fuse", "tun", "pasta", "slirp4netns")


@pytest.fixture
def route() -> str:
    """A range that the host has a route to, in the form of --subnet."""
    ranges = [each for each in host_ranges() if each.bits == 32 and each.prefix < 30]
    if not ranges:
        pytest.skip("the host has no route but the default one")
    return str(ranges[0])


def test_network_is_not_made_where_the_host_has_a_route(rootless: Rootless, route: str) -> None:
    refused = rootless("network", "create", "--subnet", route, "net")
    assert refused.status == 1
    message = f"Pool overlaps with other one on this address space: the host has a route to {route}"
    assert message in refused.stderr
    assert rootless("network", "ls", "-q", "-f", "type=custom").ok().stdout == ""


def test_route_that_has_come_later_is_reported_at_each_start(
    rootless: Rootless, route: str
) -> None:
    """The route is there from the beginning, and the network's document has its subnet changed."""
    identity = rootless("network", "create", "--subnet", "10.77.0.0/24", "net").ok().stdout.strip()
    path = rootless.data / f"rootless/networks/{identity}.json"
    document = json.loads(path.read_text())
    document["subnets"][0] = {"subnet": route, "gateway": "", "ip_range": "", "reserved": {}}
    path.write_text(json.dumps(document))
    warning = f"WARNING: the host has a route to {route} too"
    started = rootless(
        "run", "-d", "--name", "web", "--network", "net", *ROOT, "sleep", "1000"
    ).ok()
    assert warning in started.stderr
    rootless("stop", "-t", "0", "web").ok()
    assert warning in rootless("start", "web").ok().stderr
