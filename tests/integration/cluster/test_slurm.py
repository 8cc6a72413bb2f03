"""`hpc exec` in jobs of Slurm."""

import shlex
import subprocess

import pytest

from tests.support.waiting import wait_until

pytestmark = pytest.mark.needs("userns", "fuse", "busybox", "slurm")


def srun(cluster, *words, **options):
    return subprocess.run(
        ["srun", *words],
        env=cluster.env,
        cwd=cluster.cwd,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        **options,
    )


def shell(cluster, script):
    return cluster.argv("exec", "box:1", "sh", "-c", script)


def submit(cluster, script, *options):
    """The number of a batch job."""
    path = cluster.cwd / "job"
    path.write_text(f"#!/bin/sh\n{script}\n")
    done = subprocess.run(
        ["sbatch", "--parsable", *options, str(path)],
        env=cluster.env,
        cwd=cluster.cwd,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def nothing_stays(cluster, slurm, job):
    """Slurm may kill the monitor with the container: the next command then removes what --rm asks for."""
    return not slurm.processes(job) and not cluster.rootless("ps", "-aq").ok().stdout


def cancel(cluster, *words):
    subprocess.run(["scancel", *words], env=cluster.env, check=True, timeout=120)


def test_each_task_of_a_step_is_a_container_with_its_rank(cluster):
    done = srun(cluster, "-n4", "-O", *shell(cluster, "echo $SLURM_PROCID of $SLURM_NTASKS"))
    assert sorted(done.stdout.splitlines()) == [f"{rank} of 4" for rank in range(4)], done.stderr


@pytest.mark.parametrize(("end", "status"), [("exit 7", 7), ("kill -9 $$", 128 + 9)])
def test_the_end_of_the_command_is_that_of_the_step(cluster, end, status):
    done = srun(cluster, *shell(cluster, end))
    assert done.returncode == status, done.stderr


@pytest.mark.parametrize("options", [["hpc", "exec"], ["run", "--rm", "--network", "none"]])
def test_a_task_has_the_processors_of_its_step(cluster, options):
    done = srun(cluster, "-c1", *cluster.program, *options, "box:1", "nproc")
    assert (done.returncode, done.stdout) == (0, "1\n"), done.stderr


def test_the_tasks_of_an_array_run_their_steps(cluster):
    step = shlex.join(["srun", *shell(cluster, "echo $SLURM_ARRAY_TASK_ID.$SLURM_STEP_ID")])
    submit(cluster, f"{step}\n{step}", "--wait", "--array=1-2", "--output=out%a")
    assert (cluster.cwd / "out1").read_text().splitlines() == ["1.0", "1.1"]
    assert (cluster.cwd / "out2").read_text().splitlines() == ["2.0", "2.1"]


KINDS = pytest.mark.parametrize(
    "options",
    [
        ["hpc", "exec"],
        ["run", "--rm", "--network", "none"],
        ["run", "--rm", "--network", "none", "--join"],
    ],
    ids=["hpc", "run", "join"],
)


@KINDS
@pytest.mark.parametrize("name", ["TERM", "XCPU", "USR1", "USR2"])
def test_a_signal_to_all_processes_of_a_step_reaches_the_command(cluster, name, options):
    """It goes on, with its files. The shell tells of `sleep`, which has the signal too."""
    script = (
        f"trap 'echo got {name}; cat /bin/sh >/tmp/copy && echo read; exit 5' {name}; "
        "echo ready; while :; do sleep 0.05; done"
    )
    command = [*cluster.program, *options, "box:1", "sh", "-c", script]
    if options == ["hpc", "exec"]:
        script = script.replace(">/tmp/copy", ">/dev/null")
        command[-1] = script
    job = submit(cluster, shlex.join(["exec", "srun", "--unbuffered", *command]), "--output=out")
    out = cluster.cwd / "out"
    wait_until(lambda: out.exists() and "ready" in out.read_text())
    cancel(cluster, f"--signal={name}", f"{job}.0")
    shown = {f"got {name}", "read", "srun: error: node: task 0: Exited with exit code 5"}
    wait_until(lambda: shown <= set(out.read_text().splitlines()))


@KINDS
def test_the_command_of_a_cancelled_job_has_its_time(cluster, slurm, options):
    script = "trap 'sleep 1; echo saved; exit 0' TERM; echo ready; while :; do sleep 0.05; done"
    command = [*cluster.program, *options, "box:1", "sh", "-c", script]
    job = submit(cluster, shlex.join(["srun", "--unbuffered", *command]), "--output=out")
    out = cluster.cwd / "out"
    wait_until(lambda: out.exists() and "ready" in out.read_text())
    cancel(cluster, job)
    wait_until(lambda: "saved" in out.read_text())
    wait_until(lambda: nothing_stays(cluster, slurm, job))


def test_nothing_stays_of_a_cancelled_job_that_ignores_sigterm(cluster, slurm):
    script = "trap '' TERM; echo ready; sleep 1000 & while :; do sleep 1; done"
    job = submit(
        cluster, shlex.join(["srun", "--unbuffered", *shell(cluster, script)]), "--output=out"
    )
    out = cluster.cwd / "out"
    wait_until(lambda: out.exists() and "ready" in out.read_text())
    assert slurm.processes(job)
    cancel(cluster, job)
    wait_until(lambda: nothing_stays(cluster, slurm, job))


@KINDS
def test_nothing_stays_of_a_killed_step(cluster, slurm, options):
    command = [*cluster.program, *options, "box:1", "sh", "-c", "echo ready; sleep 1000"]
    job = submit(cluster, shlex.join(["srun", "--unbuffered", *command]), "--output=out")
    out = cluster.cwd / "out"
    wait_until(lambda: out.exists() and "ready" in out.read_text())
    cancel(cluster, "--signal=KILL", f"{job}.0")
    wait_until(lambda: nothing_stays(cluster, slurm, job))


def test_pmi2_finds_its_descriptor_in_the_container(cluster):
    script = "test -S /proc/self/fd/$PMI_FD && echo $PMI_RANK of $PMI_SIZE"
    done = srun(cluster, "--mpi=pmi2", "-n2", "-O", *shell(cluster, script))
    assert sorted(done.stdout.splitlines()) == ["0 of 2", "1 of 2"], done.stderr
