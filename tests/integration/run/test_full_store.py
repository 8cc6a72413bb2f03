"""A container fills the disk or the inodes of the store: it ends with its own status, and what frees room works."""

from __future__ import annotations

import sys

import pytest

from tests.support.command import run_command

pytestmark = pytest.mark.needs("userns", "fuse", "busybox", "subuid")

ROOTLESS = f"{sys.executable} -m rootless"
FILL = {
    "bytes": "dd if=/dev/zero of=/big bs=64k count=4000 2>/dev/null",
    "inodes": "i=0; while true >/$i.f; do i=$((i+1)); done 2>/dev/null",
}
ENTER = ["unshare", "--user", "--map-auto", "--map-root-user", "--mount", "sh", "-ec"]


@pytest.mark.parametrize("kind", FILL)
def test_container_that_fills_the_store_ends_with_its_own_status(
    rootless, busybox_image, tmp_path, kind
):
    """The store is on a file system of its own, the runtime directory is not."""
    disk = tmp_path / "disk"
    disk.mkdir()
    script = f"""
        mount -t tmpfs -o size=24m,nr_inodes=400 none {disk}
        run() {{ {ROOTLESS} --root {disk}/store "$@"; }}
        step() {{ name=$1; shift; status=0; out=$(run "$@" 2>&1) || status=$?
                  echo "$name:$status:$(echo "$out" | wc -l):$(echo "$out" | head -c 60 | tr '\\n' ' ')"; }}
        run import {busybox_image} box:1 >/dev/null
        run run --name done box:1 sh -c 'dd if=/dev/zero of=/junk bs=64k count=16 2>/dev/null'
        step removed run --rm --name gone box:1 sh -c '{FILL[kind]}; exit 6'
        step filled run --name full box:1 sh -c '{FILL[kind]}; exit 7'
        run rm full; step silent run --name full box:1 sh -c '{FILL[kind]}; exit 0'
        dd if=/dev/zero of={disk}/rest bs=4k 2>/dev/null || true
        i=0; while true 2>/dev/null >{disk}/$i.f; do i=$((i+1)); done || true
        echo "left:$(df {"-k" if kind == "bytes" else "-i"} {disk} | tail -1 | awk '{{print $4}}')"
        step ps ps -a --format '{{{{.Names}}}}'
        step inspect inspect -f '{{{{.State.Status}}}} {{{{.State.ExitCode}}}}' full
        step check system check
        step df system df
        step images images -q
        step rm rm done
        rm -f {disk}/*.f; i=0; while true 2>/dev/null >{disk}/$i.f; do i=$((i+1)); done || true
        dd if=/dev/zero of={disk}/rest2 bs=4k 2>/dev/null || true
        step rmf rm -f full
        i=0; while true 2>/dev/null >{disk}/x$i.f; do i=$((i+1)); done || true
        dd if=/dev/zero of={disk}/rest3 bs=4k 2>/dev/null || true
        step rmi rmi box:1
        step prune system prune -af
        rm -f {disk}/*.f {disk}/rest*
        run import {busybox_image} box:1 >/dev/null
        step again run --rm box:1 echo in
        """
    result = run_command([*ENTER, script], env=rootless.env, timeout=300)
    rows = dict(line.split(":", 1) for line in result.stdout.splitlines() if ":" in line)
    told = f"{result.stdout}\n{result.stderr}"
    assert rows["removed"].startswith("6:"), told
    assert rows["filled"].startswith("7:"), told
    assert rows["silent"].strip() == "0:1:", told
    assert rows["left"] == "0", told
    assert rows["inspect"].startswith("0:1:exited 0"), told
    for name in ("ps", "df", "images", "rm", "rmf", "rmi", "prune"):
        assert rows[name].startswith("0:"), told
    assert rows["check"].split(":")[0] in "01", told
    assert rows["again"].startswith("0:1:in"), told


@pytest.mark.parametrize("options", ["", "--rm"])
def test_container_that_is_started_on_a_full_disk_is_recorded_as_running(
    rootless, busybox_image, tmp_path, options
):
    disk = tmp_path / "disk"
    disk.mkdir()
    script = f"""
        mount -t tmpfs -o size=24m none {disk}
        run() {{ {ROOTLESS} --root {disk}/store "$@"; }}
        run import {busybox_image} box:1 >/dev/null
        run create --name c1 {options} box:1 sh -c 'trap "exit 5" TERM; while :; do sleep 0.1; done' >/dev/null
        dd if=/dev/zero of={disk}/rest bs=4k 2>/dev/null || true
        run start c1
        run inspect -f '{{{{.State.Status}}}} {{{{.State.Running}}}}' c1
        run exec c1 echo in
        run pause c1
        run inspect -f '{{{{.State.Status}}}}' c1
        run unpause c1
        run stop c1
        run ps -a --format '{{{{.Names}}}} {{{{.Status}}}}' | cut -c1-13
        """
    result = run_command([*ENTER, script], env=rootless.env, timeout=300)
    lines = ["c1", "running true", "in", "c1", "paused", "c1", "c1"]
    left = [] if options else ["c1 Exited (5)"]
    assert result.stdout.splitlines() == lines + left, result
