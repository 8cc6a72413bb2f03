"""The disk of the store is full: each command about containers works, or is refused in one line, and what is shown is true."""

from __future__ import annotations

import sys

import pytest

from tests.support.command import run_command

pytestmark = pytest.mark.needs("userns", "fuse", "subuid")

ENTER = ["unshare", "--user", "--map-auto", "--map-root-user", "--mount", "bash", "-ec"]
SCRIPT = """
mount -t tmpfs -o size=12m none {disk}
run() {{ {rootless} --root {disk}/store "$@"; }}
step() {{ name=$1; shift; status=0; out=$(run "$@" 2>&1) || status=$?
          echo "$name=$status=$(echo "$out" | tr '\\n' '|')"; }}
fill() {{ dd if=/dev/zero of={disk}/fill.$1 bs=4k 2>/dev/null || true; }}
states() {{ step "$1" ps -a --format '{{{{.Names}}}}:{{{{.State}}}}'; }}
run run -d --name c1 --rootfs / sh -c 'trap "exit 3" TERM; while :; do sleep 0.05; done' >/dev/null
run run -d --name c2 --rootfs / sleep 1000 >/dev/null
run create --name c3 --rootfs / true >/dev/null
fill 1
step create create --name c4 --rootfs / true
step run run --rm --rootfs / true
step exec exec c1 echo hi
states running
step stop stop -t 5 c1
step kill kill c2
states ended
step exit inspect -f '{{{{.State.ExitCode}}}}' c1
step volume volume create vv
step copy cp /etc/hostname c3:/x
step logs logs c1
step remove rm c2
rm -f {disk}/fill.*
states later
step start start c1
states again
step clean rm -f c1 c3
"""


def test_commands_about_containers_on_a_full_disk(rootless, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    script = SCRIPT.format(disk=disk, rootless=f"{sys.executable} -m rootless")
    done = run_command([*ENTER, script], env=rootless.env, timeout=120)
    assert done.status == 0, done.stderr
    rows = dict(line.split("=", 1) for line in done.stdout.splitlines())
    full = "1=rootless: no space left on device|"
    assert rows["create"] == rows["volume"] == rows["copy"] == full
    assert rows["run"] == "125=rootless: no space left on device|"
    assert rows["exec"] == "0=hi|"
    assert rows["running"] == "0=c3:created|c2:running|c1:running|"
    assert (rows["stop"], rows["kill"], rows["exit"]) == ("0=c1|", "0=c2|", "0=3|")
    assert rows["ended"] == "0=c3:created|c2:exited|c1:exited|"
    assert (rows["logs"], rows["remove"]) == ("0=|", "0=c2|")
    assert rows["later"] == "0=c3:created|c1:exited|"
    assert (rows["start"], rows["again"]) == ("0=c1|", "0=c3:created|c1:running|")
    assert rows["clean"] == "0=c1|c3|"
