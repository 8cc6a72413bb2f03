"""`hpc --sharens`: processes of one parent share a container."""

import shlex
import subprocess

import pytest

from rootless.containers.rank_recipes import read_recipe
from tests.support.waiting import wait_until

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


def test_processes_take_what_the_first_one_has_found_in_the_command_line(cluster):
    """And have their own variables of the launcher, working directories and statuses."""
    launched = {"SLURM_JOB_ID": "7", "SLURM_STEP_ID": "0", "SLURM_NTASKS": "2"}
    words = ("exec", "--sharens", "--env", "A=1", "box:1", "sh", "-c")
    first = cluster.popen(
        *words,
        "echo $SLURM_PROCID $A; read line",
        env={**cluster.env, **launched, "SLURM_PROCID": "0"},
        stdin=-1,
    )
    assert first.stdout.readline() == b"0 1\n"
    (recipe,) = (cluster.rootless.runtime / "rootless/join").glob("*.recipe")
    found = read_recipe(str(recipe))
    assert found is not None
    assert found.entering is not None
    before = recipe.stat()
    second = cluster(
        *words,
        "echo $SLURM_PROCID $A; read line",
        env={**launched, "SLURM_PROCID": "1"},
        stdin=b"\n",
    )
    assert second.stdout == b"1 1\n"
    assert recipe.stat() == before
    elsewhere = cluster(
        *words,
        "echo $SLURM_PROCID $A; read line",
        env={**launched, "SLURM_PROCID": "2", "B": "3"},
        stdin=b"\n",
    )
    assert elsewhere.stdout == b"2 1\n"
    first.communicate(b"\n", timeout=120)
    wait_until(lambda: not recipe.exists())


def test_scripts_of_an_image_are_honoured_in_a_shared_container(cluster, scripted_tree):
    assert cluster.text("run", "--sharens", scripted_tree, "a") == "run: a image\n"
    script = "echo $FIXED"
    assert cluster.text("exec", "--sharens", scripted_tree, "sh", "-c", script) == "image\n"


def test_ranks_without_pmi_get_one_warning_that_each_is_alone(cluster):
    step = {"SLURM_JOB_ID": "7", "SLURM_STEP_ID": "0", "SLURM_STEP_NUM_TASKS": "2"}
    words = ("exec", "--sharens", "box:1", "sh", "-c", "echo up; read line")
    env = {**cluster.env, **step, "SLURM_PROCID": "1"}
    first = cluster.popen(*words, env=env, stdin=subprocess.PIPE, stderr=subprocess.PIPE)
    assert first.stdout.readline() == b"up\n"
    second = cluster(*words, env={**step, "SLURM_PROCID": "0"}, stdin=b"\n")
    assert (second.stdout, second.stderr) == (b"up\n", b"")
    told = first.communicate(b"\n", timeout=120)[1].decode()
    assert "2 ranks of a Slurm step without PMI" in told
    with_pmi = {**step, "SLURM_PROCID": "0", "PMI_SIZE": "2", "PMI_RANK": "0"}
    assert cluster("exec", "--sharens", "box:1", "true", env=with_pmi).stderr == b""


def test_processes_of_their_own_cannot_be_shared(cluster):
    failed = cluster("exec", "--sharens", "-C", "box:1", "true")
    assert failed.returncode == 125
    assert failed.stderr.startswith(b"rootless: conflicting options: --sharens and a PID namespace")
