"""The network of a container for which none is asked."""

import dataclasses
import json
import os
import time

import pytest

from tests.support.other_account import OtherAccount
from tests.support.traffic import ROOT

pytestmark = pytest.mark.needs("userns", "fuse", "tun", "pasta", "slirp4netns")


@pytest.fixture
def unasked(rootless):
    """The command without a default of the tests' own."""
    return dataclasses.replace(rootless, network="")


def test_it_is_private(unasked):
    script = "stat -Lc %i /proc/self/ns/net; grep -c 'eth0.*0202000A' /proc/net/route"
    inode, routes = unasked("run", "--rm", *ROOT, "sh", "-c", script).ok().stdout.split()
    assert int(inode) != os.stat("/proc/self/ns/net").st_ino
    assert routes == "1"
    unasked("create", "--name", "web", *ROOT, "true").ok()
    document = json.loads(unasked("inspect", "web").ok().stdout)[0]
    assert document["HostConfig"]["NetworkMode"] == "bridge"
    assert unasked("info", "--format", "{{.DefaultNetwork}}").ok().stdout.startswith("bridge (")
    assert "private networks" in unasked("doctor").stdout


def test_containers_conf_chooses(unasked, tmp_path, monkeypatch):
    configuration = tmp_path / "containers.conf"
    configuration.write_text('[containers]\nnetns = "host"\n')
    monkeypatch.setenv("CONTAINERS_CONF", str(configuration))
    result = unasked("run", "--rm", *ROOT, "stat", "-Lc", "%i", "/proc/self/ns/net").ok()
    assert int(result.stdout) == os.stat("/proc/self/ns/net").st_ino


def test_debug_names_the_program(unasked):
    result = unasked("--debug", "run", "--rm", *ROOT, "true").ok()
    assert result.stderr.splitlines()[0].startswith("connect the network with /")


@pytest.mark.needs("subuid")
def test_user_that_an_account_with_one_id_keeps_has_it_too():
    """pasta then runs as a user who is not root, and groups from 0 on do not exist."""
    account = OtherAccount()
    script = (
        "cut -f1,2 /proc/sys/net/ipv4/ping_group_range; grep -c 'eth0.*0202000A' /proc/net/route"
    )
    try:
        keep = ("--userns", "keep-id:uid=999,gid=998")
        done = account("run", "--rm", *keep, *ROOT, "sh", "-c", script, timeout=120)
        assert done.ok().stdout.split() == ["998", "998", "1"]
    finally:
        account.end()


def test_program_that_ends_before_it_is_ready_is_reported_at_once(unasked, tmp_path, monkeypatch):
    """Also if a process that it has started goes on."""
    program = tmp_path / "pasta"
    program.write_text("#!/bin/sh\nsleep 100 & echo it cannot be done >&2\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    started = time.monotonic()
    result = unasked("run", "--rm", "--network", "pasta", *ROOT, "true")
    assert time.monotonic() - started < 60
    assert result.status == 125
    assert result.stderr == (
        "rootless: cannot connect the container to a network: pasta ended: it cannot be done\n"
    )
