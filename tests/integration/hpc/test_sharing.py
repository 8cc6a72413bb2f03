"""`hpc --sharens`: processes of one parent share a container."""

import shlex
import subprocess

import pytest

pytestmark = pytest.mark.needs("userns", "fuse", "busybox")

COUNT = 4


def run_together(cluster, *words):
    """What COUNT processes of one shell print, and the status of the last one."""
    command = shlex.join(cluster.argv(*words))
    script = f"for i in $(seq {COUNT}); do {command} & last=$!; done; wait $last; echo $?; wait"
    done = subprocess.run(
        ["bash", "-c", script],
        env=cluster.env,
        cwd=cluster.cwd,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert done.stderr == ""
    return done.stdout.splitlines()


def test_processes_of_one_parent_are_in_one_container(cluster):
    """They meet: each waits for all."""
    script = (
        f"echo x >> met; while [ $(wc -l < met) -lt {COUNT} ]; do sleep 0.1; done; "
        "echo $(readlink /proc/self/ns/mnt) $(readlink /proc/self/ns/user) $(whoami); exit 3"
    )
    shown = run_together(cluster, "exec", "--sharens", "box:1", "sh", "-c", script)
    assert shown.count("3") == 1
    namespaces = [line for line in shown if line != "3"]
    assert len(namespaces) == COUNT
    assert len(set(namespaces)) == 1


def test_each_process_has_its_own_variables_and_status(cluster):
    done = cluster("exec", "--sharens", "--env", "A=1", "box:1", "sh", "-c", "echo $A; exit 4")
    assert (done.returncode, done.stdout) == (4, b"1\n")
    assert cluster.text("run", "--sharens", "box:1", "echo", "x") == "x\n"


def test_scripts_of_an_image_are_honoured_in_a_shared_container(cluster, scripted_tree):
    assert cluster.text("run", "--sharens", scripted_tree, "a") == "run: a image\n"
    script = "echo $FIXED"
    assert cluster.text("exec", "--sharens", scripted_tree, "sh", "-c", script) == "image\n"


def test_processes_of_their_own_cannot_be_shared(cluster):
    failed = cluster("exec", "--sharens", "-C", "box:1", "true")
    assert failed.returncode == 125
    assert failed.stderr.startswith(b"rootless: conflicting options: --sharens and a PID namespace")
