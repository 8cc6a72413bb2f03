"""A command about containers or volumes is killed at a random moment: what it was about is there before or after it,
can be shown and removed, and its name can be taken again."""

from __future__ import annotations

import random
import signal
from pathlib import Path

import pytest

from tests.faults.test_killed_at_any_moment import assert_nothing_stays
from tests.support.waiting import let_pass, wait_until

pytestmark = [pytest.mark.needs("userns", "fuse"), pytest.mark.slow]

TURNS = 4
RUNNING = ("run", "-d", "--name", "c1", "-v", "data:/data", "--rootfs", "/", "sleep", "1000")
CREATED = ("create", "--name", "c1", "-v", "data:/data", "--rootfs", "/", "sleep", "1000")
COMMANDS = {
    "create": (None, CREATED),
    "run": (None, RUNNING),
    "start": (CREATED, ("start", "c1")),
    "stop": (RUNNING, ("stop", "-t", "1", "c1")),
    "restart": (RUNNING, ("restart", "-t", "0", "c1")),
    "kill": (RUNNING, ("kill", "c1")),
    "pause": (RUNNING, ("pause", "c1")),
    "unpause": (RUNNING, ("unpause", "c1")),
    "rm": (RUNNING, ("rm", "-f", "-v", "c1")),
    "rename": (CREATED, ("rename", "c1", "c2")),
    "update": (RUNNING, ("update", "--restart", "always", "c1")),
    "exec": (RUNNING, ("exec", "c1", "sh", "-c", "echo x > /data/f; sleep 0.1")),
    "cp-in": (RUNNING, ("cp", "{}", "c1:/data/copied")),
    "cp-out": (RUNNING, ("cp", "c1:/usr/share/zoneinfo", "{}/out")),
    "export": (CREATED, ("export", "c1", "-o", "{}/out.tar")),
}
"""What there is before, and the command."""


@pytest.mark.parametrize("name", COMMANDS)
def test_command_about_a_container(rootless, tmp_path, name):
    before, command = COMMANDS[name]
    source = tmp_path / "files"
    source.mkdir()
    for number in range(200):
        (source / f"f{number}").write_text("x" * 1000)
    choices = random.Random(name)
    for _ in range(TURNS):
        if before is not None:
            rootless(*before).ok()
        if name == "unpause":
            rootless("pause", "c1").ok()
        process = rootless.popen(*(word.replace("{}", str(source)) for word in command))
        let_pass(choices.uniform(0, 0.3))
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=120)
        names = rootless("ps", "-a", "--format", "{{.Names}}").ok().stdout.split()
        assert set(names) <= {"c1", "c2"}
        if name not in {"create", "run", "rm"}:
            assert len(names) == 1
        for each in names:
            state = rootless("inspect", "-f", "{{.State.Status}}", each).ok().stdout.strip()
            # The monitor carries out what the killed client asked for.
            assert state in {"created", "running", "paused", "restarting", "exited"}
            rootless("rm", "-f", each).ok()
        # The names are free, and the volume serves another one.
        rootless(*CREATED).ok()
        rootless("rename", "c1", "c2").ok()
        rootless("start", "c2").ok()
        rootless("exec", "c2", "ls", "/data").ok()
        rootless("rm", "-f", "c2").ok()
        rootless("volume", "rm", "data").ok()
        assert_nothing_stays(rootless)
        names_left = rootless.data / "rootless/containers/names"
        assert [each for each in names_left.iterdir() if not each.name.startswith(".")] == []


@pytest.mark.parametrize("verb", ["create", "rm", "import", "export"])
def test_command_about_a_volume(rootless, tmp_path, verb):
    rootless("volume", "create", "other").ok()
    fill = "for i in $(seq 300); do echo $i > /o/$i; done"
    rootless("run", "--rm", "-v", "other:/o", "--rootfs", "/", "sh", "-c", fill).ok()
    archive = tmp_path / "other.tar"
    rootless("volume", "export", "-o", archive, "other").ok()
    commands = {
        "create": ("volume", "create", "--label", "a=b", "v1"),
        "rm": ("volume", "rm", "v1"),
        "import": ("volume", "import", "v1", str(archive)),
        "export": ("volume", "export", "-o", str(tmp_path / "out.tar"), "other"),
    }
    choices = random.Random(verb)
    for _ in range(TURNS):
        if verb != "create":
            rootless("volume", "create", "v1").ok()
        process = rootless.popen(*commands[verb])
        let_pass(choices.uniform(0, 0.2))
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=120)
        listed = rootless("volume", "ls", "-q").ok().stdout.split()
        assert set(listed) <= {"other", "v1"}
        rootless("volume", "inspect", *listed).ok()
        seen = rootless("run", "--rm", "-v", "v1:/v", "--rootfs", "/", "sh", "-c", "ls /v | wc -l")
        assert 0 <= int(seen.ok().stdout) <= 300
        rootless("volume", "rm", "v1").ok()
        if verb == "export" and (tmp_path / "out.tar").exists():
            assert (tmp_path / "out.tar").read_bytes() == archive.read_bytes()
            (tmp_path / "out.tar").unlink()
    # A server whose starter was killed before it mounted the volume waits 30 seconds for another client.
    wait_until(
        lambda: list(Path(rootless.runtime, "rootless/volumes").glob("*/control.sock")) == []
    )
