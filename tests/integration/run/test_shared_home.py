"""A store in a home that several machines share: a machine leaves alone what runs on another. The other machine is a UTS
namespace here, and a boot id that is bound over the kernel's.
"""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.support.command import Result

pytestmark = pytest.mark.needs("userns", "fuse", "busybox")

ELSEWHERE = """
hostname other
for file in /etc/subuid /etc/subgid; do [ ! -e "$file" ] || mount --bind /dev/null "$file"; done
echo 00000000-0000-0000-0000-000000000000 > "$1"
mount --bind "$1" /proc/sys/kernel/random/boot_id
shift
exec "$@"
"""


@pytest.fixture
def other(box, tmp_path):
    """The command line on another machine, with a runtime directory of its own."""

    def call(*arguments: str) -> Result:
        done = subprocess.run(
            [
                *("unshare", "--user", "--map-current-user", "--keep-caps", "--mount", "--uts"),
                *(
                    "--pid",
                    "--fork",
                    "--mount-proc",
                    "sh",
                    "-ec",
                    ELSEWHERE,
                    "sh",
                    str(tmp_path / "boot"),
                ),
                *(sys.executable, "-m", "rootless", "--runroot", str(tmp_path / "run"), *arguments),
            ],
            env=box.env,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        return Result(done.returncode, done.stdout, done.stderr)

    return call


def test_container_of_another_machine_is_left_alone(box, other):
    box("run", "-d", "--rm", "--name", "c1", "box:1", "sleep", "1000").ok()
    assert other("ps", "--format", "{{.Names}}").ok().stdout == "c1\n"
    assert other("inspect", "-f", "{{.State.Status}}", "c1").ok().stdout == "running\n"
    for command in (("exec", "c1", "true"), ("stop", "c1"), ("kill", "c1"), ("commit", "c1", "x")):
        refused = other(*command)
        assert refused.status != 0
        assert "container c1 runs on " in refused.stderr, command
        assert "this machine is other" in refused.stderr
    assert other("rm", "c1").status == 1
    other("container", "prune", "-f").ok()
    other("system", "prune", "-af").ok()
    assert box("exec", "c1", "echo", "alive").ok().stdout == "alive\n"
    assert box("images", "-q").ok().stdout != ""


def test_container_of_a_machine_that_is_gone_can_be_removed(box, other):
    box("run", "--name", "c1", "box:1", "true").ok()
    box("run", "-d", "--name", "c2", "box:1", "sleep", "3").ok()
    other("rm", "-f", "c2").ok()
    assert other("ps", "-a", "--format", "{{.Names}}").ok().stdout == "c1\n"
