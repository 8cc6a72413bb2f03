"""Containers that come back after a boot: `system boot-start` and `boot-stop`."""

import contextlib
import json
import os
import shutil
import signal
from pathlib import Path

import pytest

from tests.support.waiting import wait_until

pytestmark = pytest.mark.needs("userns", "fuse")

TRAP = "trap 'echo bye; exit 0' TERM; echo up; while :; do sleep 0.05; done"


def ran(rootless, name, policy, script=TRAP):
    words = ("--name", name, "--restart", policy, "--rootfs", "/", "sh", "-c", script)
    return rootless("run", "-d", *words).ok().stdout.strip()


def lose_power(rootless, *names):
    """Kill the monitors, and let the records be those of another boot."""
    for name in names:
        identity = rootless("inspect", "-f", "{{.Id}}", name).ok().stdout.strip()
        path = rootless.data / "rootless/containers" / identity / "container.json"
        record = json.loads(path.read_text())
        os.kill(record["monitor_pid"], signal.SIGKILL)
        wait_until(lambda pid=record["monitor_pid"]: not Path(f"/proc/{pid}").exists())
        path.write_text(json.dumps(record | {"boot": "another"}))


def running(rootless):
    return sorted(rootless("ps", "--format", "{{.Names}}").ok().stdout.split())


def test_boot_starts_what_ran_and_what_always_runs(rootless):
    names = ("always", "unless", "failing", "never")
    for name, policy in zip(names, ("always", "unless-stopped", "on-failure", "no"), strict=True):
        ran(rootless, name, policy)
    rootless("create", "--name", "created", "--restart", "always", "--rootfs", "/", "true").ok()
    for name, policy in (("stopped", "unless-stopped"), ("halted", "always")):
        ran(rootless, name, policy)
        rootless("stop", "-t", "0", name).ok()
    lose_power(rootless, *names)
    assert running(rootless) == []
    started = rootless("system", "boot-start").ok().stdout.split()
    assert started == ["always", "unless", "failing", "halted"]
    assert running(rootless) == sorted(started)
    assert rootless("system", "boot-start").ok().stdout == ""


def test_shutdown_ends_gracefully_and_the_boot_after_it_starts_again(rootless):
    ran(rootless, "web", "unless-stopped")
    ran(rootless, "once", "no")
    wait_until(lambda: rootless("logs", "web").ok().stdout == "up\n")
    wait_until(lambda: rootless("logs", "once").ok().stdout == "up\n")
    assert rootless("system", "boot-stop").ok().stdout == ""
    assert running(rootless) == []
    assert rootless("logs", "web").ok().stdout == "up\nbye\n"
    assert rootless("system", "boot-start").ok().stdout == "web\n"
    assert running(rootless) == ["web"]


def test_shutdown_ends_all_at_the_same_time(rootless):
    stubborn = "trap : TERM; echo up; while :; do sleep 0.05; done"
    for name in ("one", "two", "three"):
        words = ("--name", name, "--stop-timeout", "2", "--rootfs", "/", "sh", "-c", stubborn)
        rootless("run", "-d", *words).ok()
        wait_until(lambda name=name: rootless("logs", name).ok().stdout == "up\n")
    rootless("system", "boot-stop").ok()
    form = '{{.Action}} {{index .Actor.Attributes "signal"}}'
    filters = ("-f", "event=kill", "-f", "event=die")
    events = rootless("events", "--until", "0s", *filters, "--format", form).ok().stdout
    kinds = [line.strip() for line in events.splitlines()]
    assert kinds[:3] == ["kill 15"] * 3
    assert kinds.count("die") == 3


def test_container_that_cannot_start_keeps_no_other_from_it(rootless):
    identity = ran(rootless, "broken", "always")
    ran(rootless, "whole", "always")
    lose_power(rootless, "broken", "whole")
    (rootless.data / "rootless/containers" / identity / "config.json").write_text("{")
    result = rootless("system", "boot-start")
    assert result.status == 1
    assert result.stdout == "whole\n"
    assert "config.json is not JSON" in result.stderr
    assert running(rootless) == ["whole"]


@pytest.mark.skipif(Path("/run/systemd/system").is_dir(), reason="this machine has systemd")
def test_unit_is_refused_where_there_is_no_systemd(rootless):
    for words in ((), ("--install",)):
        result = rootless("system", "boot-unit", *words)
        assert (result.status, result.stdout) == (1, "")
        assert result.stderr.splitlines()[0].startswith("rootless: this machine was not started by")


def processes_of(rootless):
    """Those that have the path of the store in their environment, and the commands of the containers."""
    mark = os.fsencode(str(rootless.data))
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            environ, words = (path / "environ").read_bytes(), (path / "cmdline").read_bytes()
        except OSError:
            continue
        if path.name != str(os.getpid()) and (mark in environ or words == b"sleep\0001234\0"):
            found.append(int(path.name))
    return found


def killed_processes(rootless):
    """Kill all that there are now: a monitor may start another file server before its turn comes."""
    found = processes_of(rootless)
    for pid in found:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return found


def test_boot_after_a_power_cut_that_has_cleared_the_runtime_directory(rootless, busybox_image):
    rootless("import", str(busybox_image), "box:1").ok()
    run = ("run", "-d", "--network", "none", "--name")
    image = ("box:1", "sleep", "1234")
    rootless(*run, "web", "--restart", "always", "-v", "data:/data", *image).ok()
    rootless(*run, "reader", "--restart", "unless-stopped", "-v", "data:/data:ro", *image).ok()
    rootless(*run, "shared", "--restart", "always", "--read-only", *image).ok()
    rootless(*run, "paused", "--read-only", *image).ok()
    rootless("pause", "paused").ok()
    rootless(*run, "gone", "--rm", *image).ok()
    rootless("exec", "web", "sh", "-c", "echo kept > /data/file; echo mine > /file; sync").ok()
    wait_until(lambda: not killed_processes(rootless))
    for path in (rootless.data / "rootless/containers").glob("*/container.json"):
        record = json.loads(path.read_text())
        path.write_text(json.dumps(record | {"boot": "another"}))
    shutil.rmtree(rootless.runtime / "rootless")
    states = rootless("ps", "-a", "--format", "{{.Names}} {{.State}}").ok().stdout.splitlines()
    assert sorted(states) == ["paused exited", "reader exited", "shared exited", "web exited"]
    assert sorted(rootless("system", "boot-start").ok().stdout.split()) == [
        "reader",
        "shared",
        "web",
    ]
    assert rootless("exec", "reader", "cat", "/data/file").ok().stdout == "kept\n"
    assert rootless("exec", "web", "cat", "/file").ok().stdout == "mine\n"
    rootless("start", "paused").ok()
    assert running(rootless) == ["paused", "reader", "shared", "web"]
    assert rootless("system", "check").ok().stdout == "Everything is as it should be.\n"
    rootless("rm", "-f", "-v", "web", "reader", "shared", "paused").ok()
    rootless("volume", "rm", "data").ok()
